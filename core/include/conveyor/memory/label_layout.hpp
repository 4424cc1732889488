// What a piece of shared memory says of itself to those who look from outside: what it is called, and where it was made.
#pragma once

#include <cstdint>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/owner.hpp"

namespace conveyor {

// Written once, by who makes it. All zeros: it says nothing.
struct Label {
  Atomic<std::uint64_t> made;  // nanoseconds of the wall clock since 1970
  Atomic<OwnerId> maker;
  char name[64];  // UTF-8, behind it zeros; what its user calls it, or nothing
  char place[128];  // the same; the line of the program that made it
};
static_assert(sizeof(Label) == 208);

}  // namespace conveyor
