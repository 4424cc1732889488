// Says who waits at a piece of shared memory, since when and for what, to those who look from outside.
//
// Nobody acts upon it, so nothing is ordered by it but its own words, and a note that a dead process left behind is harmless:
// who looks asks whether the process lives. A wait is noted when it has lasted a while: what is short costs nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/waiters_layout.hpp"

namespace conveyor {

// The note of one wait, as long as this lives.
class WaitNote {
 public:
  WaitNote() = default;
  WaitNote(Waiters& waiters, WaitsFor what) : waiters_(&waiters), what_(what) {}
  WaitNote(const WaitNote&) = delete;
  WaitNote& operator=(const WaitNote&) = delete;
  ~WaitNote() {
    if (slot_ != nullptr) leave();
  }

  // It has been waited since then. Nothing, if there is no place left.
  void write(Nanoseconds since) {
    if (waiters_ != nullptr && slot_ == nullptr) take(since);
  }

 private:
  void take(Nanoseconds since);
  void leave();

  Waiters* waiters_ = nullptr;
  WaiterSlot* slot_ = nullptr;
  WaitsFor what_ = WaitsFor::nothing;
  std::uint32_t forks_ = 0;  // a forked child goes on in the midst of it: the note is its parent's
};

// One that waits, or did when it died.
struct Waiter {
  OwnerId owner = nobody;
  std::uint32_t thread = 0;
  WaitsFor what = WaitsFor::nothing;
  Nanoseconds since = 0;
};

// Of a copy of the header, which may be torn.
std::vector<Waiter> waiters_in(const Waiters& waiters);
const char* name_of(WaitsFor what);

}  // namespace conveyor
