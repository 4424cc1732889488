// Semaphore: some units, taken and given back, by processes that may die with units in their hands.
//
// Each process that takes units has a place with their count; free is what is left of `capacity`. So taking is one
// store, giving back is one store, and a process that dies in between has done it or has not. When a holder is found
// killed, its count becomes 0: its units are free again.
//
// A holder that ended normally keeps its units, as with the standard library: somebody else may give them back. They
// are folded into the capacity, as used up, and counted in `left`: so many may be given back by processes that have none.
//
// Some use a semaphore as a signal: one process only takes, another only gives. There, units of the dead were used up,
// and must not come back. The first process that gives back what nobody had left shows that it is so used: from then
// on `signals` is set, units that are taken are used up (capacity falls), and what dead processes had taken before
// is folded into the capacity, as used up. So a unit may be lost with its holder, as in the standard library, but
// none comes back that somebody used up.
#pragma once

#include "conveyor/sync/cells_layout.hpp"

namespace conveyor {

enum class Acquired {
  taken,
  after_death,  // taken, and units of the dead were given back for it
  none,  // there are none free (by the deadline)
  interrupted,  // look for signals, and call again
};

class Semaphore {
 public:
  explicit Semaphore(SemaphoreCell& cell) : cell_(&cell) {}
  void initialise(std::uint32_t value, std::uint32_t bound);

  // Without waiting, unless for the lock.
  Acquired try_acquire() { return attempt(true); }
  // For one slice at most.
  Acquired acquire(Nanoseconds deadline, Slices& slices);
  enum class Released { done, too_many, interrupted };
  Released release(std::uint32_t count);
  // Units free; out of date at once.
  std::int64_t value() const;
  // By the process `me`, which is about to end normally: leaves behind what it has, without the lock.
  void leave(OwnerId me);

 private:
  bool enter();
  Acquired attempt(bool look);
  std::int64_t free_units() const;
  Acquired take_locked(bool look);
  bool look_for_dead();
  void gather_left();
  void fold(std::uint32_t place, std::int64_t capacity);
  void redo();
  SemaphorePlace* own_place(bool make);
  std::uint32_t used() const;

  SemaphoreCell* cell_;
};

}  // namespace conveyor
