// A lock between processes that survives the death of its holder.
//
// The word is 0 when free, else the holder's OwnerId with the lowest bit set once somebody may be
// asleep on it. Since the word itself says who holds it, beyond any doubt of a recycled pid, the
// next in line can see that the holder is dead and take the lock over by one compare-exchange.
// A holder that dies while it is taking over is found in just the same way by the next.
//
// A lock for user code stays with a holder that ended normally, as the standard library's does (`AfterExit::stays`,
// docs/reliability.md): then the word names who left it behind (owner.hpp), which counts as alive, until somebody
// unlocks it.
//
// A pthread robust mutex would do the same, but keeps pointers in shared memory that its unlock
// follows: a damaged segment could then crash the process (docs/adr/0001).
//
// Locks are held for short, bounded sections that never run foreign code, so a signal handler
// that uses the same queue cannot meet a lock held by the code that it interrupted.
#pragma once

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/owner.hpp"
#include "conveyor/base/wait.hpp"

namespace conveyor {

enum class Locked {
  clean,        // as the last holder left it
  recovered,    // taken from a dead holder: it may have stopped anywhere inside
  busy,         // not got by the deadline
  interrupted,  // a signal came, or a slice of the wait is over: look for signals, and call again
};

// What becomes of a lock whose holder ended by an exit. When a signal or `exec` ended it, the lock always passes on.
enum class AfterExit { passes_on, stays };

// Between two looks for signals, so long at most is waited for a lock that only one who was stopped holds for long.
inline constexpr Nanoseconds lock_slice = 20'000'000;

class Lock {
 public:
  // Spins for about a microsecond, never sleeps: for callers that hold something others need.
  Locked try_acquire();
  // Sleeps when needed, until the deadline, and looks every few milliseconds whether the holder lives.
  Locked acquire(Nanoseconds deadline);
  // For one slice at most, with a look at its end: for the locks of programs, which may be held for long, and stay with
  // a holder that ended by an exit.
  Locked acquire(Nanoseconds deadline, Slices& slices);

  // One look, for those who come by often: `busy`, or got. sync point "lock": acquires what unlock released.
  Locked take(OwnerId me) {
    std::uint64_t seen = 0;
    return word_.compare_exchange_strong(seen, me, conveyor::acquire, relaxed) ? Locked::clean : Locked::busy;
  }
  // The same from a holder that is dead; asks the system whether it is.
  Locked take_from_dead(OwnerId me, AfterExit after_exit);
  // By its holder `me`, which is about to end normally: leaves it behind, held. Nothing, if it holds it not.
  void leave(OwnerId me);

  // False: it was free, and nobody's.
  bool unlock() {
    // sync point "lock": release here, acquire in try_acquire, acquire and take-over. What one
    // holder wrote is seen by the next.
    const std::uint64_t word = word_.exchange(0, release);
    if ((word & contended) != 0) wake_next();
    return word != 0;
  }

  // Who holds it now, `nobody` when it is free; for those who only watch.
  OwnerId holder() const { return word_.load(relaxed) & ~contended; }  // relaxed: out of date at once anyway
  bool awaited() const { return (word_.load(relaxed) & contended) != 0; }  // relaxed: likewise

 private:
  static constexpr std::uint64_t contended = 1;
  void wake_next();
  // Takes it from `seen`, which is not alive, unless it is to stay with that one: then `busy`, as when the word changes.
  Locked inherit(std::uint64_t seen, OwnerId me, AfterExit after_exit);
  Locked sleep_until(Nanoseconds end, AfterExit after_exit);
  Atomic<std::uint32_t>* futex() { return reinterpret_cast<Atomic<std::uint32_t>*>(&word_); }

  Atomic<std::uint64_t> word_;
};

// For a lock that is needed in the middle of something, by a call that must end in time. Its holder may
// have been stopped, or the word damaged so that it names somebody alive: who waited in vain goes on
// without, and hardly waits again until the lock was got once more. One for each lock and process.
class LockPatience {
 public:
  constexpr LockPatience(Nanoseconds first, Nanoseconds later) : first_(first), later_(later) {}
  // clean, recovered, or busy. No signal interrupts it: it does not last.
  Locked acquire(Lock& lock);

 private:
  const Nanoseconds first_, later_;
  Atomic<bool> in_vain_{false};
};

}  // namespace conveyor
