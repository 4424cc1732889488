// Condition: processes that wait, holding a lock, for another that holds it to notify so many of them.
//
// Each that waits has a place with its own futex word. The notifier, under the same lock of the user's, goes through
// the places in the order of their tickets, and marks those it chooses; it passes over the dead. A notified process
// clears its place only when it has the lock again: should it die before, another that waits finds that (it looks
// every quarter of a second) and takes its notification over. So a notification reaches somebody alive, if
// anybody waits. More than `condition_places` may wait: the rest share one event count, and each of them may return
// from `wait` without having been chosen, as a condition's waiter must always expect.
#pragma once

#include "conveyor/sync/cells_layout.hpp"

namespace conveyor {

class Condition {
 public:
  explicit Condition(ConditionCell& cell) : cell_(&cell) {}

  struct Waiter {
    std::uint32_t place = condition_places;  // condition_places: none
    std::uint32_t epoch = 0;
  };
  // Under the lock: from now on we can be chosen.
  Waiter enter();
  // Without the lock, for one slice at most. `again`: notified, or taken over from one who died.
  Waited wait(const Waiter& waiter, Nanoseconds deadline, Slices& slices);
  // Under the lock again. True: we were notified, even if `wait` did not see it.
  bool leave(const Waiter& waiter);
  // Under the lock.
  void notify(std::uint32_t count);
  // How many wait; those are alive, or have died without anybody noticing.
  std::uint32_t waiting() const;

 private:
  bool inherit(std::uint32_t own);
  Atomic<std::uint32_t>* futex(std::uint32_t place) {
    return reinterpret_cast<Atomic<std::uint32_t>*>(&cell_->places[place].word);
  }

  ConditionCell* cell_;
};

}  // namespace conveyor
