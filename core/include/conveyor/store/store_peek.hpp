// What the file of a dict or a list tells at one look, without being mapped, changed or waited for.
#pragma once

#include <cstdint>

namespace conveyor {

struct StorePeek {
  std::uint64_t length = 0;   // items
  std::uint64_t version = 0;  // grows with every change
  std::uint64_t used = 0;     // bytes of the heap in blocks
};

// All zeros where the file cannot be read so far.
StorePeek peek_store(int memory_fd);

}  // namespace conveyor
