// Locks for user code, semaphores, events, conditions, barriers and numbers, among processes that live and die.
#include <sys/mman.h>

#include <thread>
#include <vector>

#include "conveyor/sync/barrier.hpp"
#include "conveyor/sync/condition.hpp"
#include "conveyor/sync/flag.hpp"
#include "conveyor/sync/mutex.hpp"
#include "conveyor/sync/number.hpp"
#include "conveyor/sync/semaphore.hpp"
#include "state_lab.hpp"

using namespace conveyor;
using state::acquired;
using state::die;
using state::Gate;
using state::InTime;
using state::met_by;
using state::reap;
using state::second;
using state::start;
using state::waited;

namespace {

template <class Cell>
struct Carved {
  explicit Carved(CellType type, std::size_t size = sizeof(Cell)) : place(carve(type, size)), cell(place.as<Cell>()) {}
  Place place;
  Cell& cell;
};

struct Lockable : Carved<LockCell> {
  Lockable() : Carved(CellType::lock) {}
};

struct Counting : Carved<SemaphoreCell> {
  explicit Counting(std::uint32_t value, std::uint32_t bound = 0) : Carved(CellType::semaphore), semaphore(cell) {
    semaphore.initialise(value, bound);
  }
  Semaphore semaphore;
};

struct Meeting : Carved<BarrierCell> {
  explicit Meeting(std::uint32_t parties)
      : Carved(CellType::barrier, Barrier::size_for(parties)), barrier((cell.parties = parties, cell)) {}
  Barrier barrier;
};

Met meet(Barrier& barrier, Nanoseconds deadline = forever) {
  Barrier::Arrival arrival;
  const Met met = met_by(barrier, arrival, deadline);
  return met == Met::last ? barrier.open(arrival) : met;
}

}  // namespace

TEST_CASE("a mutex excludes threads and processes, and its holder's death is told to the next") {
  const Lockable lock;
  Mutex mutex(lock.cell);
  CHECK(mutex.take() == Locked::clean);
  CHECK(mutex.take() == Locked::busy);
  CHECK(mutex.try_harder() == Locked::busy);
  CHECK(mutex.release());
  CHECK(!mutex.release());
  CHECK(reap(start([&] {
          mutex.take();
          die();
        })) == -SIGKILL);
  {
    const InTime in_time;
    CHECK(acquired(mutex, forever) == Locked::recovered);
  }
  CHECK(mutex.release());
  CHECK(acquired(mutex, forever) == Locked::clean);
  CHECK(reap(start([&] { _exit(mutex.release() ? 0 : 1); })) == 0);  // anybody may
}

TEST_CASE("who only tries gets a dead holder's lock, too") {
  const Lockable lock;
  reap(start([&] {
    Mutex(lock.cell).take();
    die();
  }));
  Mutex mutex(lock.cell);
  CHECK(mutex.take() == Locked::busy);
  CHECK(mutex.try_harder() == Locked::recovered);
}

TEST_CASE("one who waits when the holder dies gets it within a second") {
  const Lockable lock;
  const Gate held, go;
  const pid_t child = start([&] {
    Mutex(lock.cell).take();
    held.open();
    go.pass();
    die();
  });
  held.pass();
  Mutex mutex(lock.cell);
  CHECK(acquired(mutex, monotonic_now() + second / 2) == Locked::busy);  // it looks rarely by now
  go.open();
  reap(child);
  const InTime in_time;
  CHECK(acquired(mutex, forever) == Locked::recovered);
}

TEST_CASE("a recursive mutex counts for its thread, and lets nobody else release it") {
  const Lockable lock;
  RecursiveMutex mutex(lock.cell);
  CHECK(mutex.take(1) == Locked::clean);
  CHECK(mutex.take(1) == Locked::clean);
  CHECK(mutex.take(2) == Locked::busy);
  CHECK(!mutex.release(2));
  CHECK(reap(start([&] { _exit(RecursiveMutex(lock.cell).release(1) ? 1 : 0); })) == 0);
  CHECK(mutex.release(1));
  CHECK(mutex.is_mine(1));
  CHECK(mutex.release(1));
  CHECK(!mutex.release(1));
  CHECK(mutex.take(1) == Locked::clean);
  CHECK(mutex.take(1) == Locked::clean);
  CHECK(mutex.leave() == 2);
  CHECK(mutex.take(2) == Locked::clean);
  CHECK(mutex.depth() == 1);
}

TEST_CASE("a semaphore counts, and is bounded if asked to") {
  const Counting two(2, 2);
  Semaphore semaphore = two.semaphore;
  CHECK(semaphore.value() == 2);
  CHECK(semaphore.try_acquire() == Acquired::taken);
  CHECK(acquired(semaphore, forever) == Acquired::taken);
  CHECK(semaphore.try_acquire() == Acquired::none);
  const Nanoseconds began = monotonic_now();
  CHECK(acquired(semaphore, began + 30'000'000) == Acquired::none);
  CHECK(monotonic_now() - began >= 30'000'000);
  CHECK(semaphore.release(2) == Semaphore::Released::done);
  CHECK(semaphore.release(1) == Semaphore::Released::too_many);
  CHECK(semaphore.value() == 2);
}

TEST_CASE("what dead holders had of a semaphore comes back, once") {
  Counting three(3);
  for (int round = 0; round < 100; ++round) {
    reap(start([&] {
      acquired(three.semaphore, forever);
      acquired(three.semaphore, forever);
      if (round % 2 == 0) three.semaphore.release(1);
      die();
    }));
    const InTime in_time;
    CHECK(acquired(three.semaphore, forever) == Acquired::taken);
    if (round % 2 == 0) CHECK(acquired(three.semaphore, forever) == Acquired::taken);
    CHECK(acquired(three.semaphore, forever) == Acquired::after_death);
    if (round % 2 != 0) CHECK(acquired(three.semaphore, forever) == Acquired::taken);
    CHECK(three.semaphore.try_acquire() == Acquired::none);
    CHECK(three.semaphore.release(3) == Semaphore::Released::done);
    CHECK(three.semaphore.value() == 3);
  }
}

TEST_CASE("a semaphore used as a signal does not get back what was used up") {
  Counting signal(0);
  CHECK(signal.semaphore.release(1) == Semaphore::Released::done);
  const Gate taken, go;
  const pid_t child = start([&] {
    acquired(signal.semaphore, forever);
    taken.open();
    go.pass();
    die();
  });
  taken.pass();
  go.open();
  reap(child);
  CHECK(signal.semaphore.try_acquire() == Acquired::none);
  // Acquired before anybody could know that it is a signal.
  Counting later(1);
  reap(start([&] {
    acquired(later.semaphore, forever);
    die();
  }));
  CHECK(later.semaphore.release(1) == Semaphore::Released::done);
  CHECK(later.semaphore.try_acquire() == Acquired::taken);
  CHECK(later.semaphore.try_acquire() == Acquired::none);
}

TEST_CASE("more processes than a semaphore has places take and give back") {
  Counting many(100);
  const Gate taken, go;
  std::vector<pid_t> children;
  for (int i = 0; i < 70; ++i) {
    children.push_back(start([&] {
      acquired(many.semaphore, forever);
      taken.open();
      go.pass();
      many.semaphore.release(1);
    }));
  }
  for (int i = 0; i < 70; ++i) taken.pass();
  CHECK(many.semaphore.value() == 30);
  for (int i = 0; i < 70; ++i) go.open();
  for (const pid_t child : children) CHECK(reap(child) == 0);
  CHECK(many.semaphore.value() == 100);
}

TEST_CASE("a flag lets go all that wait, even if it is cleared at once") {
  const Carved<EventCell> carved(CellType::event);
  Flag flag(carved.cell);
  CHECK(waited(flag, monotonic_now() + 10'000'000) == Waited::timed_out);
  const Gate about;
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(start([&] {
      about.open();
      _exit(waited(flag, forever) == Waited::again ? 0 : 1);
    }));
  }
  for (int i = 0; i < 3; ++i) about.pass();
  while ((carved.cell.changed.has_sleepers() ? 1 : 0) == 0) std::this_thread::yield();
  flag.set();
  CHECK(flag.is_set());
  for (const pid_t child : children) CHECK(reap(child) == 0);
  CHECK(waited(flag, 0) == Waited::again);
  flag.clear();
  CHECK(!flag.is_set());
}

TEST_CASE("a condition wakes as many as it is told, the longest waiting first, and not the dead") {
  const Carved<ConditionCell> carved(CellType::condition);
  Condition condition(carved.cell);
  // The lock of the user is left out: this process alone notifies, and looks that all have entered.
  const auto wait = [&] {
    Condition::Waiter waiter = condition.enter();
    const Waited how = waited(condition, waiter, forever);
    condition.leave(waiter);
    _exit(how == Waited::again ? 0 : 1);
  };
  const auto until_waiting = [&](std::uint32_t count) {
    while (condition.waiting() != count) std::this_thread::yield();
  };
  const pid_t first = start(wait);
  until_waiting(1);
  const pid_t dead = start(wait);
  until_waiting(2);
  const pid_t third = start(wait);
  until_waiting(3);
  kill(dead, SIGKILL);
  reap(dead);
  condition.notify(1);
  CHECK(reap(first) == 0);
  condition.notify(1);
  CHECK(reap(third) == 0);
  CHECK(condition.waiting() == 0);
  condition.notify(5);
  const Condition::Waiter alone = condition.enter();
  CHECK(waited(condition, alone, monotonic_now() + 10'000'000) == Waited::timed_out);
  CHECK(!condition.leave(alone));
}

TEST_CASE("more may wait for a condition than it has places") {
  const Carved<ConditionCell> carved(CellType::condition);
  Condition condition(carved.cell);
  std::vector<pid_t> children;
  for (int i = 0; i < 60; ++i) {
    children.push_back(start([&] {
      const Condition::Waiter waiter = condition.enter();
      const bool notified = waited(condition, waiter, forever) == Waited::again;
      condition.leave(waiter);
      _exit(notified ? 0 : 1);
    }));
  }
  while (condition.waiting() != 60) std::this_thread::yield();
  condition.notify(UINT32_MAX);
  for (const pid_t child : children) CHECK(reap(child) == 0);
  CHECK(condition.waiting() == 0);
}

TEST_CASE("parties meet again and again") {
  Meeting meeting(3);
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) {
    children.push_back(start([&] {
      for (int round = 0; round < 500; ++round) {
        if (meet(meeting.barrier) != Met::all) _exit(1);
      }
    }));
  }
  for (int round = 0; round < 500; ++round) REQUIRE(meet(meeting.barrier) == Met::all);
  for (const pid_t child : children) CHECK(reap(child) == 0);
  CHECK(meeting.barrier.waiting() == 0);
}

TEST_CASE("a barrier whose waiting party dies breaks, and a reset makes it new") {
  Meeting meeting(3);
  const pid_t child = start([&] { meet(meeting.barrier); });
  while (meeting.barrier.waiting() != 1) std::this_thread::yield();
  const pid_t other = start([&] { _exit(meet(meeting.barrier) == Met::broken ? 0 : 1); });
  while (meeting.barrier.waiting() != 2) std::this_thread::yield();
  {
    const InTime in_time;
    kill(child, SIGKILL);
    reap(child);
    CHECK(reap(other) == 0);
  }
  CHECK(meeting.barrier.is_broken());
  CHECK(meet(meeting.barrier) == Met::broken);
  meeting.barrier.reset();
  CHECK(meet(meeting.barrier, monotonic_now() + 10'000'000) == Met::timed_out);
  CHECK(meeting.barrier.is_broken());
}

TEST_CASE("those that wait while a barrier is reset are told so") {
  Meeting meeting(2);
  const pid_t child = start([&] { _exit(meet(meeting.barrier) == Met::broken ? 0 : 1); });
  while (meeting.barrier.waiting() != 1) std::this_thread::yield();
  meeting.barrier.reset();
  CHECK(reap(child) == 0);
  CHECK(!meeting.barrier.is_broken());
  meeting.cell.parties = 0;
  CHECK_THROWS_AS(Barrier{meeting.cell}, SegmentError);
}

TEST_CASE("numbers: many processes add, and none is lost") {
  const Carved<NumberCell> carved(CellType::number);
  Number<std::int64_t> number(carved.cell.bits, carved.cell.changed);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(start([&] {
      std::int64_t sum = 0;
      for (int n = 0; n < 50'000; ++n) number.add(1, sum);
    }));
  }
  for (const pid_t child : children) CHECK(reap(child) == 0);
  CHECK(number.load() == 200'000);
}

TEST_CASE("numbers of each size: sums that do not fit are refused, exchanges compare numbers") {
  const Carved<NumberCell> carved(CellType::number);
  Number<std::uint8_t> small(carved.cell.bits, carved.cell.changed);
  std::uint8_t sum = 0;
  CHECK(small.add(250, sum));
  CHECK(!small.add(6, sum));
  CHECK(small.load() == 250);
  CHECK(small.exchange(3) == 250);
  CHECK(!small.compare_exchange(4, 5));
  CHECK(small.compare_exchange(3, 5));
  carved.cell.bits.store(0, relaxed);
  Number<double> real(carved.cell.bits, carved.cell.changed);
  real.store(-0.0);
  CHECK(real.compare_exchange(0.0, 1.5));
  double total = 0;
  CHECK(real.add(0.25, total));
  CHECK(total == 1.75);
}

TEST_CASE("one who waits for a number is woken by each change") {
  const Carved<NumberCell> carved(CellType::number);
  Number<std::int32_t> number(carved.cell.bits, carved.cell.changed);
  const pid_t child = start([&] {
    for (Slices slices;;) {
      const std::uint32_t epoch = carved.cell.changed.announce();
      if (number.load() == 100) return;
      carved.cell.changed.sleep(epoch, forever, slices);
    }
  });
  std::int32_t sum = 0;
  for (int i = 0; i < 100; ++i) number.add(1, sum);
  const InTime in_time;
  CHECK(reap(child) == 0);
}
