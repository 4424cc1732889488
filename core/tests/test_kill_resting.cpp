// A process is killed in a patient sleep, or in a producer's rest, just before or just after; and one that others were
// patient for. Those that sleep beside it would do so for a minute if nobody told them.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>

#include "conveyor/base/patience.hpp"
#include "conveyor/queue/pacing.hpp"
#include "conveyor/queue/stream.hpp"
#include "crash_lab.hpp"
#include "state_lab.hpp"

using namespace conveyor;
using state::reap;
using state::second;
using state::start;

namespace {

constexpr std::uint64_t places = 4;
constexpr Nanoseconds in_time = 10 * second;  // a sixth of what one sleeps who is not told
constexpr int most_tries = 2'000;             // to meet a moment of 50 µs

struct Away {
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
};

// From here on its sleeps last a minute, and it does not spin.
struct LongSleeps {
  Slices slices{60 * second};
  LongSleeps() {
    slices.first();
    for (const Nanoseconds now : {Nanoseconds{1}, second}) {
      slices.looked(1);
      for (int i = 0; i < 15; ++i) slices.next(now);
    }
  }
};

// One side of a queue with four places, where the other side's work is done by the test itself.
struct Half {
  std::shared_ptr<Segment> segment = Segment::create(Bounds{places});
  Stream stream{segment};
  bool for_room;

  explicit Half(bool is_for_room) : for_room(is_for_room) {
    for (std::uint64_t i = 0; for_room && i < places; ++i) put(stream);
  }
  Header& header() { return segment->header(); }
  EventCount& event() { return for_room ? header().not_full : header().not_empty; }
  WaitingSide& side() { return for_room ? header().waiting_producers : header().waiting_consumers; }
  Nanoseconds longest() const { return for_room ? Patience::most_for_room : Patience::most; }

  static bool put(Stream& to) {
    const std::uint32_t value = 7;
    Outgoing item;
    item.data = reinterpret_cast<const std::byte*>(&value);
    item.size = sizeof value;
    std::size_t done = 0;
    return to.put(&item, 1, done, second) == Status::ok;
  }
  static bool take(Stream& from) {
    Away sink;
    std::size_t done = 0;
    return from.take(1, sink, done) == Status::ok;
  }
  // What the waiting side wants: an item, or a place.
  bool give(Stream& by) const { return for_room ? take(by) : put(by); }
  // Waits for as many, and has them.
  void want(int count, Atomic<std::uint32_t>& had) const {
    Stream its(segment);
    LongSleeps sleeps;
    had.store(1);
    for (int i = 0; i < count; ++i) {
      while (!(for_room ? put(its) : take(its))) {
        for_room ? its.wait_not_full(4, forever, sleeps.slices) : its.wait_not_empty(forever, sleeps.slices);
      }
      had.fetch_add(1);
    }
  }
};

struct Seen {
  Atomic<std::uint32_t> by_first, by_second;
  std::atomic<std::uint32_t> deaths;
};

Seen& fresh() {
  static void* const at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *new (at) Seen{};
}

bool is_asleep(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/stat";
  std::FILE* const file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return false;
  char state = 0;
  const bool read = std::fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
  std::fclose(file);
  return read && state == 'S';
}

// It has begun, and there is nothing that it sleeps for but this.
void sleeps(pid_t process, Atomic<std::uint32_t>& had) {
  while (had.load() == 0 || !is_asleep(process)) std::this_thread::yield();
}

// Whether it ends by itself; if not, it does not go on.
bool ends_in_time(pid_t process) {
  for (const Nanoseconds end = monotonic_now() + in_time; monotonic_now() < end; std::this_thread::yield()) {
    int status = 0;
    if (waitpid(process, &status, WNOHANG) == process) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  kill(process, SIGKILL);
  reap(process);
  return false;
}

void end(pid_t process) {
  kill(process, SIGKILL);
  reap(process);
}

constexpr const char* from_outside = "";

// One waits, is woken, waits again, patient, and is killed there; another goes on sleeping beside it. False: it did not come
// to that.
bool killed_while_patient(bool for_room, const std::string& point) {
  Half half(for_room);
  Seen& seen = fresh();
  const pid_t victim = start([&] {
    crash::meet({point, 1}, seen.deaths);
    half.want(2, seen.by_first);
  });
  sleeps(victim, seen.by_first);
  const pid_t survivor = start([&] { half.want(1, seen.by_second); });
  sleeps(survivor, seen.by_second);
  CHECK(half.give(half.stream));  // to the first that sleeps
  bool died = false;
  if (point == from_outside) {
    const Nanoseconds last = monotonic_now() + 20'000'000;
    while (!half.side().is_patient(monotonic_now()) && monotonic_now() < last) {
    }
    kill(victim, SIGKILL);
    reap(victim);
    died = half.side().patient_until.load(relaxed) != 0;
  } else {
    // One that is not patient, or has been and lives, sleeps on.
    const Nanoseconds last = monotonic_now() + 50'000'000;
    while (seen.deaths.load() == 0 && monotonic_now() < last) std::this_thread::yield();
    died = seen.deaths.load() != 0;
    if (!died) kill(victim, SIGKILL);
    reap(victim);
  }
  if (!died) {
    end(survivor);
    return false;
  }
  const Nanoseconds left = half.side().patient_until.load(relaxed) - monotonic_now();
  CHECK(left <= half.longest());
  while (half.side().is_patient(monotonic_now())) {
  }
  CHECK(seen.by_second.load() == 1);
  CHECK(half.give(half.stream));
  CHECK(ends_in_time(survivor));
  CHECK(seen.by_second.load() == 2);
  CHECK(half.stream.check() == "");
  return true;
}

// One is patient, and who has something for it dies before it tells. It is stopped meanwhile, so that its patience is not
// over before. False: it did not come to that.
bool killed_before_telling(bool for_room) {
  Half half(for_room);
  Seen& seen = fresh();
  const pid_t sleeper = start([&] { half.want(2, seen.by_first); });
  sleeps(sleeper, seen.by_first);
  CHECK(half.give(half.stream));
  const Nanoseconds last = monotonic_now() + 20'000'000;
  while (!half.side().is_patient(monotonic_now()) && monotonic_now() < last) {
  }
  kill(sleeper, SIGSTOP);
  int status = 0;
  waitpid(sleeper, &status, WUNTRACED);
  if (half.side().patient_until.load(relaxed) == 0) {
    end(sleeper);
    return false;
  }
  CHECK(reap(start([&] {
          Stream its(half.segment);
          crash::meet({for_room ? "take.unlocked" : "put.unlocked", 1}, seen.deaths);
          half.give(its);
        })) == -SIGKILL);
  kill(sleeper, SIGCONT);
  CHECK(ends_in_time(sleeper));
  CHECK(seen.by_first.load() == 3);
  CHECK(half.stream.check() == "");
  return true;
}

}  // namespace

TEST_CASE("a process killed in a patient sleep, before or after it, leaves nobody asleep beside it") {
  for (const bool for_room : {false, true}) {
    for (const char* const point : {"wait.patient", "wait.patient-over", "wait.patient-looked", from_outside}) {
      CAPTURE(for_room);
      CAPTURE(point);
      int tries = 1;
      while (!killed_while_patient(for_room, point) && tries < most_tries) ++tries;
      CHECK(tries < most_tries);
    }
  }
}

TEST_CASE("who is patient looks by itself when the one who had something for it is killed") {
  for (const bool for_room : {false, true}) {
    CAPTURE(for_room);
    int tries = 1;
    while (!killed_before_telling(for_room) && tries < most_tries) ++tries;
    CHECK(tries < most_tries);
  }
}

TEST_CASE("a producer killed in its rest has put what it put, and holds nobody up") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  const auto put_page = [](Stream& to) {
    RunReference run;
    Outgoing item;
    item.run_count = 1;
    item.runs = &run;
    std::size_t done = 0;
    return to.allocate_run(page_size, run).error == 0 && to.put(&item, 1, done, second) == Status::ok;
  };
  Seen& seen = fresh();
  CHECK(reap(start([&] {
          Stream its(segment);
          Pacing pacing(segment->header());
          while (put_page(its)) {
            seen.by_first.fetch_add(1);
            if (pacing.is_due(1, [] { return page_size; })) pacing.rest([] { state::die(); });
          }
        })) == -SIGKILL);
  const std::uint64_t before = stream.depth();
  CHECK(before > Pacing::least_bytes / page_size);
  CHECK(before == seen.by_first.load());
  CHECK(put_page(stream));
  for (std::uint64_t i = 0; i <= before; ++i) CHECK(Half::take(stream));
  CHECK(stream.empty());
  segment->count_attached();
  CHECK(stream.check() == "");
}
