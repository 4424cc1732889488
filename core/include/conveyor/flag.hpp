// Flag: an event between processes, set or not, that can be waited for. Nobody holds it, so nobody's death matters.
#pragma once

#include <climits>

#include "conveyor/cells.hpp"
#include "conveyor/kill_point.hpp"
#include "conveyor/mutex.hpp"

namespace conveyor {

class Flag {
 public:
  explicit Flag(EventCell& cell) : cell_(&cell) {}
  // sync point "flag": what was written before `set` is seen by whoever finds it set.
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

  // `again`: it is set, or was since the wait began.
  Waited wait(Nanoseconds deadline) {
    const std::uint64_t first = cell_->word.load(acquire);
    if ((first & 1) != 0) return Waited::again;
    for (;;) {
      const std::uint32_t epoch = cell_->changed.announce();
      if ((cell_->word.load(acquire) >> 1) != first >> 1) return Waited::again;
      const Nanoseconds now = monotonic_now();
      if (deadline <= now) return Waited::timed_out;
      Slices slices;
      const Nanoseconds until = deadline - now > longest_look ? now + longest_look : deadline;
      if (cell_->changed.sleep(epoch, until, slices) == Waited::interrupted) return Waited::interrupted;
    }
  }

 private:
  EventCell* cell_;
};

}  // namespace conveyor
