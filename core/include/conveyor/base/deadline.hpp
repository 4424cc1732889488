// When a patience ends.
#pragma once

#include "conveyor/base/atomic.hpp"

namespace conveyor {

// `patience` from now on: `forever`, and what is too long to count, never comes.
inline Nanoseconds deadline_after(Nanoseconds patience) {
  Nanoseconds at = 0;
  return __builtin_add_overflow(monotonic_now(), patience, &at) ? forever : at;
}

}  // namespace conveyor
