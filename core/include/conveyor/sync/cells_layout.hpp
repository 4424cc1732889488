// What lies in a region of kind `state`: cells, each a lock, a semaphore, a number or a record, of 64-byte lines.
//
//   0       ArenaHeader
//   64...   cells, in the order in which they were carved
//
// A cell is named by its offset in the payload, which travels in pickles: it is checked before it is followed, and so
// is the cell's head, which says what it is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/lock.hpp"
#include "conveyor/base/wait.hpp"

namespace conveyor {

inline constexpr std::uint32_t state_layout = 1;
inline constexpr std::size_t cell_unit = 64;

enum class CellType : std::uint32_t {
  none = 0,
  lock = 1,
  rlock = 2,
  semaphore = 3,
  event = 4,
  condition = 5,
  barrier = 6,
  number = 7,
  record = 8,
};

struct alignas(cell_unit) ArenaHeader {
  Atomic<std::uint64_t> next;  // where the next cell begins; only grows
};
static_assert(sizeof(ArenaHeader) == cell_unit);

struct CellHead {
  CellType type;
  std::uint32_t size;  // bytes, with this
};
static_assert(sizeof(CellHead) == 8);

// Lock and RLock. The lock's word is the truth; the others are its holder's.
struct alignas(cell_unit) LockCell {
  CellHead head;
  Lock lock;
  Atomic<std::uint64_t> thread;  // rlock: the holder's thread, as that process numbers it
  std::uint64_t depth;           // rlock: how often that thread holds it
};
static_assert(sizeof(LockCell) == cell_unit);

// Semaphore and BoundedSemaphore: of `capacity` units, some are in the hands of processes.
inline constexpr std::uint32_t semaphore_places = 56;

struct SemaphorePlace {
  Atomic<OwnerId> owner;
  Atomic<std::uint32_t> count;  // units that it took and has not given back
  std::uint32_t reserved;
};
static_assert(sizeof(SemaphorePlace) == 16);

struct alignas(cell_unit) SemaphoreCell {
  CellHead head;
  Lock lock;
  std::uint32_t bound;              // release raises it no higher; 0: unbounded
  Atomic<std::uint32_t> signals;    // 1: somebody gave back what it did not have; see semaphore.hpp
  Atomic<std::int64_t> capacity;    // units free, and in the places below
  // The fold that is under way: new capacity << 8 | place + 1; 0: none.
  Atomic<std::uint64_t> intent;
  Atomic<std::uint32_t> used;       // places at and above were never used
  // Units that processes had when they ended normally, not in `capacity`. Never too many: after a crash too few, at most.
  Atomic<std::uint32_t> left;
  alignas(cell_unit) EventCount freed;
  alignas(cell_unit) SemaphorePlace places[semaphore_places];
};
static_assert(sizeof(SemaphoreCell) == 1024);

struct alignas(cell_unit) EventCell {
  CellHead head;
  // How often it was set << 1 | whether it is.
  Atomic<std::uint64_t> word;
  EventCount changed;
};
static_assert(sizeof(EventCell) == cell_unit);

// Condition. A waiter has a place; a notifier chooses among the places.
inline constexpr std::uint32_t condition_places = 56;

struct ConditionPlace {
  Atomic<OwnerId> owner;
  // ticket << 2 | WaitStage. Its low half is the futex of the one who waits.
  Atomic<std::uint64_t> word;
};
static_assert(sizeof(ConditionPlace) == 16);

enum class WaitStage : std::uint32_t { entering = 0, waiting = 1, notified = 2 };

struct alignas(cell_unit) ConditionCell {
  CellHead head;
  Atomic<std::uint64_t> tickets;  // of the next to wait
  Atomic<std::uint32_t> crowd;  // how many wait without a place
  std::uint32_t reserved;
  EventCount any;  // for those
  alignas(cell_unit) ConditionPlace places[condition_places];
};
static_assert(sizeof(ConditionCell) == 960);

// Barrier; behind it Atomic<OwnerId>[parties], who arrived.
struct alignas(cell_unit) BarrierCell {
  CellHead head;
  Lock lock;
  std::uint32_t parties;
  std::uint32_t reserved;
  // generation << 32 | broken << 31 | how many have arrived. Every change is one store of it.
  Atomic<std::uint64_t> word;
  Atomic<std::uint64_t> failed;  // of the last 64 generations, which ended without all; bit: generation % 64
  EventCount changed;
};
static_assert(sizeof(BarrierCell) == cell_unit);
inline constexpr std::uint32_t most_parties = 1U << 20;

// A number, and an RLock for those who want to do more than one thing with it.
struct alignas(cell_unit) NumberCell {
  CellHead head;
  Atomic<std::uint64_t> bits;  // the number, in the first bytes
  EventCount changed;
  alignas(cell_unit) LockCell lock;
};
static_assert(sizeof(NumberCell) == 2 * cell_unit);

// A record of any bytes, behind it, and its RLock.
struct alignas(cell_unit) RecordCell {
  CellHead head;
  EventCount changed;
  alignas(cell_unit) LockCell lock;
};
static_assert(sizeof(RecordCell) == 2 * cell_unit);

}  // namespace conveyor
