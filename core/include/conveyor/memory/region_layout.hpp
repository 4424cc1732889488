// What a region's file begins with (region.hpp).
#pragma once

#include <cstdint>

#include "conveyor/base/alignment.hpp"
#include "conveyor/base/atomic.hpp"
#include "conveyor/base/waiters_layout.hpp"
#include "conveyor/memory/label_layout.hpp"

namespace conveyor {

// What the file of a queue begins with, and that of a region: they are of one space of names.
inline constexpr std::uint64_t segment_magic = 0x726f79'65766e6f63;  // "conveyor"
inline constexpr std::uint64_t region_magic = 0x6e6f69676572'7663;  // "cvregion"
inline constexpr std::uint32_t region_version = 1;

// Numbers are for ever: they lie in files.
enum class RegionKind : std::uint32_t { none = 0, topic = 1, state = 2, dict = 3, list = 4, array = 5 };

// Written once, when the region is made.
struct RegionFacts {
  std::uint64_t magic;
  std::uint32_t version;  // of this header
  std::uint32_t header_size;
  RegionKind kind;
  std::uint32_t layout;  // version of what lies in the payload; each kind counts its own
  std::uint64_t total_size;
  std::uint64_t payload_offset;
  std::uint64_t pid_namespace;
};
static_assert(sizeof(RegionFacts) == 48);

struct alignas(4096) RegionHeader {
  RegionFacts facts;
  alignas(cache_line) Atomic<std::uint32_t> exports;  // pickled handles that nobody has attached yet
  alignas(cache_line) Label label;
  alignas(cache_line) Waiters waiters;
};
static_assert(sizeof(RegionHeader) == 4096);

}  // namespace conveyor
