// What lies in the payload of a region that holds a shared dict or a shared list.
//
//   0      StoreHeader    the lock, the journal, the claims, and the words that the journal alone changes
//   heap   blocks         tables, rings and blobs, each of a size class
//
// All of it is valid as zeros, as a new region is: the first that takes the lock writes what must not be zero.
// An offset counts from the beginning of the payload; 0 is none. Each one that is read is checked before it is followed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/lock.hpp"
#include "conveyor/base/wait.hpp"

namespace conveyor {

inline constexpr std::uint32_t store_layout_version = 2;
inline constexpr std::uint32_t size_classes = 160;
inline constexpr std::uint32_t journal_capacity = 256;
inline constexpr std::uint32_t claim_capacity = 256;

// One store that a committed operation makes: 8 bytes at a multiple of 8.
struct JournalWord {
  std::uint64_t offset;
  std::uint64_t value;
};
static_assert(sizeof(JournalWord) == 16);

// Who alone may change a key for the moment.
struct Claim {
  std::uint64_t owner;  // OwnerId; nobody: the slot is free
  std::uint64_t hash;  // of the key
  std::uint64_t number;  // tells this claim from the slot's others
  std::uint64_t thread;  // of the owner, so that it does not wait for itself
};
static_assert(sizeof(Claim) == 32);

enum class TrashKind : std::uint64_t { none = 0, ring, table };

// Changed by the journal alone, so that an operation changes all of it or nothing.
struct StoreState {
  std::uint64_t version;  // grows with every change that can be seen
  std::uint64_t used;  // bytes of the heap in blocks
  std::uint64_t bump;  // no block lies at or above; 0: not yet set
  std::uint64_t claims;  // how many slots are taken
  std::uint64_t next_claim;
  // What is to be freed, in steps: nothing refers to it any more.
  std::uint64_t trash_kind;
  std::uint64_t trash;  // the block
  std::uint64_t trash_first;
  std::uint64_t trash_count;  // what is left of it
  // Blobs of an operation that is not committed yet: they become trash when it is given up.
  std::uint64_t nursery;  // a ring
  std::uint64_t nursery_count;
  // The dict or the list.
  std::uint64_t root;  // the table or ring; 0: there is none yet
  std::uint64_t length;  // items
  std::uint64_t first;  // list: the place of item 0 in the ring
  std::uint64_t filled;  // dict: entries that were used since the table was made
  std::uint64_t taken;  // dict: slots that are not empty, those of what was deleted included
  std::uint64_t free[size_classes];  // the first free block of each class; its first word names the next
};
static_assert(sizeof(StoreState) == (16 + size_classes) * 8);

struct alignas(64) StoreHeader {
  Lock lock;
  // How many words of the journal are to be stored; 0: none. The commit point of every operation.
  Atomic<std::uint64_t> committed;
  // Written once, by the first holder of the lock; `ready` last.
  Atomic<std::uint64_t> ready;
  std::uint64_t seed;  // of the hashes: those that choose keys must not know which of them collide
  std::uint64_t max_bytes;  // 0: no bound
  // There is memory behind all that lies below. Written by the holder of the lock, after it is so.
  std::uint64_t reserved;
  alignas(64) EventCount changed;  // somebody changed something
  alignas(64) EventCount released;  // somebody gave a claim back
  alignas(64) StoreState state;
  Claim claims[claim_capacity];
  JournalWord journal[journal_capacity];
};
static_assert(sizeof(StoreHeader) == 3 * 64 + 22 * 64 + claim_capacity * 32 + journal_capacity * 16);

// Where the heap begins; and the unit in which its memory goes back to the system.
inline constexpr std::uint64_t heap_start = (sizeof(StoreHeader) + 15) / 16 * 16;
inline constexpr std::uint64_t system_page = 4096;

// In front of each block that is in use: how many bytes follow that mean something, and what they are. In a
// free one the offset of the next.
struct BlockHead {
  static constexpr std::uint64_t make(std::uint64_t size, std::uint8_t kind) { return size << 8 | kind; }
  static constexpr std::uint64_t size(std::uint64_t head) { return head >> 8; }
  static constexpr std::uint8_t kind(std::uint64_t head) { return static_cast<std::uint8_t>(head); }
};

// Behind a table's head: TableShape, then the entries, then the slots.
struct TableShape {
  std::uint64_t capacity;  // entries
  std::uint64_t slots;  // a power of two
};
static_assert(sizeof(TableShape) == 16);

// In the order in which the keys came.
struct TableEntry {
  std::uint64_t hash;
  std::uint64_t key;  // a blob: KeyHead, canonical bytes, original bytes; 0: deleted
  std::uint64_t value;
  std::uint64_t version;  // StoreState::version when the value was written
};
static_assert(sizeof(TableEntry) == 32);

// A slot: the upper half of the hash | number of the entry + 1; or one of these.
inline constexpr std::uint64_t slot_empty = 0;
inline constexpr std::uint64_t slot_deleted = 1ULL << 32;  // entry number 0 stands for none
inline constexpr std::uint64_t most_entries = (1ULL << 32) - 2;

// Two keys are the same if their canonical bytes are. `original` is what the key is decoded from, if that says more.
struct KeyHead {
  std::uint32_t canonical;  // bytes
  std::uint32_t original;  // bytes; 0: the canonical ones will do
};
static_assert(sizeof(KeyHead) == 8);

// Behind a ring's head: its capacity, a power of two, and as many offsets of blobs.

}  // namespace conveyor
