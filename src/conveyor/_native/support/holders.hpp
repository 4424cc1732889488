// Who keeps a channel from letting go of its memory: calls that are inside it, and what is still to be settled by it.
//
// Guarded by the GIL: a call has it when it begins and when it ends, whatever it does in between.
#pragma once

#include <cstdint>

#include "conveyor/base/owner.hpp"
#include "gil.hpp"

namespace conveyor::python {

class Holders {
 public:
  // A call begins, and ends; what the first returns is for the second. True: the last holder of one that ends has gone.
  std::uint32_t enter() {
    const std::uint32_t now = fork_generation();
    if (generation_ != now) [[unlikely]]
      begin_anew(now);
    ++inside_;
    return now;
  }
  bool leave(std::uint32_t generation) {
    if (generation != generation_) return false;  // it began in the process that this one was forked from
    --inside_;
    return is_free();
  }
  // A lease, or a block in which this process counts as a producer. Within a call.
  void keep() { ++kept_; }
  void let_go(std::uint32_t generation) {
    if (generation == generation_ && kept_ != 0) --kept_;
  }
  // From now on it goes when nobody holds it.
  void end() { ending_ = true; }

 private:
  bool is_free() const { return ending_ && inside_ == 0 && kept_ == 0 && !is_unsure_; }
  // Leases and blocks are the parent's, and so is the end: what is still there is open again. Calls that were inside have
  // gone with their threads, but for one that the forking thread may be in; then the memory goes with the channel.
  void begin_anew(std::uint32_t generation) {
    is_unsure_ = inside_ != 0 && was_forked_inside_call();
    inside_ = kept_ = 0;
    ending_ = false;
    generation_ = generation;
  }

  std::uint32_t inside_ = 0, kept_ = 0;
  std::uint32_t generation_ = 0;  // of forks
  bool ending_ = false;
  bool is_unsure_ = false;
};

}  // namespace conveyor::python
