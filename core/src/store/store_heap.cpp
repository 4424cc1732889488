// The heap: blocks of size classes. Nothing here is searched, moved or merged: a block is taken from the free ones
// of its class or from memory never used, and goes back to its class.
#include <algorithm>
#include <bit>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/store/store.hpp"

namespace conveyor {
namespace {

// From this size on a free block's memory goes back to the system.
constexpr std::uint64_t large_block = 64 * 1024;
constexpr std::uint64_t least_ahead = 64 * 1024, most_ahead = 4 << 20;
// How many blobs one step of emptying the trash frees: each takes two words of the journal, or four with a key.
constexpr std::uint64_t step = 40;

// Multiples of 16 up to 128, then four classes for each doubling.
constexpr std::uint32_t class_of(std::uint64_t bytes) {
  if (bytes <= 128) return static_cast<std::uint32_t>((bytes + 15) / 16 - 1);
  const auto e = static_cast<std::uint32_t>(std::bit_width(bytes - 1)) - 1;
  const std::uint64_t quarter = 1ULL << (e - 2);
  return 8 + (e - 7) * 4 + static_cast<std::uint32_t>((bytes - (1ULL << e) + quarter - 1) / quarter) - 1;
}
constexpr std::uint64_t size_of_class(std::uint32_t number) {
  if (number < 8) return (number + 1) * 16;
  const std::uint32_t e = 7 + (number - 8) / 4;
  return (1ULL << e) + ((number - 8) % 4 + 1) * (1ULL << (e - 2));
}
static_assert(size_of_class(class_of(1)) == 16 && size_of_class(class_of(128)) == 128);
static_assert(size_of_class(class_of(129)) == 160 && size_of_class(class_of(256)) == 256);
static_assert(size_of_class(class_of(257)) == 320 && size_of_class(class_of(1ULL << 40)) == 1ULL << 40);
constexpr std::uint64_t largest = 1ULL << 44;
static_assert(class_of(largest) < size_classes);

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace

std::uint64_t Store::bump() const {
  const std::uint64_t at = get(header_.state.bump);
  if (at == 0) return heap_start;
  if (at < heap_start || at > reached_ || at % 16 != 0) damaged();
  return at;
}

void Store::reserve(std::uint64_t end) {
  const std::uint64_t done = snapshot(header_.reserved);
  if (end <= done) return;
  if (end > size_) throw NoMemory{StoreStatus::no_memory};
  const std::uint64_t from = std::min(done, end) / system_page * system_page;
  const std::uint64_t ahead = std::clamp(end / 8, least_ahead, most_ahead);
  std::uint64_t target = std::min(align_up(end + ahead, system_page), size_ / system_page * system_page);
  if (target < end || region_->reserve(from, target - from) != 0) {
    target = std::min(align_up(end, system_page), size_);
    if (region_->reserve(from, target - from) != 0) throw NoMemory{StoreStatus::no_memory};
  }
  if (!follow(target)) throw NoMemory{StoreStatus::no_memory};  // it is: `reserve` has mapped it
  CONVEYOR_KILL_POINT("store.reserved");
  header_.reserved = target;
}

std::uint64_t Store::take_fresh(std::uint64_t block_size) {
  const std::uint64_t at = bump();
  // There is memory behind all blocks. Believed, a damaged number would take all the memory there is.
  if (at != heap_start && at > snapshot(header_.reserved)) damaged();
  const std::uint64_t block = block_size >= large_block ? align_up(at, system_page) : at;
  if (block > size_ || block_size > size_ - block) throw NoMemory{StoreStatus::no_memory};
  reserve(block + block_size);
  set(header_.state.bump, block + block_size);
  return block;
}

void Store::will_free(std::uint64_t block) { freeing_ += size_of_class(class_of(BlockHead::size(head_of(block)) + 8)); }

std::uint64_t Store::allocate(std::uint64_t bytes, std::uint8_t kind, bool passing) {
  if (bytes > largest - 8) throw NoMemory{StoreStatus::no_memory};
  const std::uint32_t number = class_of(bytes + 8);
  const std::uint64_t block_size = size_of_class(number);
  const std::uint64_t used = get(header_.state.used);
  if (max_bytes_ != 0 && !passing) {
    const std::uint64_t kept = used < freeing_ ? 0 : used - freeing_;
    if (kept > max_bytes_ || block_size > max_bytes_ - kept) throw NoMemory{StoreStatus::full};
  }
  std::uint64_t& first = header_.state.free[number];
  // What this transaction has freed is still in use until it commits, and must not be written to.
  std::uint64_t block = freed_ != 0 ? 0 : get(first);
  if (block == 0) {
    block = take_fresh(block_size);
  } else {
    const std::uint64_t end = bump();
    if (block < heap_start || block % 16 != 0 || block > end || block_size > end - block) damaged();
    if (block_size >= large_block && region_->reserve(block, block_size) != 0) throw NoMemory{StoreStatus::no_memory};
    set(first, get(word_at(block)));
  }
  set(header_.state.used, used + block_size);
  set_first(word_at(block), BlockHead::make(bytes, kind));
  return block;
}

std::uint64_t Store::head_of(std::uint64_t block) const {
  const std::uint64_t end = bump();
  if (block < heap_start || block % 16 != 0 || block > end - 8) damaged();
  const std::uint64_t head = get(word_at(block));
  if (BlockHead::size(head) > end - block - 8) damaged();
  return head;
}

void Store::free(std::uint64_t block) {
  const std::uint32_t number = class_of(BlockHead::size(head_of(block)) + 8);
  const std::uint64_t block_size = size_of_class(number);
  if (block_size > size_ - block) damaged();
  std::uint64_t& first = header_.state.free[number];
  set(word_at(block), get(first));
  set(first, block);
  const std::uint64_t used = get(header_.state.used);
  set(header_.state.used, used < block_size ? 0 : used - block_size);
  ++freed_;
  if (block_size >= large_block && given_count_ < most_given)
    given_[given_count_++] = {align_up(block + 8, system_page), block_size - system_page};
}

std::uint64_t Store::extent_of_class(std::uint32_t number) { return size_of_class(number); }

Store::Extent Store::extent_of(std::uint64_t block) const {
  return {block, size_of_class(class_of(BlockHead::size(head_of(block)) + 8))};
}

std::uint64_t Store::store(const Bytes& bytes) {
  const std::uint64_t block = allocate(bytes.size, bytes.kind);
  if (bytes.size != 0) std::memcpy(content(block), bytes.data, bytes.size);
  return block;
}

Part Store::copy_out(std::uint64_t block, Copy& into) const {
  const std::uint64_t head = head_of(block);
  const Part part{into.size(), BlockHead::size(head), BlockHead::kind(head)};
  if (part.offset > bump()) damaged();  // blobs do not overlap: together they are no more than there is
  if (part.size != 0) std::memcpy(into.extend(part.size), content(block), part.size);
  return part;
}

std::uint64_t Store::make_ring(std::uint64_t at_least, bool passing) {
  const std::uint64_t capacity = std::bit_ceil(std::max<std::uint64_t>(at_least, 8));
  const std::uint64_t block = allocate(ring_bytes(capacity), 0, passing);
  write(*reinterpret_cast<std::uint64_t*>(content(block)), capacity);
  return block;
}

std::uint64_t Store::ring_capacity(std::uint64_t block) const {
  const std::uint64_t bytes = BlockHead::size(head_of(block));
  if (bytes < ring_bytes(1)) damaged();
  const std::uint64_t capacity = read(*reinterpret_cast<std::uint64_t*>(content(block)));
  if (!std::has_single_bit(capacity) || capacity > size_ / 8 || ring_bytes(capacity) != bytes) damaged();
  return capacity;
}

void Store::begin_nursery(std::uint64_t capacity) {
  const std::uint64_t ring = make_ring(capacity);
  set(header_.state.nursery, ring);
  set(header_.state.nursery_count, 0);
  commit();
}

std::uint64_t Store::raise(const Bytes& bytes) {
  const std::uint64_t ring = get(header_.state.nursery);
  const std::uint64_t capacity = ring_capacity(ring), count = get(header_.state.nursery_count);
  if (count >= capacity) damaged();
  const std::uint64_t blob = store(bytes);
  write(ring_slot(ring, capacity, count), blob);
  set(header_.state.nursery_count, count + 1);
  if (pending_count_ > journal_capacity / 3) {
    commit();
    CONVEYOR_KILL_POINT("store.raised");
  }
  return blob;
}

void Store::end_nursery() {
  free(get(header_.state.nursery));
  set(header_.state.nursery, 0);
  set(header_.state.nursery_count, 0);
}

void Store::throw_away(TrashKind kind, std::uint64_t block, std::uint64_t first, std::uint64_t count) {
  set(header_.state.trash_kind, static_cast<std::uint64_t>(kind));
  set(header_.state.trash, block);
  set(header_.state.trash_first, first);
  set(header_.state.trash_count, count);
}

void Store::free_step() {
  StoreState& state = header_.state;
  const std::uint64_t block = read(state.trash), first = read(state.trash_first);
  std::uint64_t count = read(state.trash_count);
  const auto kind = static_cast<TrashKind>(read(state.trash_kind));
  std::uint64_t freed = 0;
  if (kind == TrashKind::ring) {
    const std::uint64_t capacity = ring_capacity(block);
    if (count > capacity) damaged();
    for (; count != 0 && freed < step; ++freed) free(read(ring_slot(block, capacity, first + --count)));
  } else if (kind == TrashKind::table) {
    const std::uint64_t bytes = BlockHead::size(head_of(block));
    if (bytes < sizeof(TableShape) || count > (bytes - sizeof(TableShape)) / sizeof(TableEntry)) damaged();
    auto* const entries = reinterpret_cast<TableEntry*>(content(block) + sizeof(TableShape));
    while (count != 0 && freed < step) {
      const TableEntry& entry = entries[--count];
      if (read(entry.key) == 0) continue;
      free(read(entry.key));
      free(read(entry.value));
      freed += 2;
    }
  } else {
    damaged();
  }
  set(state.trash_count, count);
  if (count == 0) {
    free(block);
    set(state.trash_kind, 0);
  }
  commit();
  CONVEYOR_KILL_POINT("store.trash-step");
}

void Store::empty_trash() {
  while (has_trash()) free_step();
  begin_anew();
}

// An empty heap is as a new one: small blocks, which are never merged, do not keep its memory for others of their size.
void Store::begin_anew() {
  StoreState& state = header_.state;
  const std::uint64_t end = bump();
  if (read(state.used) != 0 || read(state.root) != 0 || read(state.nursery) != 0 || end == heap_start) return;
  set(state.bump, 0);
  for (std::uint64_t& first : state.free) {
    if (read(first) != 0) set(first, 0);
  }
  commit();
  CONVEYOR_KILL_POINT("store.emptied");
  constexpr std::uint64_t kept = align_up(heap_start + large_block, system_page);
  const std::uint64_t done = snapshot(header_.reserved);
  if (done <= kept || done > size_) return;
  // First it is not counted on any more, and then it is given back.
  header_.reserved = kept;
  in_program_order();
  CONVEYOR_KILL_POINT("store.shrunk");
  region_->give_back(kept, done - kept);
}

// What an operation left that was given up, or that died.
void Store::tidy() {
  StoreState& state = header_.state;
  try {
    empty_trash();
    if (read(state.nursery) == 0) return;
    throw_away(TrashKind::ring, read(state.nursery), 0, read(state.nursery_count));
    set(state.nursery, 0);
    set(state.nursery_count, 0);
    commit();
    CONVEYOR_KILL_POINT("store.nursery-left");
    empty_trash();
  } catch (const Damage&) {
    // Damaged rubbish is left lying: what is still in use may be sound.
    forget();
    set(state.trash_kind, 0);
    set(state.nursery, 0);
    set(state.nursery_count, 0);
    commit();
  }
}

}  // namespace conveyor
