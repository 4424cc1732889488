// Which file some shared memory is, whatever names and descriptors lead to it.
#pragma once

#include <cstdint>

namespace conveyor {

struct Identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const Identity&) const = default;
};

}  // namespace conveyor
