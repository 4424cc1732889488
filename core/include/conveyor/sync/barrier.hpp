// Barrier: so many parties meet, and go on together.
//
// One word has the generation, whether the barrier is broken, and how many have arrived; behind the cell stands who
// they are. The last to arrive opens the barrier by one store: the next generation, nobody arrived. A process that waited for
// the generation before sees that it is over, however late it looks. A party that dies while others wait for it to go
// on with them is found by those, who break the barrier: all of them learn that they will never be complete.
#pragma once

#include "conveyor/sync/cells_layout.hpp"

namespace conveyor {

enum class Met {
  all,  // all have arrived; the barrier is open
  last,  // we are the last; call `open`, or `spoil`
  broken,
  timed_out,  // and now it is broken
  interrupted,  // look for signals, and call again
};

class Barrier {
 public:
  // Throws SegmentError (Fault::corrupt) when the cell is too small for its parties.
  explicit Barrier(BarrierCell& cell);
  static std::size_t size_for(std::uint32_t parties) { return sizeof(BarrierCell) + parties * sizeof(OwnerId); }

  struct Arrival {
    std::uint32_t generation = 0;
    std::uint32_t index = 0;
    bool arrived = false;
  };
  // For one slice at most. Called again after `interrupted`, it goes on where it was.
  Met wait(Arrival& arrival, Nanoseconds deadline, Slices& slices);
  // By the last.
  Met open(const Arrival& arrival);
  // All that wait, and all that come, are told that the barrier is broken, until `reset`. False: call again.
  bool spoil();
  // Those that wait are told that it is broken; then it is as new. False: call again.
  bool reset();
  std::uint32_t parties() const { return parties_; }
  std::uint32_t waiting() const;
  bool is_broken() const;

 private:
  Met arrive(Arrival& arrival);
  Met look(const Arrival& arrival);
  bool somebody_died(const Arrival& arrival);
  bool enter();
  void publish(std::uint64_t word);
  Atomic<OwnerId>* arrivals() const { return reinterpret_cast<Atomic<OwnerId>*>(cell_ + 1); }

  BarrierCell* cell_;
  std::uint32_t parties_;
};

}  // namespace conveyor
