#include "conveyor/store/store_peek.hpp"

#include <cstddef>
#include <unistd.h>

#include "conveyor/memory/region_layout.hpp"
#include "conveyor/store/store_layout.hpp"

namespace conveyor {

StorePeek peek_store(int memory_fd) {
  StoreState state{};
  const auto at = static_cast<off_t>(sizeof(RegionHeader) + offsetof(StoreHeader, state));
  if (pread(memory_fd, &state, sizeof state, at) != static_cast<ssize_t>(sizeof state)) return {};
  return {state.length, state.version, state.used};
}

}  // namespace conveyor
