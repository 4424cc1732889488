// How what is shared is laid out, whatever it is.
#pragma once

#include <cstddef>

namespace conveyor {

inline constexpr std::size_t cache_line = 64;

constexpr std::size_t align8(std::size_t size) { return (size + 7) & ~std::size_t{7}; }

}  // namespace conveyor
