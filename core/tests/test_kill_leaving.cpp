// A process is killed at every named step of a normal end, and of what others make of it afterwards.
#include <sys/mman.h>

#include <cstring>
#include <set>
#include <string>

#include "conveyor/process/normal_end.hpp"
#include "conveyor/queue/stream.hpp"
#include "conveyor/sync/mutex.hpp"
#include "conveyor/sync/semaphore.hpp"
#include "crash_lab.hpp"
#include "state_lab.hpp"

using namespace conveyor;
using state::acquired;
using state::reap;
using state::second;
using state::start;

namespace {

const char* const points[] = {
#include "kill_points.inc"
};

std::atomic<std::uint32_t>& deaths() {
  static auto* const shared = new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
      std::atomic<std::uint32_t>(0);
  return *shared;
}

pid_t doomed(const std::string& point, const std::function<void()>& what) {
  return start([&] {
    crash::meet({point, 1}, deaths());
    what();
  });
}

Nanoseconds soon() { return monotonic_now() + second; }

void leaving_a_lock(const std::string& point) {
  const Place place = carve(CellType::lock, sizeof(LockCell));
  Mutex mutex(place.as<LockCell>());
  place.region->noted_cells().note(place.offset, leave_cells);
  reap(doomed(point, [&] {
    mutex.take();
    end_normally();
  }));
  CHECK(acquired(mutex, monotonic_now() + 50'000'000) == Locked::busy);
  CHECK(mutex.release());
  CHECK(mutex.take() == Locked::clean);
}

void units_left(const std::string& point) {
  const Place place = carve(CellType::semaphore, sizeof(SemaphoreCell));
  Semaphore semaphore(place.as<SemaphoreCell>());
  semaphore.initialise(2, 0);
  place.region->noted_cells().note(place.offset, leave_cells);
  reap(start([&] {
    acquired(semaphore, soon());
    end_normally();
  }));
  CHECK(semaphore.value() == 1);
  reap(doomed(point, [&] { semaphore.release(1); }));
  // Whoever died in the middle of it has given the unit, or has not.
  if (semaphore.value() == 1) semaphore.release(1);
  for (int unit = 0; unit < 2; ++unit) CHECK(acquired(semaphore, soon()) == Acquired::taken);
  CHECK(semaphore.try_acquire() == Acquired::none);
}

struct Ignore {
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
};

void leaving_tasks(const std::string& point) {
  Bounds bounds;
  bounds.counts_tasks = true;
  const auto segment = Segment::create(bounds);
  Stream stream(segment);
  const std::uint64_t number = 7;
  Outgoing item;
  item.data = reinterpret_cast<const std::byte*>(&number);
  item.size = sizeof number;
  std::size_t done = 0;
  for (int i = 0; i < 2; ++i) REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
  const auto take = [&] {
    segment->note_getting();
    Ignore sink;
    std::size_t taken = 0;
    return stream.take(1, sink, taken);
  };
  reap(doomed(point, [&] {
    take();
    end_normally();
  }));
  REQUIRE(take() == Status::ok);
  std::uint64_t unfinished = 0;
  CHECK(stream.count_unfinished(unfinished, forever) == Status::ok);
  CHECK(unfinished == 2);
  CHECK(stream.task_done() == Status::ok);
  CHECK(stream.task_done() == Status::ok);
  CHECK(stream.task_done() == Status::empty);
  CHECK(stream.check() == "");
}

}  // namespace

TEST_CASE("a process killed at any step of a normal end has left a thing behind, or has not") {
  std::set<std::string> seen;
  for (const std::string point : points) {
    if (!point.starts_with("leave.")) continue;
    seen.insert(point);
    CAPTURE(point);
    deaths() = 0;
    if (point == "leave.lock") leaving_a_lock(point);
    if (point == "leave.tasks") leaving_tasks(point);
    if (point.starts_with("leave.semaphore")) units_left(point);
    CHECK(deaths() != 0);
  }
  CHECK(seen.size() == 4);
}
