// What lies in shared memory of how a queue or a topic ends (ending.hpp).
#pragma once

#include <cstdint>

#include "conveyor/base/alignment.hpp"
#include "conveyor/base/atomic.hpp"
#include "conveyor/base/owner.hpp"

namespace conveyor {

inline constexpr std::uint64_t no_ticket = UINT64_MAX;  // the number of no item

// Whether a queue (a topic) takes items, and what becomes of those in it. Only grows.
enum class End : std::uint32_t {
  none = 0,
  drain,  // no more puts; what waits may be taken
  drop,   // what waits is dropped, too
};

// How many processes may be inside `producing()` at a time, and how many of them stand in the header. A place in the
// table has memory once it was needed.
inline constexpr std::uint32_t producer_capacity = 65536;
inline constexpr std::uint32_t producers_in_front = 16;
inline constexpr std::uint32_t producer_lost = 1U << 31;    // in ProducerSlot::blocks
inline constexpr std::uint32_t producers_armed = 1U << 31;  // in EndingState::expected

// A process inside `producing()`, or one that died there. Written under the producers' lock.
struct ProducerSlot {
  Atomic<OwnerId> owner;         // nobody: the slot is free
  Atomic<std::uint32_t> blocks;  // how many blocks it is in; or producer_lost | the signal that killed it, 0: not known
  std::uint32_t reserved;
  // Items that it put: `counted`, but `next` once the count of the tail has reached `at`.
  Atomic<std::uint64_t> counted;
  Atomic<std::uint64_t> next;
  Atomic<std::uint64_t> at;
};
static_assert(sizeof(ProducerSlot) == 40);

// How the queue will end (ending.hpp). Written under the producers' lock.
struct alignas(cache_line) EndingState {
  Atomic<std::uint32_t> expected;  // producers that must still come; producers_armed: the queue ends by itself
  Atomic<std::uint32_t> high;  // slots from here on are free, and may have no memory
  Atomic<std::uint64_t> intent;  // the change of a slot that is under way, whole, or 0
  ProducerSlot producers[producers_in_front];
};
static_assert(sizeof(EndingState) == 11 * cache_line);

}  // namespace conveyor
