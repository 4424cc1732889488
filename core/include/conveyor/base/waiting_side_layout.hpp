// What stands in shared memory beside the event count of those who wait on one side of a queue. How it is used: patience.hpp.
#pragma once

#include <cstdint>

#include "conveyor/base/atomic.hpp"

namespace conveyor {

// A patient sleep is not longer.
inline constexpr Nanoseconds longest_patience = 5'000'000;

// The number of the processor that the caller runs on, plus one; it may be another one by now.
std::uint32_t current_processor();

struct WaitingSide {
  // Until then a sleeper would rather not be woken for little; 0 or the past: nobody says so.
  Atomic<Nanoseconds> patient_until;
  // Where one of them was seen last (`current_processor`); 0: not yet.
  Atomic<std::uint32_t> processor;
  std::uint32_t reserved;

  // relaxed, all of it: guesses. A sleeper looks by itself.
  bool is_patient(Nanoseconds now) const {
    // A time that no sleeper can have set is damage. Unsigned: the difference may be of any size.
    const auto left = static_cast<std::uint64_t>(patient_until.load(relaxed)) - static_cast<std::uint64_t>(now);
    return left - 1 < static_cast<std::uint64_t>(longest_patience);
  }
  void note_processor() { processor.store(current_processor(), relaxed); }
  // Then it cannot run while we spin.
  bool is_on(std::uint32_t here) const { return processor.load(relaxed) == here; }
};
static_assert(sizeof(WaitingSide) == 16);

}  // namespace conveyor
