// The lock, the transaction, the claims.
#include "conveyor/store/store.hpp"

#include <algorithm>
#include <climits>
#include <sys/random.h>

#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

// Tells the threads of a process apart.
std::uint64_t this_thread() {
  static thread_local char place;
  return reinterpret_cast<std::uint64_t>(&place);
}

std::uint64_t random_number() {
  std::uint64_t number = 0;
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
    number = static_cast<std::uint64_t>(monotonic_now()) * 0x9E3779B97F4A7C15ULL ^ self();
  return number;
}

}  // namespace

void Copy::grow(std::size_t more) {
  std::size_t capacity = capacity_ * 2;
  while (capacity - size_ < more) capacity *= 2;
  std::unique_ptr<std::byte[]> larger(new std::byte[capacity]);
  std::memcpy(larger.get(), data(), size_);
  heap_ = std::move(larger);
  capacity_ = capacity;
}

Store::Store(std::shared_ptr<Region> region, std::uint64_t max_bytes)
    : header_(*reinterpret_cast<StoreHeader*>(region->data())),
      region_(std::move(region)),
      reached_(region_->reached()),
      base_(region_->data()),
      size_(region_->size()),
      wanted_bound_(max_bytes) {
  if (size_ < sizeof(StoreHeader) + 4096) throw SegmentError(Fault::corrupt, 0, "the region is too small for a store");
  if (const int error = region_->reserve(0, sizeof(StoreHeader)); error != 0)
    throw SegmentError(Fault::memory, error, "no memory for shared state");
}

StoreStatus Store::open(Nanoseconds deadline) {
  return locked(deadline, [&] {
    seed_ = snapshot(header_.seed);
    max_bytes_ = snapshot(header_.max_bytes);
    return StoreStatus::ok;
  });
}

// A process that dies in here leaves it to the next, which writes all of it again.
void Store::initialise() {
  header_.seed = random_number();
  header_.max_bytes = wanted_bound_;
  header_.reserved = 0;
  CONVEYOR_KILL_POINT("store.initialised");
  header_.ready.store(1, release);  // read under the lock: release only keeps the compiler's order
}

// Bytes [0, end) can be looked at. False: there is no address space.
bool Store::follow(std::uint64_t end) {
  if (end <= reached_) return true;
  if (region_->reach(end) != 0) return false;
  reached_ = region_->reached();
  base_ = region_->data();
  return true;
}

bool Store::enter(bool recovered) {
  // A fork may have caught another thread of the parent's in the middle of something.
  forget();
  was_changed_ = was_released_ = false;
  if (header_.ready.load(relaxed) == 0) initialise();  // relaxed: under the lock
  if (recovered) {
    // It may have died before it woke somebody.
    was_changed_ = was_released_ = true;
  }
  if (!follow(std::min(snapshot(header_.reserved), size_))) return false;
  // Not only when the lock was a dead holder's: who mended what that one left may have been stopped by damage, or by
  // want of address space.
  const std::uint64_t committed = header_.committed.load(relaxed);  // relaxed: under the lock
  if (committed != 0) redo(committed);
  if (has_trash() || read(header_.state.nursery) != 0) tidy();
  return true;
}

void Store::leave() {
  forget();
  const bool tells = was_changed_, gives = was_released_;
  was_changed_ = was_released_ = false;
  header_.lock.unlock();
  CONVEYOR_KILL_POINT("store.unlocked");
  // N2..N5 of sync point "event-count"; N1 was the commit.
  if (tells) header_.changed.notify_after_exchange(INT_MAX);
  if (gives) header_.released.notify_after_exchange(INT_MAX);
}

void Store::set(std::uint64_t& word, std::uint64_t value) {
  const std::uint64_t offset = offset_of(&word);
  for (std::uint32_t i = pending_count_; i-- > 0;) {
    if (pending_[i].offset == offset) {
      pending_[i].value = value;
      return;
    }
  }
  set_first(word, value);
}

void Store::set_first(std::uint64_t& word, std::uint64_t value) {
  if (pending_count_ == journal_capacity) damaged();  // no sound structure asks for so many
  pending_[pending_count_++] = {offset_of(&word), value};
}

void Store::commit() {
  if (pending_count_ != 0) {
    std::memcpy(header_.journal, pending_, pending_count_ * sizeof(JournalWord));
    CONVEYOR_KILL_POINT("store.before-commit");
    // release: who finds the number finds the words, and what they refer to. The next holder of the lock is
    // the only one who looks: see sync point "lock".
    header_.committed.store(pending_count_, release);
    in_program_order();
    CONVEYOR_KILL_POINT("store.committed");
    write(word_at(pending_[0].offset), pending_[0].value);
    CONVEYOR_KILL_POINT("store.half-applied");
    for (std::uint32_t i = 1; i < pending_count_; ++i) write(word_at(pending_[i].offset), pending_[i].value);
    CONVEYOR_KILL_POINT("store.applied");
    header_.committed.store(0, release);
    in_program_order();  // the next transaction writes into the journal
    for (std::uint32_t i = 0; i < given_count_; ++i) region_->give_back(given_[i].at, given_[i].size);
  }
  forget();
}

void Store::redo(std::uint64_t count) {
  if (count > journal_capacity) damaged();
  std::memcpy(pending_, header_.journal, count * sizeof(JournalWord));
  in_program_order();
  const std::uint64_t limit = std::min(snapshot(header_.reserved), reached_);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t offset = pending_[i].offset;
    const bool in_header = offset >= offsetof(StoreHeader, state) && offset < offsetof(StoreHeader, journal);
    const bool in_heap = offset >= sizeof(StoreHeader) && offset <= size_ - 8 && offset + 8 <= limit;
    if (offset % 8 != 0 || (!in_header && !in_heap)) damaged();
  }
  for (std::uint64_t i = 0; i < count; ++i) write(word_at(pending_[i].offset), pending_[i].value);
  CONVEYOR_KILL_POINT("store.redone");
  header_.committed.store(0, release);
  in_program_order();
  was_changed_ = was_released_ = true;
}

void Store::changed() {
  set(header_.state.version, get(header_.state.version) + 1);
  was_changed_ = true;
}

StoreStatus Store::figures(Nanoseconds deadline, std::uint64_t& length, std::uint64_t& version, std::uint64_t& used) {
  return locked(deadline, [&] {
    length = read(header_.state.length);
    version = read(header_.state.version);
    used = read(header_.state.used);
    return length <= size_ ? StoreStatus::ok : StoreStatus::corrupt;
  });
}

Waited Store::wait_changed(std::uint64_t seen, Nanoseconds deadline, Slices& slices) {
  // W1..W5 of sync point "event-count".
  const std::uint32_t epoch = header_.changed.announce();
  if (version() != seen) return Waited::again;
  return header_.changed.sleep(epoch, deadline, slices);
}

Waited Store::wait_released(std::uint64_t claims_seen, Nanoseconds deadline, Slices& slices) {
  const std::uint32_t epoch = header_.released.announce();
  if (claims_now() != claims_seen) return Waited::again;
  return header_.released.sleep(epoch, deadline, slices);
}

StoreStatus Store::is_claimed(Claim& claim) {
  const OwnerId owner = read(claim.owner);
  if (owner == self()) return read(claim.thread) == this_thread() ? StoreStatus::own_claim : StoreStatus::claimed;
  if (is_alive(owner)) return StoreStatus::claimed;
  CONVEYOR_KILL_POINT("store.claim-lapses");
  end_claim(claim);
  commit();
  return StoreStatus::ok;
}

StoreStatus Store::look_for_claims(std::uint64_t hash) {
  if (read(header_.state.claims) == 0) return StoreStatus::ok;
  for (Claim& claim : header_.claims) {
    if (read(claim.owner) == nobody || read(claim.hash) != hash) continue;
    if (const StoreStatus status = is_claimed(claim); status != StoreStatus::ok) return status;
  }
  return StoreStatus::ok;
}

StoreStatus Store::look_for_any_claims() {
  if (read(header_.state.claims) == 0) return StoreStatus::ok;
  for (Claim& claim : header_.claims) {
    if (read(claim.owner) == nobody) continue;
    if (const StoreStatus status = is_claimed(claim); status != StoreStatus::ok) return status;
  }
  return StoreStatus::ok;
}

StoreStatus Store::make_claim(std::uint64_t hash, std::uint64_t& number) {
  if (const StoreStatus status = look_for_claims(hash); status != StoreStatus::ok) return status;
  Claim* place = nullptr;
  for (int attempt = 0; place == nullptr && attempt < 2; ++attempt) {
    for (Claim& claim : header_.claims) {
      if (read(claim.owner) != nobody && (attempt == 0 || is_claimed(claim) != StoreStatus::ok)) continue;
      place = &claim;
      break;
    }
  }
  if (place == nullptr) return StoreStatus::crowded;
  number = get(header_.state.next_claim) + 1;
  set(header_.state.next_claim, number);
  set(header_.state.claims, get(header_.state.claims) + 1);
  set(place->owner, self());
  set(place->hash, hash);
  set(place->number, number);
  set(place->thread, this_thread());
  commit();
  CONVEYOR_KILL_POINT("store.claimed");
  return StoreStatus::ok;
}

Claim* Store::find_claim(std::uint64_t number) {
  for (Claim& claim : header_.claims) {
    if (read(claim.owner) == self() && read(claim.number) == number) return &claim;
  }
  return nullptr;
}

void Store::end_claim(Claim& claim) {
  const std::uint64_t count = get(header_.state.claims);
  set(header_.state.claims, count == 0 ? 0 : count - 1);
  set(claim.owner, nobody);
  was_released_ = true;
}

}  // namespace conveyor
