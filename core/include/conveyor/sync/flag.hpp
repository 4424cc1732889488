// Flag: an event between processes, set or not, that can be waited for. Nobody holds it, so nobody's death matters.
#pragma once

#include <climits>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/sync/cells_layout.hpp"

namespace conveyor {

class Flag {
 public:
  explicit Flag(EventCell& cell) : cell_(&cell) {}
  // sync point "flag": what was written before `set` is seen by every process that finds it set.
  bool is_set() const { return (cell_->word.load(acquire) & 1) != 0; }
  void set() {
    std::uint64_t seen = cell_->word.load(relaxed);
    do {
      if ((seen & 1) != 0) break;
      // sync point "flag": release
    } while (!cell_->word.compare_exchange_weak(seen, (seen | 1) + 2, acq_rel, relaxed));
    CONVEYOR_KILL_POINT("state.event-set");
    cell_->changed.notify(INT_MAX);
  }
  void clear() { cell_->word.fetch_and(~std::uint64_t{1}, acq_rel); }

  // How often it was set so far.
  std::uint64_t times_set() const { return cell_->word.load(acquire) >> 1; }
  // `again`: it was set since that number was `seen`.
  Waited wait(std::uint64_t seen, Nanoseconds deadline, Slices& slices) {
    for (;;) {
      const std::uint32_t epoch = cell_->changed.announce();
      if (times_set() != seen) return Waited::again;
      if (const Waited how = cell_->changed.sleep(epoch, deadline, slices); how != Waited::again) return how;
    }
  }

 private:
  EventCell* cell_;
};

}  // namespace conveyor
