// Which cells of a region this process has had handles on: what it may hold when it ends.
#pragma once

#include <array>
#include <cstdint>

#include "conveyor/base/atomic.hpp"

namespace conveyor {

class Region;

class NotedCells {
 public:
  NotedCells() = default;
  NotedCells(const NotedCells&) = delete;
  NotedCells& operator=(const NotedCells&) = delete;
  ~NotedCells() { delete bits_.load(relaxed); }  // relaxed: nobody else has it any more

  // What leaves the noted cells of a region when this process lets go of it.
  using Leave = void (*)(Region&);

  // `offset` of a cell in the payload. Beyond what an arena has, nothing is noted: no cell is ever carved there.
  // `how`: of those who know what a cell is, the same each time.
  void note(std::uint64_t offset, Leave how) {
    const std::uint64_t index = offset / unit;
    if (index >= most) return;
    Bits* bits = bits_.load(acquire);
    if (bits == nullptr) {
      leave_.store(how, relaxed);  // relaxed: seen by a thread that sees the bits
      auto* const fresh = new Bits{};
      // Between threads of this process: the bits are zeros before they are seen.
      if (bits_.compare_exchange_strong(bits, fresh, acq_rel, acquire)) {
        bits = fresh;
      } else {
        delete fresh;
      }
    }
    Atomic<std::uint64_t>& word = (*bits)[index / 64];
    const std::uint64_t bit = std::uint64_t{1} << index % 64;
    if ((word.load(relaxed) & bit) == 0) word.fetch_or(bit, relaxed);
  }

  // The last of the region in this process.
  void leave(Region& region) const {
    if (bits_.load(acquire) != nullptr) leave_.load(relaxed)(region);
  }

  template <class Action>
  void each(Action action) const {
    const Bits* const bits = bits_.load(acquire);
    if (bits == nullptr) return;
    for (std::uint64_t index = 0; index < most; ++index) {
      if (((*bits)[index / 64].load(relaxed) >> index % 64 & 1) != 0) action(index * unit);
    }
  }

 private:
  static constexpr std::uint64_t unit = 64;               // bytes of the smallest cell
  static constexpr std::uint64_t most = (1 << 20) / unit;  // in the payload of an arena
  using Bits = std::array<Atomic<std::uint64_t>, most / 64>;
  Atomic<Bits*> bits_{nullptr};
  Atomic<Leave> leave_{nullptr};
};

}  // namespace conveyor
