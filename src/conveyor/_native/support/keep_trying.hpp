// Calls of the core that must be made, whatever signals come in between; and how many producers are expected.
#pragma once

#include <cstdint>

#include "conveyor/base/status.hpp"
#include "deadline.hpp"
#include "errors.hpp"

namespace conveyor::python {

// Runs `attempt(patience)`, which waits for a lock, until it is done; or a Python error is set, as a signal's handler has
// raised.
template <class Attempt>
Status keep_trying_for_lock(Attempt attempt) {
  for (;;) {
    Status status;
    {
      const WithoutGil released;
      status = attempt(longest_slice);
    }
    if (status != Status::busy && status != Status::interrupted) return status;
    if (!look_for_signals()) return status;
  }
}

// Leaves a block: whatever the handlers of signals raise meanwhile, which is raised in the end. Null with a Python error
// set. Should a process be stopped in the midst of a put, only they can end the wait for it; a second later.
template <class Attempt>
nb::object keep_trying_to_leave(Attempt attempt) {
  nb::object raised;
  for (Nanoseconds end = forever; end > monotonic_now();) {
    Status status;
    {
      const WithoutGil released;
      status = attempt(longest_slice);
    }
    if (status != Status::busy && status != Status::interrupted) break;
    if (look_for_signals()) continue;
    raised = take_exception();
    if (end == forever) end = monotonic_now() + grace;
  }
  if (!raised.is_valid()) return nb::none();
  set_exception(raised);
  return {};
}

// For `expect_producers`; false with a Python error set.
bool parse_producer_count(nb::handle count, std::uint32_t& into);

}  // namespace conveyor::python
