// Until when a call waits, and how: in portions, between which signals are heard.
#pragma once

#include "conveyor/base/lock.hpp"
#include "conveyor/base/wait.hpp"
#include "gil.hpp"

namespace conveyor::python {

// How long a call that may not wait bears with a peer that was stopped while it held a lock.
constexpr Nanoseconds grace = 1'000'000'000;
constexpr Nanoseconds longest_slice = lock_slice;

// Until when a call may wait. `immediate`: it may not.
struct Deadline {
  Nanoseconds at = forever;
  bool immediate = false;
  bool passed() const { return immediate || (at != forever && monotonic_now() >= at); }
};

// From multiprocessing's (block, timeout); false with a Python error set.
bool parse_any_deadline(nb::handle block, nb::handle timeout, Deadline& deadline);
inline bool parse_deadline(nb::handle block, nb::handle timeout, Deadline& deadline) {
  if (block.ptr() == Py_True && timeout.is_none()) [[likely]]
    return true;
  return parse_any_deadline(block, timeout, deadline);
}

// For how long a call goes on asking for a lock that it does not get. In portions: between them it
// looks for signals.
class RetrySlices {
 public:
  explicit RetrySlices(const Deadline& deadline) : deadline_(deadline) {}
  Nanoseconds slice();  // 0: it is used up

 private:
  const Deadline& deadline_;
  Nanoseconds ends_ = 0;
};

// In the midst of a wait. False: a handler raised, and that is the Python error.
inline bool look_for_signals(Slices& slices) {
  slices.looked();
  return look_for_signals();
}

}  // namespace conveyor::python
