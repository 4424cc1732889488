// What lies in the page that a worker and those who watch it share (meter.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "conveyor/base/atomic.hpp"

namespace conveyor {

// conveyor/pipeline/worker/status_page.py reads and writes these words by their numbers, which tests/unit/test_house.py compares.
struct MeterWords {
  // How long items took: four steps for each power of two of nanoseconds.
  static constexpr std::size_t steps = 256;

  Atomic<std::uint64_t> since;      // monotonic time at which the item in hand was begun, or 0
  Atomic<std::uint64_t> busy;       // nanoseconds spent on items
  Atomic<std::uint64_t> waited;     // nanoseconds without one
  Atomic<std::uint64_t> items;      // finished
  Atomic<std::uint64_t> slow;       // written by the watcher: an item that took longer is worth telling
  // Written by the worker's Python side:
  Atomic<std::uint64_t> setup_since;     // monotonic time at which its setup began; 0: it has not, or is done
  Atomic<std::uint64_t> arrived;         // 1: its process runs conveyor's code
  Atomic<std::uint64_t> link;            // which of its functions is at work, from 0
  Atomic<std::uint64_t> teardown_since;  // monotonic time at which its teardown began, or 0
  // Written by the watcher:
  Atomic<std::uint64_t> unwanted;  // 1: nobody wants what else comes of the item in hand
  // Written by the worker's Python side:
  Atomic<std::uint64_t> attempt;  // `items` at its beginning << 20 | how often it was begun
  // Written by the watcher, before the worker begins:
  Atomic<std::uint64_t> rank;   // its number among the workers of its stage, from 0
  Atomic<std::uint64_t> start;  // how many workers of that number there were, it included
  Atomic<std::uint64_t> seed;
  // Written by the watcher:
  Atomic<std::uint64_t> last;  // 1: all other workers of its stage have torn down
  Atomic<std::uint64_t> reserved[1];
  Atomic<std::uint64_t> histogram[steps];
};
static_assert(sizeof(MeterWords) == (16 + MeterWords::steps) * 8);

}  // namespace conveyor
