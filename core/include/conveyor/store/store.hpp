// What a shared dict and a shared list stand on: a heap of blocks, changed by transactions.
//
// A transaction is a handful of stores of single words. It gathers them without making any, writes them into the
// journal, commits by one store (StoreHeader::committed), makes them, and strikes the journal out. Who dies before the
// commit has done nothing: what he wrote lies in blocks that are free. Who dies after it has done everything: the next
// holder of the lock makes the stores once more, and as they are of absolute values, twice is as good as once.
// So nothing is ever half done, and nothing lost: no block, no count.
//
// What needs more stores than a journal holds is done in steps, each whole: blobs gather in the nursery before
// the one commit that puts them all in place, and what was replaced becomes trash and is freed afterwards. Who dies
// in between leaves a nursery, which the next holder of the lock turns into trash, and trash, which it frees.
//
// Everything happens under one lock, reading too, for as long as copying takes; nobody's code runs under it.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "conveyor/memory/region.hpp"
#include "conveyor/store/store_layout.hpp"

namespace conveyor {

enum class StoreStatus {
  ok,
  missing,      // no such key or index
  claimed,      // somebody else has a claim on the key
  own_claim,    // this very thread has
  crowded,      // no more claims are possible for now
  lapsed,       // the claim is not ours any more
  changed,      // not as it was at that version any more
  no_memory,    // the system gives none
  full,         // it would be more than max_bytes
  corrupt,
  busy,         // the lock was not free in time
  interrupted,  // by a signal, while it waited for the lock
};

// Bytes copied out of the region. Small ones lie inside.
class Copy {
 public:
  Copy() = default;
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  std::byte* extend(std::size_t more) {
    if (more > capacity_ - size_) grow(more);
    std::byte* const at = data() + size_;
    size_ += more;
    return at;
  }
  void clear() { size_ = 0; }
  std::byte* data() { return heap_ ? heap_.get() : small_; }
  std::size_t size() const { return size_; }

 private:
  void grow(std::size_t more);
  std::unique_ptr<std::byte[]> heap_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 512;
  std::byte small_[512];
};

struct Bytes {
  const std::byte* data = nullptr;
  std::size_t size = 0;
  std::uint8_t kind = 0;
};

// Bytes within a Copy.
struct Part {
  std::size_t offset = 0, size = 0;
  std::uint8_t kind = 0;
};

// How an item is taken out that shall be lost to nobody: it goes once it has been decoded. What is not of a kind that
// always can be is copied out first (`changed`), and goes with the next call if it is still there.
struct DecodeThenRemove {
  std::uint32_t always_decodable = 0;  // a bit for each such kind
  bool seen = false;
  std::uint64_t version = 0;  // of what was seen
  bool always_decodes(std::uint8_t kind) const { return kind < 32 && (always_decodable >> kind & 1) != 0; }
};

class Store {
 public:
  // The bound and the seed are those of the process that opens it first; `max_bytes` 0: no bound. Throws SegmentError.
  Store(std::shared_ptr<Region> region, std::uint64_t max_bytes);
  virtual ~Store() = default;
  // The first thing to be called.
  StoreStatus open(Nanoseconds deadline);

  Region& region() const { return *region_; }
  // For a note of who waits.
  Waiters& waiters() const { return region_->waiters(); }
  const std::shared_ptr<Region>& shared_region() const { return region_; }

  // Each of these may be told `busy` or `interrupted`; then nothing was done.
  StoreStatus figures(Nanoseconds deadline, std::uint64_t& length, std::uint64_t& version, std::uint64_t& used);
  std::uint64_t max_bytes() const { return max_bytes_; }
  std::uint64_t seed() const { return seed_; }
  // Without the lock: out of date at once, and never ahead of what a holder of the lock sees.
  std::uint64_t version() const { return read(header_.state.version); }

  // Sleeps until something was changed since `version`, or the deadline.
  Waited wait_changed(std::uint64_t version, Nanoseconds deadline, Slices& slices);
  // Sleeps until a claim may have been given back. Who wakes by the deadline alone looks whether the claimant lives.
  Waited wait_released(std::uint64_t claims_seen, Nanoseconds deadline, Slices& slices);
  std::uint64_t claims_now() const { return read(header_.state.next_claim) ^ read(header_.state.claims) << 48; }

  // For tests: what is wrong, or empty. Takes the lock.
  std::string check(Nanoseconds deadline);
  struct Extent {
    std::uint64_t at, size;
  };

 protected:
  struct Damage {};
  struct NoMemory {
    StoreStatus status;
  };

  // Takes the lock, mends what a dead holder left, and calls `work() -> StoreStatus`. Wakes who waits for changes.
  template <class Work>
  StoreStatus locked(Nanoseconds deadline, Work work);

  static std::uint64_t read(const std::uint64_t& word) {
    // relaxed: under the lock that orders it, or a hint
    return reinterpret_cast<const Atomic<std::uint64_t>&>(word).load(relaxed);
  }
  static void write(std::uint64_t& word, std::uint64_t value) {
    reinterpret_cast<Atomic<std::uint64_t>&>(word).store(value, relaxed);  // relaxed: the same
  }

  // ---- the transaction: only under the lock. Not put to use unless `commit` is reached.
  std::uint64_t get(const std::uint64_t& word) const {
    const std::uint64_t offset = offset_of(&word);
    for (std::uint32_t i = pending_count_; i-- > 0;) {
      if (pending_[i].offset == offset) return pending_[i].value;
    }
    return read(word);
  }
  void set(std::uint64_t& word, std::uint64_t value);
  // The same for a word that this transaction has not set yet, and sets once.
  void set_first(std::uint64_t& word, std::uint64_t value);
  void commit();
  void forget() {
    pending_count_ = given_count_ = freed_ = 0;
    freeing_ = 0;
  }

  // ---- the heap, within a transaction
  // A block for `size` bytes behind its head. They may be written at once; the head is written by the commit.
  // `passing`: freed before the call is over, so that it does not count as in use.
  std::uint64_t allocate(std::uint64_t size, std::uint8_t kind, bool passing = false);
  // This transaction will free the block: what takes its place may have its room within `max_bytes`.
  void will_free(std::uint64_t block);
  void free(std::uint64_t block);
  std::uint64_t store(const Bytes& bytes);  // a blob
  // The head of a block in use, with as many bytes behind it as it says.
  std::uint64_t head_of(std::uint64_t block) const;
  std::byte* content(std::uint64_t block) const { return base_ + block + 8; }
  Part copy_out(std::uint64_t block, Copy& into) const;

  // ---- steps: each commits
  void begin_nursery(std::uint64_t capacity);
  std::uint64_t raise(const Bytes& bytes);  // a blob in the nursery
  // Nothing may be pending, and there is no trash.
  void end_nursery();                       // within the transaction that puts them in place
  void throw_away(TrashKind kind, std::uint64_t block, std::uint64_t first, std::uint64_t count);  // the same
  void empty_trash();
  bool has_trash() const { return read(header_.state.trash_kind) != 0; }

  // ---- rings, which lists and the nursery are
  static std::uint64_t ring_bytes(std::uint64_t capacity) { return 8 + capacity * 8; }
  std::uint64_t make_ring(std::uint64_t at_least, bool passing = false);
  std::uint64_t ring_capacity(std::uint64_t block) const;
  std::uint64_t& ring_slot(std::uint64_t block, std::uint64_t capacity, std::uint64_t place) const {
    return reinterpret_cast<std::uint64_t*>(content(block) + 8)[place & (capacity - 1)];
  }

  // ---- claims
  // `ok`: nobody has a claim on it. A dead claimant's is struck out.
  StoreStatus look_for_claims(std::uint64_t hash);
  StoreStatus look_for_any_claims();
  StoreStatus make_claim(std::uint64_t hash, std::uint64_t& claim);
  Claim* find_claim(std::uint64_t claim);
  void end_claim(Claim& claim);

  void changed();  // within a transaction: others will see it
  std::uint64_t size() const { return size_; }
  [[noreturn]] static void damaged() { throw Damage{}; }
  // A reference that was made before more of the region was mapped leads into an older view.
  std::uint64_t offset_of(const void* part) const {
    const auto at = reinterpret_cast<std::uintptr_t>(part);
    if (const std::uint64_t offset = at - reinterpret_cast<std::uintptr_t>(base_); offset < reached_) return offset;
    const std::uint64_t offset = at - reinterpret_cast<std::uintptr_t>(&header_);
    return offset < sizeof header_ ? offset : region_->offset_of(part);
  }
  std::uint64_t& word_at(std::uint64_t offset) const { return *reinterpret_cast<std::uint64_t*>(base_ + offset); }

  // For `check`: what the structure refers to; throws Damage, or says what is wrong.
  virtual std::string walk(std::vector<Extent>& blocks) = 0;
  Extent extent_of(std::uint64_t block) const;
  static std::uint64_t extent_of_class(std::uint32_t number);
  void walk_ring(std::uint64_t block, std::uint64_t first, std::uint64_t count, std::vector<Extent>& blocks) const;

  StoreHeader& header_;

 private:
  // False: what others have put there cannot be mapped here.
  bool enter(bool recovered);
  bool follow(std::uint64_t end);
  void leave();
  void initialise();
  void redo(std::uint64_t count);
  void tidy();
  void free_step();
  void begin_anew();
  std::uint64_t take_fresh(std::uint64_t block_size);
  std::uint64_t bump() const;
  void reserve(std::uint64_t end);
  StoreStatus is_claimed(Claim& claim);
  std::string check_heap(std::vector<Extent>& blocks);

  std::shared_ptr<Region> region_;
  // The newest view that this store has used, and how much there is of it; guarded by the lock.
  std::uint64_t reached_;
  std::byte* base_;
  const std::uint64_t size_;
  const std::uint64_t wanted_bound_;
  std::uint64_t max_bytes_ = 0;
  std::uint64_t seed_ = 0;

  // Of the transaction; guarded by the lock, which keeps this process's other threads out, too.
  bool was_changed_ = false, was_released_ = false;
  std::uint32_t pending_count_ = 0;
  std::uint32_t given_count_ = 0, freed_ = 0;
  std::uint64_t freeing_ = 0;  // bytes of what will be freed
  JournalWord pending_[journal_capacity];
  static constexpr std::uint32_t most_given = 64;
  Extent given_[most_given];  // freed, and large: their memory goes back after the commit
};

template <class Work>
StoreStatus Store::locked(Nanoseconds deadline, Work work) {
  Locked got = header_.lock.try_acquire();
  if (got != Locked::clean) {
    if (deadline == 0) return StoreStatus::busy;
    got = header_.lock.acquire(deadline);
    if (got == Locked::busy) return StoreStatus::busy;
    if (got == Locked::interrupted) return StoreStatus::interrupted;
  }
  struct Leave {
    Store& store;
    ~Leave() { store.leave(); }
  } const leave{*this};
  try {
    if (!enter(got == Locked::recovered)) return StoreStatus::no_memory;
    return work();
  } catch (const Damage&) {
    return StoreStatus::corrupt;
  } catch (const NoMemory& failure) {
    forget();
    tidy();
    return failure.status;
  }
}

}  // namespace conveyor
