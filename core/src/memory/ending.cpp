// The table of registered producers: who is inside `producing()`, and who died there.
#include "conveyor/memory/ending.hpp"

#include <algorithm>

namespace conveyor {
namespace {

// Producers::commit's word: 1 | slot (16 bits) | blocks (23 bits) | expected (24 bits). Never 0.
constexpr std::uint64_t pack(std::uint32_t slot, std::uint32_t blocks, std::uint32_t expected) {
  return std::uint64_t{1} << 63 | std::uint64_t{slot} << 47 | std::uint64_t{blocks} << 24 | expected;
}
static_assert(producer_capacity <= 1U << 16);

}  // namespace

// relaxed in this file: under the producers' lock, or a look whose outcome is settled under it. The stores
// are releases, so that a process that is killed leaves a beginning of them in the order of the program.

std::uint32_t Producers::high() const { return std::min(state_.high.load(relaxed), capacity()); }

std::uint32_t Producers::own_slot() const {
  const OwnerId me = self();
  const auto is_ours = [me](const ProducerSlot& slot) {
    return slot.owner.load(relaxed) == me && active(slot.blocks.load(relaxed));
  };
  if (const std::uint32_t known = place_.slot(); known < high()) {
    const ProducerSlot* const slot = at(known);
    if (slot != nullptr && is_ours(*slot)) return known;
  }
  std::uint32_t found = no_slot;
  find([&](std::uint32_t index, const ProducerSlot& slot) {
    if (is_ours(slot)) found = index;
    return found != no_slot;
  });
  return found;
}

// Among those that were in use before.
std::uint32_t Producers::free_slot() const {
  std::uint32_t found = no_slot;
  find([&](std::uint32_t index, const ProducerSlot& slot) {
    // Without a block: left behind by one that died on its way in or out.
    if (slot.owner.load(relaxed) == nobody || slot.blocks.load(relaxed) == 0) found = index;
    return found != no_slot;
  });
  return found;
}

// A new one; when there is none, a tombstone.
std::uint32_t Producers::another_slot(Entered& why_not) {
  why_not = Entered::crowded;
  if (const std::uint32_t next = high(); next < capacity()) {
    if (next < producers_in_front || table_->reserve_producer(next)) {
      state_.high.store(next + 1, release);
      return next;
    }
    why_not = Entered::no_memory;
  }
  std::uint32_t tombstone = no_slot;
  bool first = true;
  find([&](std::uint32_t index, const ProducerSlot& slot) {
    if ((slot.blocks.load(relaxed) & producer_lost) == 0) return false;
    if (!first) tombstone = index;  // one must stay, to tell that there were any
    first = false;
    return tombstone != no_slot;
  });
  return tombstone;
}

void Producers::lower_high() {
  std::uint32_t end = high();
  const auto is_free = [this](std::uint32_t index) {
    const ProducerSlot* const slot = at(index);
    return slot != nullptr && slot->owner.load(relaxed) == nobody;
  };
  while (end > 0 && is_free(end - 1)) --end;
  state_.high.store(end, release);
}

Producers::Entered Producers::enter(bool counts) {
  std::uint32_t mine = own_slot();
  if (mine == no_slot) {
    mine = free_slot();
    auto why_not = Entered::ok;
    if (mine == no_slot) mine = another_slot(why_not);
    if (mine == no_slot) return why_not;
    ProducerSlot& slot = *at(mine);
    slot.blocks.store(0, release);
    slot.counted.store(0, release);
    slot.at.store(no_ticket, release);
    slot.owner.store(self(), release);
    CONVEYOR_KILL_POINT("producers.named");
  }
  const std::uint32_t blocks = at(mine)->blocks.load(relaxed);
  if (blocks == most_blocks) return Entered::crowded;
  const std::uint32_t expected = this->expected();
  commit(mine, blocks + 1, counts && expected != 0 ? expected - 1 : expected);
  place_.set(mine);
  return Entered::ok;
}

void Producers::leave() {
  const std::uint32_t mine = own_slot();
  if (mine == no_slot) return;
  const std::uint32_t blocks = at(mine)->blocks.load(relaxed) - 1;
  commit(mine, blocks, expected());
  if (blocks != 0) return;
  place_.set(no_slot);
  lower_high();
}

void Producers::commit(std::uint32_t slot, std::uint32_t blocks, std::uint32_t expected) {
  const std::uint64_t intent = pack(slot, blocks, expected);
  state_.intent.store(intent, release);
  CONVEYOR_KILL_POINT("producers.committed");
  apply(intent);
  CONVEYOR_KILL_POINT("producers.applied");
}

void Producers::apply(std::uint64_t intent) {
  const auto index = static_cast<std::uint32_t>(intent >> 47) & 0xffff;
  if (ProducerSlot* const slot = index < high() ? at(index) : nullptr; slot != nullptr) {
    const auto blocks = static_cast<std::uint32_t>(intent >> 24) & most_blocks;
    slot->blocks.store(blocks, release);
    CONVEYOR_KILL_POINT("producers.half-applied");
    state_.expected.store(producers_armed | (static_cast<std::uint32_t>(intent) & most_expected), release);
    if (blocks == 0) slot->owner.store(nobody, release);
  }
  state_.intent.store(0, release);
}

void Producers::expect(std::uint32_t count) {
  state_.expected.store(producers_armed | count, release);
  CONVEYOR_KILL_POINT("producers.expected");
}

bool Producers::all_have_left() const {
  if (state_.expected.load(relaxed) != producers_armed) return false;
  bool any = false;
  find([&](std::uint32_t, const ProducerSlot& slot) {
    any = slot.owner.load(relaxed) != nobody && active(slot.blocks.load(relaxed));
    return any;
  });
  return !any;
}

// The count that holds is `counted` before the commit and `next` after it, wherever between these stores
// and the commit the process dies; `recover` sees to it that nobody else's commit is taken for it.
void Producers::count_in(std::uint32_t mine, std::uint64_t items, std::uint64_t after) {
  ProducerSlot& slot = *at(mine);  // reached when it was entered, also by our parent
  if (slot.owner.load(relaxed) != self()) return;  // our parent's
  const std::uint64_t so_far =
      slot.at.load(relaxed) == no_ticket ? slot.counted.load(relaxed) : slot.next.load(relaxed);
  slot.counted.store(so_far, release);
  slot.at.store(no_ticket, release);
  slot.next.store(so_far + items, release);
  slot.at.store(after, release);
  CONVEYOR_KILL_POINT("producers.counted");
}

void Producers::recover(std::uint64_t tail_count) {
  if (const std::uint64_t intent = state_.intent.load(relaxed); intent != 0) apply(intent);
  find([&](std::uint32_t, ProducerSlot& slot) {
    const std::uint64_t at = slot.at.load(relaxed);
    if (at != no_ticket && at > tail_count) slot.at.store(no_ticket, release);  // it was not put
    return false;
  });
}

std::vector<Producers::Dead> Producers::find_dead() const {
  std::vector<Dead> found;
  find([&](std::uint32_t index, const ProducerSlot& slot) {
    const OwnerId owner = slot.owner.load(relaxed);
    if (owner != nobody && active(slot.blocks.load(relaxed)) && !is_alive(owner))
      found.push_back({index, owner, killing_signal(owner)});
    return false;
  });
  return found;
}

void Producers::bury(const Dead& dead) {
  ProducerSlot& slot = *at(dead.slot);  // where it was found
  if (slot.owner.load(relaxed) != dead.owner || !active(slot.blocks.load(relaxed))) return;
  CONVEYOR_KILL_POINT("producers.before-bury");
  slot.blocks.store(producer_lost | dead.signal, release);
  CONVEYOR_KILL_POINT("producers.buried");
}

std::vector<LostProducer> Producers::lost(std::uint64_t tail_count) const {
  std::vector<LostProducer> found;
  find([&](std::uint32_t, const ProducerSlot& slot) {
    const OwnerId owner = slot.owner.load(relaxed);
    const std::uint32_t blocks = slot.blocks.load(relaxed);
    if (owner == nobody || (blocks & producer_lost) == 0) return false;
    const std::uint64_t at = slot.at.load(relaxed);
    const bool all = at != no_ticket && at <= tail_count;
    found.push_back(
        {owner_pid(owner), blocks & ~producer_lost, all ? slot.next.load(relaxed) : slot.counted.load(relaxed)});
    return false;
  });
  return found;
}

}  // namespace conveyor
