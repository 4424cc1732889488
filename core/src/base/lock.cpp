#include "conveyor/base/lock.hpp"

#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

constexpr int spins = 100;
constexpr Nanoseconds look_every = 5'000'000;

}  // namespace

Locked Lock::try_acquire() {
  const std::uint64_t me = self();
  std::uint64_t seen = 0;
  // sync point "lock": acquires what unlock released.
  if (word_.compare_exchange_strong(seen, me, conveyor::acquire, relaxed)) return Locked::clean;
  static const bool may_spin = usable_cpus() > 1;
  if (!may_spin) return Locked::busy;
  for (int turn = 0; turn < spins; ++turn) {
    cpu_pause();
    seen = word_.load(relaxed);
    if (seen == 0 && word_.compare_exchange_weak(seen, me, conveyor::acquire, relaxed)) return Locked::clean;
  }
  return Locked::busy;
}

Locked Lock::acquire(Nanoseconds deadline) {
  if (try_acquire() == Locked::clean) return Locked::clean;
  for (;;) {
    const Nanoseconds now = monotonic_now();
    if (deadline <= now) return Locked::busy;
    const Locked got = sleep_until(deadline - now > look_every ? now + look_every : deadline, AfterExit::passes_on);
    if (got != Locked::busy) return got;
  }
}

Locked Lock::acquire(Nanoseconds deadline, Slices& slices) {
  if (try_acquire() == Locked::clean) return Locked::clean;
  const Nanoseconds now = monotonic_now();
  if (deadline <= now) return Locked::busy;
  const Nanoseconds slice = slices.next();
  const bool last = deadline - now <= slice;
  const Locked got = sleep_until(last ? deadline : now + slice, AfterExit::stays);
  return got == Locked::busy && !last ? Locked::interrupted : got;
}

// `busy`: it is held at that time, by one who lives or keeps it.
Locked Lock::sleep_until(Nanoseconds end, AfterExit after_exit) {
  const std::uint64_t me = self();
  for (;;) {
    std::uint64_t seen = word_.load(relaxed);
    if (seen == 0) {
      // Somebody else may be asleep: keep the mark, so that our unlock wakes the next.
      if (word_.compare_exchange_strong(seen, me | contended, conveyor::acquire, relaxed)) return Locked::clean;
      continue;
    }
    if ((seen & contended) == 0) {
      if (!word_.compare_exchange_strong(seen, seen | contended, relaxed, relaxed)) continue;
      seen |= contended;
    }
    const Nanoseconds left = end - monotonic_now();
    const FutexWait how = left > 0 ? futex_wait(futex(), static_cast<std::uint32_t>(seen), left) : FutexWait::timed_out;
    if (how == FutexWait::interrupted) return Locked::interrupted;
    if (how != FutexWait::timed_out) continue;
    return is_alive(seen & ~contended) ? Locked::busy : inherit(seen, me, after_exit);
  }
}

Locked Lock::inherit(std::uint64_t seen, OwnerId me, AfterExit after_exit) {
  const OwnerId holder = seen & ~contended;
  const bool stays = after_exit == AfterExit::stays && has_exited(holder);
  CONVEYOR_KILL_POINT("lock.before-take-over");
  // Somebody may be asleep on it, whatever the mark says by now. The word names one process for all time, so it cannot
  // have been freed and taken again by another in between. sync point "lock": acquires what the dead holder wrote.
  const OwnerId next = stays ? left_by(holder) : me;
  const bool done = word_.compare_exchange_strong(seen, next | contended, conveyor::acquire, relaxed);
  return done && !stays ? Locked::recovered : Locked::busy;
}

Locked Lock::take_from_dead(OwnerId me, AfterExit after_exit) {
  const std::uint64_t seen = word_.load(relaxed);
  if (seen == 0) return take(me);
  return is_alive(seen & ~contended) ? Locked::busy : inherit(seen, me, after_exit);
}

void Lock::leave(OwnerId me) {
  std::uint64_t seen = word_.load(relaxed);
  // sync point "lock": release, for the process that unlocks it and for its next holder.
  while ((seen & ~contended) == me &&
         !word_.compare_exchange_weak(seen, left_by(me) | (seen & contended), conveyor::release, relaxed)) {
  }
  CONVEYOR_KILL_POINT("leave.lock");
}

Locked LockPatience::acquire(Lock& lock) {
  Locked got = lock.try_acquire();
  if (got != Locked::clean) {
    const Nanoseconds deadline = monotonic_now() + (in_vain_.load(relaxed) ? later_ : first_);  // relaxed: a guess
    do {
      got = lock.acquire(deadline);
    } while (got == Locked::interrupted);
  }
  const bool in_vain = got == Locked::busy;
  if (in_vain_.load(relaxed) != in_vain) in_vain_.store(in_vain, relaxed);
  return got;
}

void Lock::wake_next() {
  CONVEYOR_KILL_POINT("lock.before-wake");
  futex_wake(futex(), 1);
}

}  // namespace conveyor
