// What lies in the memory of a topic. Offsets and sizes are fixed by static_asserts: two processes must agree.
//
//   0          TopicHeader       figures, the publishers' side, pins, and tables of registered publishers and of
//                                 subscribers, which have memory as far as they were needed
//   log        capacity bytes     a ring of records; a power of two
//
// A position counts bytes of the log since the beginning and only grows; its place in the ring is the position
// modulo the capacity. Records are aligned to 64 bytes and never straddle the end of the ring.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conveyor/base/alignment.hpp"
#include "conveyor/base/atomic.hpp"
#include "conveyor/base/lock.hpp"
#include "conveyor/base/owner.hpp"
#include "conveyor/base/wait.hpp"
#include "conveyor/memory/ending_layout.hpp"

namespace conveyor {

inline constexpr std::uint32_t topic_layout_version = 4;
inline constexpr std::uint64_t record_unit = 64;
inline constexpr std::uint64_t least_capacity = 64 * 1024;
inline constexpr std::uint64_t most_capacity = std::uint64_t{1} << 37;
inline constexpr std::size_t most_key = 255;
inline constexpr std::uint32_t subscriber_capacity = 65536;
inline constexpr std::uint32_t pin_capacity = 256;
static_assert(least_capacity % record_unit == 0);

// In front of each event. The key follows, padded to 8 bytes, and then the payload.
struct RecordHeader {
  std::uint64_t position;  // its own: a stale or damaged one is found out
  std::uint64_t number;    // of the event; of a skip, that of the next event
  std::uint32_t span;      // units of 64 bytes to the next record
  std::uint16_t key_size;
  std::uint8_t kind;       // the codec's business
  std::uint8_t padding;    // bytes behind the payload, below 64
  std::uint32_t form;      // RecordForm
  std::uint32_t sender;    // pid of the process that published it; 0: an older conveyor, which did not say
};
static_assert(sizeof(RecordHeader) == 32);

enum class RecordForm : std::uint32_t {
  event = 0xC0DE0001,
  skip = 0xC0DE0002,  // nothing until the next record: pinned bytes, or the end of the ring
};

enum class SubscriberMode : std::uint32_t {
  free = 0,
  block,        // what it has not read is kept: its cursor holds the publishers up
  drop_oldest,  // may be overrun
  fail,         // the same, but to be overrun is an error
};

// A subscriber. Taken under the publishers' lock; after that written by its owner alone, until it is free.
struct alignas(cache_line) SubscriberSlot {
  Atomic<std::uint32_t> mode;     // SubscriberMode: storing it takes the slot, or leaves it
  Atomic<std::uint32_t> window_span;  // units of 64 bytes from `window` on
  Atomic<OwnerId> owner;
  Atomic<std::uint64_t> cursor;   // position of the next record that it reads
  Atomic<std::uint64_t> number;   // and its number, if nothing is lost
  Atomic<std::uint64_t> missed;   // events that it lost
  Atomic<std::uint64_t> window;   // 1 + where it reads at this moment, so that nobody writes there; 0: nowhere
  Atomic<std::uint64_t> began;    // number of its first event
};
static_assert(sizeof(SubscriberSlot) == cache_line);

// Bytes that a subscriber reads where they lie, for as long as it likes. Made under `pins_lock`.
struct Pin {
  Atomic<OwnerId> owner;           // nobody: free
  Atomic<std::uint64_t> position;  // of the record
  Atomic<std::uint64_t> size;      // bytes from there on
  std::uint64_t reserved;
};
static_assert(sizeof(Pin) == 32);

// What only the holder of the publishers' lock touches, kept twice as a queue's side is.
struct TopicState {
  Atomic<std::uint64_t> number;     // of the next event
  Atomic<std::uint64_t> clear_end;  // from the tail to here nobody reads, and nothing is pinned
};
static_assert(sizeof(TopicState) == 16);

struct alignas(4096) TopicHeader {
  // Written once; capacity last. 0: nothing of this is written yet.
  std::uint64_t capacity;
  std::uint64_t keep;  // events that late subscribers may still have; UINT64_MAX: all that are there

  // position of the end of the log | which copy of TopicState is valid. Storing it is the one commit point.
  alignas(cache_line) Atomic<std::uint64_t> tail;
  Atomic<std::uint64_t> oldest;  // what lies before may be overwritten at any moment
  Atomic<std::uint32_t> ended;   // 1: nothing more will be published

  alignas(cache_line) Lock lock;  // the publishers'
  TopicState state[2];
  std::uint64_t reserved_bytes;   // of the log, from its start on: there is memory behind them
  Atomic<std::uint64_t> bytes;    // of payload, since the beginning. A statistic
  Atomic<std::uint64_t> largest;  // bytes of the log that the largest event took, or would have taken
  Atomic<std::uint64_t> waits;    // how often a publisher slept for room. A statistic

  alignas(cache_line) EventCount not_empty;
  alignas(cache_line) EventCount not_full;

  alignas(cache_line) Lock pins_lock;
  Atomic<std::uint32_t> subscribers_high;  // slots from here on were never taken
  Atomic<std::uint32_t> pins_high;
  Atomic<Nanoseconds> next_look;     // not before: look again whether who is in the way lives
  Atomic<Nanoseconds> next_census;   // not before: look again whether the registered publishers live

  Pin pins[pin_capacity];
  EndingState ending;  // publishers inside `producing()` (ending.hpp); its items are events

  // What follows has memory only as far as `ending.high` and `subscribers_high` say.
  alignas(4096) ProducerSlot producers[producer_capacity];  // but for those in front
  alignas(4096) SubscriberSlot slots[subscriber_capacity];
};
static_assert(offsetof(TopicHeader, producers) == 12288);
static_assert(offsetof(TopicHeader, slots) == 12288 + 2560 * 1024);
static_assert(sizeof(TopicHeader) == 12288 + 2560 * 1024 + 4096 * 1024);

}  // namespace conveyor
