// What lies in a segment. Offsets and sizes are fixed by static_asserts: two processes must agree.
//
//   0            Header                      with the first entries of each table
//   pages        page_count x 64 KiB         the pool
//   page table   PageBlock[]                 who uses each pool page, what follows it, and whether it is cold
//   leases       LeaseRecord[capacity]       items in the hands of consumers that may give them back
//   producers    ProducerSlot[capacity]      who is inside `producing()`, or died there
//
// The file is sparse: it has the size of all this from the start, but memory only where touched. A process maps
// what it needs of it (view.hpp): a small queue is all in front, and the tables are behind the pages, so that
// what is mapped first is one piece. The entries of a table that are in front are not used in the table itself.
// Every number read from here is checked before it is used as an index or a length.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conveyor/base/alignment.hpp"
#include "conveyor/base/atomic.hpp"
#include "conveyor/base/lock.hpp"
#include "conveyor/base/owner.hpp"
#include "conveyor/base/wait.hpp"
#include "conveyor/base/waiters_layout.hpp"
#include "conveyor/base/waiting_side_layout.hpp"
#include "conveyor/memory/ending_layout.hpp"
#include "conveyor/memory/label_layout.hpp"

namespace conveyor {

inline constexpr std::uint32_t layout_version = 5;
inline constexpr std::size_t page_size = 64 * 1024;
inline constexpr std::uint32_t no_page = UINT32_MAX;
inline constexpr std::uint64_t unbounded = UINT64_MAX;

// One side's private state, kept twice: the published word selects the valid copy, so that storing
// the word is the one commit point and a holder that dies before it has changed nothing.
struct SideState {
  std::uint32_t page;      // pool page of the next message
  std::uint32_t offset;    // in that page; a multiple of 8, at most page_size
  std::uint64_t bytes;     // payload bytes in (out) since the beginning
  std::uint64_t reserved;
};
static_assert(sizeof(SideState) == 24);

// One side as the other sees it.
struct alignas(cache_line) Published {
  // count of items in (out) << 1 | which copy of SideState is valid. Only grows.
  Atomic<std::uint64_t> word;
  // SideState::bytes again, for the other side to read. Stored before `word`.
  Atomic<std::uint64_t> bytes;
};
static_assert(sizeof(Published) == cache_line);

// What only the holder of the side's lock touches.
struct alignas(cache_line) Side {
  Lock lock;
  std::uint64_t other_count;  // cached item count of the other side: a lower bound of the true one
  SideState state[2];
  // Statistics, written under the lock; a crash may leave them short by one operation.
  alignas(cache_line) Atomic<std::uint64_t> peak;
  Atomic<std::uint64_t> waits;
  Atomic<std::uint64_t> blocked_nanoseconds;
};
static_assert(sizeof(Side) == 2 * cache_line);
static_assert(offsetof(Side, peak) == cache_line);

// A free run whose memory is still there; the pool reuses the youngest first.
struct WarmRun {
  std::uint32_t first;
  std::uint32_t pages;
};

static_assert(sizeof(WarmRun) == 8);

inline constexpr std::uint32_t warm_capacity = 1024;

struct alignas(cache_line) PoolState {
  Lock lock;
  Atomic<std::uint32_t> high_water;  // pages at and above were never used
  std::uint32_t cold_hint;   // no cold page lies below
  std::uint32_t cold_count;
  std::uint32_t warm_count;
  std::uint64_t warm_pages;
  // Both fade with each run that is freed, and set how much stays warm.
  std::uint32_t recent_run;   // pages of the longest run that was lately freed
  std::uint32_t recent_peak;  // most pages lately in use
  Atomic<std::uint32_t> lent_pages;  // in runs of use `lent`; written under the lock, read by anybody
  std::uint32_t tabled;  // there is memory behind what the table says of the pages below
  // Pages that stay warm because as many were given back and then needed again.
  std::uint32_t missed;
  // The fewest warm pages since then, how many frees ago that was, and when: what nobody needed in all that time.
  std::uint32_t least_warm;
  std::uint32_t frees;
  std::uint32_t since;  // seconds of the monotonic clock
  WarmRun warm[warm_capacity];
};
static_assert(sizeof(PoolState) == 129 * cache_line);

enum class LeaseStage : std::uint8_t {
  free = 0,
  leased,    // in its owner's hands
  delayed,   // given back, and not to be seen before `due`
  returned,  // given back, and waits in front of the queue
  failed,    // failed too often, or rejected: to be moved to the dead letters
  moving,    // its owner moves it there
  buried,    // cannot be moved
  tasks,     // no item: how many its owner got by a plain get and has not said to be done
};

// An item that was taken and may come back. Its message stays where it is, in its stream page and runs.
struct LeaseRecord {
  // generation << 24 | failed attempts << 8 | LeaseStage: one store changes stage and attempts, and is
  // the commit of every lease operation but the first: a new lease is committed by the head's word.
  Atomic<std::uint64_t> word;
  Atomic<OwnerId> owner;     // leased, moving, tasks: who has it
  std::uint64_t number;      // of the item; void, if not below the head. tasks: the head when `after` was written
  std::uint32_t page;        // where its message begins
  std::uint32_t offset;
  Atomic<Nanoseconds> due;   // leased: when it ends by itself; delayed: when it is to be seen. Or `forever`
  std::uint32_t next;        // free: the next free one
  std::uint32_t pid;         // of the last holder
  std::uint32_t before;      // tasks: how many, while the head is not above `number`
  std::uint32_t after;       // tasks: how many, once it is
  std::uint32_t error_size;  // of the last error's text
  std::uint32_t reserved;
  char error[192];
};
static_assert(sizeof(LeaseRecord) == 256);

inline constexpr std::uint32_t no_lease = UINT32_MAX;

// How many items may be leased at a time: of this many, and in a small pool of 16 for each page.
constexpr std::uint32_t lease_capacity(std::uint32_t page_count) { return page_count < 4096 ? page_count * 16 : 65536; }

// Written under the consumers' lock, except for the two times.
struct alignas(cache_line) LeaseState {
  Atomic<std::uint32_t> high;          // records below it have memory; 0: nothing was ever leased
  std::uint32_t free;                  // the first of the chain of free ones
  Atomic<std::uint32_t> out;           // records that are leased, delayed, moving or tasks
  std::uint32_t epoch;                 // grows with each item that is given back
  Atomic<Nanoseconds> next_look;       // not before: look again whether the holders live
  Atomic<Nanoseconds> next_due;        // no record is due earlier
  Atomic<std::uint64_t> given_back;    // how often an item was given back. A statistic
  Atomic<std::uint64_t> early_done;    // task_done before the item was even taken
  // Set when the segment is made.
  Nanoseconds lease_time;              // how long a lease lasts by default, or `forever`
  std::uint32_t max_attempts;          // 0: no bound
  std::uint32_t counts_tasks;          // 1: plain gets leave `tasks` records, for join
};
static_assert(sizeof(LeaseState) == cache_line);

inline constexpr std::size_t attachment_capacity = 512;

enum class PageUse : std::uint32_t {
  none = 0,  // never used, or free
  stream,  // holds messages
  parked,  // the same, and the head has passed it, but leased messages lie in it
  run,  // first page of a run that holds large payload, or that its owner works on
  lent,  // the same, and its owner got it out of the queue and reads it where it lies
};

struct Descriptor {
  PageUse use;
  std::uint32_t next;  // stream: the page after this one; run: its length in pages
  // run: who works on it; means nothing while the item is in the queue. `nobody`: only the second holder does.
  OwnerId owner;
  // run: the number of the item that carries it, `no_ticket` until it is about to be put.
  // The run is the queue's while head <= ticket < tail; else it is its owner's, and garbage if
  // the owner is dead.
  // stream, parked: at least as many as there are leased messages in it.
  std::uint64_t ticket;
  // run: who looks at it beside its owner: the producer that filled it in place and put it, or one that reads what
  // another has received (Pool::borrow). It is free when both have let go of it. `nobody`: there is none.
  OwnerId second_holder;
};
static_assert(sizeof(Descriptor) == 32);

// What is known of so many pages in a row.
inline constexpr std::uint32_t pages_in_block = 2048;
struct PageBlock {
  Atomic<std::uint64_t> cold[pages_in_block / 64];  // a bit for each page; set: free, and its memory given back
  Descriptor descriptors[pages_in_block];
};
static_assert(sizeof(PageBlock) == 256 + 64 * 1024);
static_assert(offsetof(PageBlock, descriptors) == 256);

// How many entries of each table are in front. What a first view has of the pages needs no other view.
inline constexpr std::uint32_t pages_in_front = 16;
inline constexpr std::uint32_t cold_words_in_front = 1;
inline constexpr std::uint32_t leases_in_front = 16;  // behind the header, in a system page that only they touch

struct alignas(4096) Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t header_size;
  std::uint64_t total_size;
  std::uint64_t pages_offset;
  std::uint64_t page_table_offset;
  std::uint64_t leases_offset;
  std::uint32_t page_count;
  // An item larger than max_bytes may pass when the queue is empty; 1: and what is lent does not count.
  std::uint32_t soft_bound;
  std::uint64_t max_items;
  std::uint64_t max_bytes;
  std::uint64_t pid_namespace;

  // Rarely written, read by every operation.
  alignas(cache_line) Atomic<std::uint32_t> sweep_wanted;  // 1: a lock's holder died; pages may be lost
  Atomic<std::uint32_t> watched;  // 1: somebody asked for a readable descriptor
  Atomic<std::uint32_t> exports;  // pickled handles that nobody has attached yet
  Atomic<std::uint32_t> ended;  // End; stored under the producers' lock
  Atomic<std::uint32_t> returned;  // leased items that were given back, and wait
  Atomic<std::uint32_t> failed;  // leased items that failed too often, to be moved
  // 1: the consumers' (producers') lock was taken from a dead holder by one that could not put in order what that one
  // left; the next that takes it does so first. Stored under the lock.
  Atomic<std::uint32_t> consumers_owed;
  Atomic<std::uint32_t> producers_owed;
  Atomic<std::uint32_t> paused;  // 1: nothing can be taken, until somebody says otherwise

  EventCount not_empty alignas(cache_line);
  WaitingSide waiting_consumers;
  EventCount not_full alignas(cache_line);
  WaitingSide waiting_producers;
  EventCount all_done alignas(cache_line);

  Published tail;  // the producers' side
  Published head;  // the consumers' side
  Side producers;
  Side consumers;

  LeaseState leases;
  alignas(cache_line) Lock ready_lock;
  Atomic<std::uint32_t> ready_raised;  // 1: the ready descriptor holds a token
  // Which file the ready descriptor is, so that who was not handed it finds it (Segment::attach_from_outside). Stored
  // before `watched`. 0: there is none, or those of a Pipe stand in for it.
  Atomic<std::uint64_t> ready_device, ready_inode;

  PoolState pool;
  Descriptor descriptors[pages_in_front];
  Atomic<std::uint64_t> cold[cold_words_in_front];
  EndingState ending;

  // Processes that put (got) at least once and have not left.
  Atomic<OwnerId> putting[attachment_capacity];
  Atomic<OwnerId> getting[attachment_capacity];

  Label label;
  Waiters waiters;
};
static_assert(sizeof(Header) == 5 * 4096);

// A message in a stream page, aligned to 8 bytes; the payload follows.
struct MessageHeader {
  std::uint64_t size : 16;  // bytes of payload in this page
  std::uint64_t kind : 8;  // the codec's business
  std::uint64_t form : 2;  // MessageForm
  std::uint64_t sender : 22;  // pid of the process that put it (the kernel's PID_MAX_LIMIT)
  std::uint64_t check : 16;  // message_check, so that a damaged page is found out
};
static_assert(sizeof(MessageHeader) == 8 && page_size - sizeof(MessageHeader) < 1 << 16);

enum class MessageForm : std::uint8_t {
  inline_payload = 1,
  run = 2,  // the payload is a RunTable, the RunReferences, and a head
  skip = 3,  // nothing more in this page
};
inline constexpr std::uint16_t message_check = 0xC0DE;

struct RunReference {
  std::uint32_t first;
  std::uint32_t pages;
  std::uint64_t size;  // bytes used
};
static_assert(sizeof(RunReference) == 16);

// How many runs one item may have. Enough for what is put in place in one item; the rest is copied.
inline constexpr std::uint32_t most_runs = 16;

struct RunTable {
  std::uint32_t runs;
  std::uint32_t head_size;  // bytes behind the references, at most inline_limit
};
static_assert(sizeof(RunTable) == 8);

// A larger payload goes to a run of its own, written outside the lock.
inline constexpr std::size_t inline_limit = 16 * 1024;

// The longest message that has runs.
inline constexpr std::size_t most_of_runs = sizeof(RunTable) + most_runs * sizeof(RunReference) + inline_limit;

}  // namespace conveyor
