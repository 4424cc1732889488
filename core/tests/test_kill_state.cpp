// A process is killed at every named step of the shared state; whoever is left goes on, and all adds up.
#include <sys/mman.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "conveyor/sync/barrier.hpp"
#include "conveyor/sync/condition.hpp"
#include "conveyor/sync/flag.hpp"
#include "conveyor/sync/mutex.hpp"
#include "conveyor/sync/number.hpp"
#include "conveyor/sync/semaphore.hpp"
#include "crash_lab.hpp"
#include "state_lab.hpp"

using namespace conveyor;
using state::acquired;
using state::die;
using state::Gate;
using state::met_by;
using state::reap;
using state::second;
using state::start;
using state::waited;

namespace {

const char* const points[] = {
#include "kill_points.inc"
};

std::atomic<std::uint32_t>& deaths() {
  static auto* const shared = new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
      std::atomic<std::uint32_t>(0);
  return *shared;
}

// A child that does this, and dies at the point if it passes it.
pid_t doomed(const std::string& point, const std::function<void()>& what, int hit = 1) {
  return start([&] {
    crash::meet({point, hit}, deaths());
    what();
  });
}

template <class Cell>
Cell& carved(CellType type, std::vector<Place>& kept, std::size_t size = sizeof(Cell)) {
  kept.push_back(carve(type, size));
  return kept.back().as<Cell>();
}

Nanoseconds soon() { return monotonic_now() + second; }

void carving(const std::string& point) {
  const Place before = carve(CellType::lock, sizeof(LockCell));
  reap(doomed(point, [] { carve(CellType::lock, sizeof(LockCell)); }));
  const Place after = carve(CellType::lock, sizeof(LockCell));
  CHECK(after.offset > before.offset);
}

void recursive(const std::string& point) {
  std::vector<Place> kept;
  RecursiveMutex mutex(carved<LockCell>(CellType::lock, kept));
  reap(doomed(point, [&] {
    acquired(mutex, 1, soon());
    acquired(mutex, 1, soon());
    mutex.release(1);
    mutex.release(1);
  }));
  const Locked how = acquired(mutex, 1, soon());
  CHECK((how == Locked::clean || how == Locked::recovered));
  CHECK(mutex.depth() == 1);
  CHECK(mutex.release(1));
  CHECK(mutex.take(2) == Locked::clean);
}

// Exactly so many can be had.
void check_units(Semaphore& semaphore, int units) {
  for (int i = 0; i < units; ++i) {
    const Acquired how = acquired(semaphore, soon());
    CHECK((how == Acquired::taken || how == Acquired::after_death));
  }
  CHECK(semaphore.try_acquire() == Acquired::none);
}

void guarding(const std::string& point) {
  std::vector<Place> kept;
  Semaphore semaphore(carved<SemaphoreCell>(CellType::semaphore, kept));
  semaphore.initialise(2, 2);
  const auto work = [&] {
    acquired(semaphore, soon());
    acquired(semaphore, soon());
    semaphore.release(2);
    acquired(semaphore, soon());
    die();
  };
  reap(doomed(point, work));
  reap(doomed(point, work));
  check_units(semaphore, 2);
  semaphore.release(2);
  CHECK(semaphore.value() == 2);
}

void signalling(const std::string& point) {
  std::vector<Place> kept;
  Semaphore semaphore(carved<SemaphoreCell>(CellType::semaphore, kept));
  semaphore.initialise(1, 0);
  reap(start([&] {
    acquired(semaphore, soon());
    die();  // and leaves a count that is folded when somebody looks
  }));
  const std::uint32_t before = deaths();
  reap(doomed(point, [&] { semaphore.release(1); }));
  const bool died = deaths() != before;
  // Whoever dies in it has given the unit, or has not.
  std::int64_t units = semaphore.value();
  CHECK(units <= 1);
  CHECK((died || units == 1));
  if (units == 0) {
    reap(start([&] { semaphore.release(1); }));
    units = semaphore.value();
  }
  CHECK(units == 1);
  const pid_t taker = doomed(point, [&] {
    acquired(semaphore, soon());
    semaphore.try_acquire();
    _exit(3);
  });
  const bool took = reap(taker) == 3;
  // One that died in the middle of it has used the unit up, or has not.
  if (!took && semaphore.value() != 0) check_units(semaphore, 1);
  check_units(semaphore, 0);
  semaphore.release(1);
  check_units(semaphore, 1);
}

[[noreturn]] void wait_for(Condition& condition) {
  const Condition::Waiter waiter = condition.enter();
  const bool notified = waited(condition, waiter, monotonic_now() + 3 * second) == Waited::again;
  condition.leave(waiter);
  _exit(notified ? 0 : 1);
}

void until_waiting(const Condition& condition, std::uint32_t count) {
  while (condition.waiting() != count) std::this_thread::yield();
}

void entering_condition(const std::string& point) {
  std::vector<Place> kept;
  Condition condition(carved<ConditionCell>(CellType::condition, kept));
  const pid_t victim = doomed(point, [&] {
    const Condition::Waiter waiter = condition.enter();
    waited(condition, waiter, monotonic_now() + 1'000'000);
    condition.leave(waiter);
  });
  reap(victim);
  const std::uint32_t left = condition.waiting();
  const pid_t survivor = start([&] { wait_for(condition); });
  until_waiting(condition, left + 1);
  condition.notify(1);
  CHECK(reap(survivor) == 0);
}

void notified_and_dead(const std::string& point) {
  if (point == "state.condition-entered") return;  // it would never be seen to wait
  std::vector<Place> kept;
  Condition condition(carved<ConditionCell>(CellType::condition, kept));
  const std::uint32_t before = deaths();
  const pid_t first = doomed("state.condition-leaving", [&] { wait_for(condition); });
  until_waiting(condition, 1);
  const pid_t second_waiter = doomed(point, [&] { wait_for(condition); });
  until_waiting(condition, 2);
  const pid_t third = start([&] { wait_for(condition); });
  until_waiting(condition, 3);
  condition.notify(1);
  CHECK(reap(first) == -SIGKILL);
  deaths() = before;  // that one was not what this is about
  // One of the two inherits; if it is the victim, and it dies of that, the other does.
  int status = 0;
  pid_t woken = waitpid(-1, &status, 0);
  if (WIFSIGNALED(status)) {
    ++deaths();
    woken = waitpid(-1, &status, 0);
  } else {
    condition.notify(1);
    const pid_t last = waitpid(-1, &status, 0);
    if (WIFSIGNALED(status)) ++deaths();
    CHECK((last == second_waiter || last == third));
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
  CHECK((woken == second_waiter || woken == third));
}

void notifying(const std::string& point) {
  std::vector<Place> kept;
  Condition condition(carved<ConditionCell>(CellType::condition, kept));
  std::vector<pid_t> waiters;
  for (std::uint32_t i = 0; i < 2; ++i) {
    waiters.push_back(start([&] { wait_for(condition); }));
    until_waiting(condition, i + 1);
  }
  reap(doomed(point, [&] { condition.notify(2); }));
  condition.notify(2);
  for (const pid_t waiter : waiters) CHECK(reap(waiter) == 0);
}

Met meet(Barrier& barrier) {
  Barrier::Arrival arrival;
  const Met met = met_by(barrier, arrival, monotonic_now() + 3 * second);
  return met == Met::last ? barrier.open(arrival) : met;
}

BarrierCell& barrier_of(std::uint32_t parties, std::vector<Place>& kept) {
  auto& cell = carved<BarrierCell>(CellType::barrier, kept, Barrier::size_for(parties));
  cell.parties = parties;
  return cell;
}

void meeting(const std::string& point) {
  std::vector<Place> kept;
  Barrier barrier(barrier_of(2, kept));
  // The victim comes first; then last; then resets.
  const pid_t early = doomed(point, [&] {
    if (meet(barrier) == Met::broken) _exit(1);
  });
  const pid_t other = start([&] {
    const Met met = meet(barrier);
    _exit(met == Met::all ? 0 : met == Met::broken ? 1 : 2);
  });
  const bool uncounted = point == "state.barrier-arrived";
  if (uncounted) meet(barrier);
  reap(early);
  CHECK(reap(other) <= 1);
  barrier.reset();
  const pid_t waiting = start([&] { _exit(meet(barrier) == Met::timed_out ? 2 : 0); });
  while (barrier.waiting() != 1) std::this_thread::yield();
  reap(doomed(point, [&] { meet(barrier); }));
  if (uncounted) meet(barrier);
  CHECK(reap(waiting) == 0);
  barrier.reset();
  const pid_t let_go = start([&] { _exit(meet(barrier) == Met::all ? 0 : 1); });
  while (barrier.waiting() != 1) std::this_thread::yield();
  reap(doomed(point, [&] { meet(barrier); }, 2));  // as the last of all: it opens, and tells nobody
  if (barrier.is_broken() || barrier.waiting() != 0) barrier.spoil();
  CHECK((reap(let_go) == 0 || uncounted));
  barrier.reset();
  const pid_t told = start([&] { _exit(meet(barrier) == Met::broken ? 0 : 1); });
  while (barrier.waiting() != 1) std::this_thread::yield();
  reap(doomed(point, [&] { barrier.reset(); }));
  barrier.reset();
  CHECK(reap(told) == 0);
  const pid_t again = start([&] { _exit(meet(barrier) == Met::all ? 0 : 1); });
  CHECK(meet(barrier) == Met::all);
  CHECK(reap(again) == 0);
}

void telling(const std::string& point) {
  std::vector<Place> kept;
  auto& event = carved<EventCell>(CellType::event, kept);
  auto& number = carved<NumberCell>(CellType::number, kept);
  const pid_t waiter = start([&] {
    Flag flag(event);
    _exit(waited(flag, monotonic_now() + 3 * second) == Waited::again ? 0 : 1);
  });
  while (!event.changed.has_sleepers()) std::this_thread::yield();
  reap(doomed(point, [&] {
    Flag(event).set();
    std::int64_t sum = 0;
    Number<std::int64_t>(number.bits, number.changed).add(1, sum);
  }));
  CHECK(reap(waiter) == 0);
  CHECK(Flag(event).is_set());
  CHECK(Number<std::int64_t>(number.bits, number.changed).load() <= 1);
}

// Which points each may pass: all the others would only cost time.
struct Scenario {
  const char* about;
  void (*run)(const std::string& point);
};
const Scenario scenarios[] = {
    {"carved", carving},
    {"rlock", recursive},
    {"semaphore", guarding},
    {"semaphore", signalling},
    {"condition", entering_condition},
    {"condition", notified_and_dead},
    {"condition", notifying},
    {"barrier", meeting},
    {"event", telling},
    {"number", telling},
};

}  // namespace

TEST_CASE("a process killed at any step of the shared state harms nobody") {
  for (const std::string point : points) {
    if (!point.starts_with("state.")) continue;
    CAPTURE(point);
    deaths() = 0;
    // Who of two heirs is the first is up to the scheduler: again, until it was the one that is to die.
    for (int attempt = 0; attempt < 20 && deaths() == 0; ++attempt) {
      for (const Scenario& scenario : scenarios) {
        if (point.find(scenario.about) != std::string::npos) scenario.run(point);
      }
    }
    CHECK(deaths() != 0);
  }
}
