// Who ends normally keeps what others may give back for it; who is killed does not.
#include <doctest/doctest.h>

#include "conveyor/process/normal_end.hpp"
#include "conveyor/queue/stream.hpp"
#include "conveyor/sync/mutex.hpp"
#include "conveyor/sync/semaphore.hpp"
#include "state_lab.hpp"

using namespace conveyor;
using state::acquired;
using state::Gate;
using state::reap;
using state::second;
using state::start;

namespace {

Nanoseconds soon() { return monotonic_now() + second; }
Nanoseconds shortly() { return monotonic_now() + 50'000'000; }

Place noted(CellType type, std::size_t size) {
  const Place place = carve(type, size);
  place.region->noted_cells().note(place.offset, leave_cells);
  return place;
}

}  // namespace

TEST_CASE("what was left behind names who left it, and is alive") {
  const OwnerId left = left_by(self());
  CHECK(is_left(left));
  CHECK_FALSE(is_left(self()));
  CHECK_FALSE(is_left(nobody));
  CHECK_FALSE(is_left(make_owner(1, 0)));
  CHECK(owner_pid(left) == owner_pid(self()));
  CHECK(is_alive(left));
}

TEST_CASE("a lock stays with whoever ended normally, and passes on from whoever was killed") {
  const Place place = noted(CellType::lock, sizeof(LockCell));
  Mutex mutex(place.as<LockCell>());

  SUBCASE("it says so") {
    CHECK(reap(start([&] {
            mutex.take();
            end_normally();
          })) == 0);
    CHECK(acquired(mutex, shortly()) == Locked::busy);
    CHECK(mutex.release());
  }
  SUBCASE("it does not say so, and its parent has not waited for it yet") {
    const pid_t child = start([&] { mutex.take(); });
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
    CHECK(acquired(mutex, shortly()) == Locked::busy);
    CHECK(reap(child) == 0);
    CHECK(acquired(mutex, shortly()) == Locked::busy);  // it was noted
    CHECK(mutex.release());
  }
  SUBCASE("it was killed") {
    CHECK(reap(start([&] {
            mutex.take();
            state::die();
          })) == -SIGKILL);
    CHECK(acquired(mutex, soon()) == Locked::recovered);
    CHECK(mutex.release());
  }
  SUBCASE("it lets go of the region, holding the lock") {
    const pid_t child = start([&] {
      mutex.take();
      leave_cells(*place.region);
      state::die();
    });
    CHECK(reap(child) == -SIGKILL);
    CHECK(acquired(mutex, shortly()) == Locked::busy);
    CHECK(mutex.release());
  }
  SUBCASE("others wait for it, and get it from whoever gives it back") {
    CHECK(reap(start([&] {
            mutex.take();
            end_normally();
          })) == 0);
    const Gate waiting;
    const pid_t child = start([&] {
      waiting.open();
      _exit(acquired(mutex, monotonic_now() + 10 * second) == Locked::clean ? 0 : 1);
    });
    waiting.pass();
    CHECK(mutex.release());
    CHECK(reap(child) == 0);
    CHECK(acquired(mutex, soon()) == Locked::recovered);  // it said nothing, and its parent has asked: nobody can know
    CHECK(mutex.release());
  }
  CHECK(mutex.take() == Locked::clean);
}

TEST_CASE("a semaphore's units stay with whoever ended normally, until somebody gives them back") {
  const Place place = noted(CellType::semaphore, sizeof(SemaphoreCell));
  Semaphore semaphore(place.as<SemaphoreCell>());
  semaphore.initialise(2, 2);
  const auto launch = [&](bool says) {
    return start([&, says] {
      acquired(semaphore, soon());
      if (says) end_normally();
    });
  };
  CHECK(reap(launch(true)) == 0);
  const pid_t silent = launch(false);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(silent), &info, WEXITED | WNOWAIT);
  CHECK(acquired(semaphore, shortly()) == Acquired::none);
  CHECK(reap(silent) == 0);
  CHECK(acquired(semaphore, shortly()) == Acquired::none);
  // The jobs give back what their launchers took: no unit is given twice, and the semaphore is no signal.
  for (int job = 0; job < 2; ++job) CHECK(reap(start([&] { semaphore.release(1); })) == 0);
  CHECK(semaphore.value() == 2);
  CHECK(semaphore.release(1) == Semaphore::Released::too_many);
  CHECK(reap(start([&] {
          acquired(semaphore, soon());
          state::die();
        })) == -SIGKILL);
  CHECK(acquired(semaphore, soon()) == Acquired::taken);
  CHECK(acquired(semaphore, soon()) == Acquired::after_death);  // what the killed had comes back, as before
  semaphore.release(2);
  CHECK(semaphore.value() == 2);
}

TEST_CASE("many that end normally with units need no places") {
  const Place place = noted(CellType::semaphore, sizeof(SemaphoreCell));
  Semaphore semaphore(place.as<SemaphoreCell>());
  constexpr int many = semaphore_places + 10;
  semaphore.initialise(many, 0);
  for (int i = 0; i < many; ++i) {
    CHECK(reap(start([&] {
            acquired(semaphore, soon());
            end_normally();
          })) == 0);
  }
  CHECK(semaphore.try_acquire() == Acquired::none);
  semaphore.release(many);
  CHECK(semaphore.value() == many);
}

TEST_CASE("the end does not wait for a consumer that is stopped") {
  Bounds bounds;
  bounds.counts_tasks = true;
  const auto segment = Segment::create(bounds);
  Stream stream(segment);
  const std::uint64_t number = 7;
  Outgoing item;
  item.data = reinterpret_cast<const std::byte*>(&number);
  item.size = sizeof number;
  std::size_t done = 0;
  REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
  const Gate taken, go;
  const pid_t child = start([&] {
    struct {
      bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
      bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
    } sink;
    std::size_t got = 0;
    segment->note_getting();
    stream.take(1, sink, got);
    taken.open();
    go.pass();
    end_normally();
  });
  taken.pass();
  REQUIRE(segment->header().consumers.lock.acquire(soon()) == Locked::clean);  // we are alive, and do nothing
  {
    const state::InTime in_time;
    go.open();
    CHECK(reap(child) == 0);
  }
  segment->header().consumers.lock.unlock();
  std::uint64_t unfinished = 0;
  CHECK(stream.count_unfinished(unfinished, forever) == Status::ok);
  CHECK(unfinished == 1);
}
