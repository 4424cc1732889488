// Who waits at a piece of shared memory, as its header says it (waiters.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/owner.hpp"

namespace conveyor {

// What a thread waits for. Numbers are for ever: they lie in files.
enum class WaitsFor : std::uint8_t {
  nothing = 0,
  item,       // of a queue, or its end
  room,       // in a queue
  tasks,      // all of a queue's to be done
  event,      // of a topic, or its end
  log_room,   // in a topic's log
  state,      // a lock, a semaphore, a condition, an event or a barrier
  change,     // of a dict or a list
  claim,      // of a dict's key, to be given back
};

struct WaiterSlot {
  Atomic<OwnerId> owner;        // nobody: free
  Atomic<Nanoseconds> since;    // monotonic
  Atomic<std::uint64_t> what;   // thread << 8 | WaitsFor; 0: the slot is just being taken, or left
};
static_assert(sizeof(WaiterSlot) == 24);

// More may wait than have a place here: those are not seen.
inline constexpr std::size_t waiter_capacity = 42;

struct Waiters {
  Atomic<Nanoseconds> next_look;  // not before: look again whether those in the slots live
  WaiterSlot slots[waiter_capacity];
};
static_assert(sizeof(Waiters) == 8 + waiter_capacity * 24);

}  // namespace conveyor
