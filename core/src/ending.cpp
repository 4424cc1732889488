// The table of registered producers: who is inside `producing()`, and who died there.
#include "conveyor/ending.hpp"

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

std::uint32_t Producers::own_slot() const {
  const OwnerId me = self();
  for (std::uint32_t i = 0; i < producer_capacity; ++i) {
    const ProducerSlot& slot = state_.producers[i];
    if (slot.owner.load(relaxed) == me && active(slot.blocks.load(relaxed))) return i;
  }
  return no_slot;
}

std::uint32_t Producers::free_slot() const {
  std::uint32_t tombstone = no_slot;
  bool first = true;
  for (std::uint32_t i = 0; i < producer_capacity; ++i) {
    const ProducerSlot& slot = state_.producers[i];
    const std::uint32_t blocks = slot.blocks.load(relaxed);
    // Without a block: left behind by one that died on its way in or out.
    if (slot.owner.load(relaxed) == nobody || blocks == 0) return i;
    if ((blocks & producer_lost) == 0) continue;
    if (!first) tombstone = i;  // one must stay, to tell that there were any
    first = false;
  }
  return tombstone;
}

bool Producers::enter(bool counts) {
  std::uint32_t mine = own_slot();
  if (mine == no_slot) {
    mine = free_slot();
    if (mine == no_slot) return false;
    ProducerSlot& slot = state_.producers[mine];
    slot.blocks.store(0, release);
    slot.counted.store(0, release);
    slot.at.store(no_ticket, release);
    slot.owner.store(self(), release);
    CONVEYOR_KILL_POINT("producers.named");
  }
  const std::uint32_t blocks = state_.producers[mine].blocks.load(relaxed);
  if (blocks == most_blocks) return false;
  const std::uint32_t expected = this->expected();
  commit(mine, blocks + 1, counts && expected != 0 ? expected - 1 : expected);
  place_.set(mine);
  return true;
}

void Producers::leave() {
  const std::uint32_t mine = own_slot();
  if (mine == no_slot) return;
  const std::uint32_t blocks = state_.producers[mine].blocks.load(relaxed) - 1;
  commit(mine, blocks, expected());
  if (blocks == 0) place_.set(no_slot);
}

void Producers::commit(std::uint32_t slot, std::uint32_t blocks, std::uint32_t expected) {
  const std::uint64_t intent = pack(slot, blocks, expected);
  state_.intent.store(intent, release);
  CONVEYOR_KILL_POINT("producers.committed");
  apply(intent);
  CONVEYOR_KILL_POINT("producers.applied");
}

void Producers::apply(std::uint64_t intent) {
  const auto slot = static_cast<std::uint32_t>(intent >> 47) & 0xffff;
  if (slot < producer_capacity) {
    const auto blocks = static_cast<std::uint32_t>(intent >> 24) & most_blocks;
    state_.producers[slot].blocks.store(blocks, release);
    CONVEYOR_KILL_POINT("producers.half-applied");
    state_.expected.store(producers_armed | (static_cast<std::uint32_t>(intent) & most_expected), release);
    if (blocks == 0) state_.producers[slot].owner.store(nobody, release);
  }
  state_.intent.store(0, release);
}

void Producers::expect(std::uint32_t count) {
  state_.expected.store(producers_armed | count, release);
  CONVEYOR_KILL_POINT("producers.expected");
}

bool Producers::all_have_left() const {
  if (state_.expected.load(relaxed) != producers_armed) return false;
  for (const ProducerSlot& slot : state_.producers) {
    if (slot.owner.load(relaxed) != nobody && active(slot.blocks.load(relaxed))) return false;
  }
  return true;
}

// The count that holds is `counted` before the commit and `next` after it, wherever between these stores
// and the commit the process dies; `recover` sees to it that nobody else's commit is taken for it.
void Producers::count_in(std::uint32_t mine, std::uint64_t items, std::uint64_t after) {
  ProducerSlot& slot = state_.producers[mine];
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
  for (ProducerSlot& slot : state_.producers) {
    const std::uint64_t at = slot.at.load(relaxed);
    if (at != no_ticket && at > tail_count) slot.at.store(no_ticket, release);  // it was not put
  }
}

std::vector<Producers::Dead> Producers::find_dead() const {
  std::vector<Dead> found;
  for (std::uint32_t i = 0; i < producer_capacity; ++i) {
    const ProducerSlot& slot = state_.producers[i];
    const OwnerId owner = slot.owner.load(relaxed);
    if (owner == nobody || !active(slot.blocks.load(relaxed))) continue;
    if (!is_alive(owner)) found.push_back({i, owner, killing_signal(owner)});
  }
  return found;
}

void Producers::bury(const Dead& dead) {
  ProducerSlot& slot = state_.producers[dead.slot];
  if (slot.owner.load(relaxed) != dead.owner || !active(slot.blocks.load(relaxed))) return;
  CONVEYOR_KILL_POINT("producers.before-bury");
  slot.blocks.store(producer_lost | dead.signal, release);
  CONVEYOR_KILL_POINT("producers.buried");
}

std::vector<LostProducer> Producers::lost(std::uint64_t tail_count) const {
  std::vector<LostProducer> found;
  for (const ProducerSlot& slot : state_.producers) {
    const OwnerId owner = slot.owner.load(relaxed);
    const std::uint32_t blocks = slot.blocks.load(relaxed);
    if (owner == nobody || (blocks & producer_lost) == 0) continue;
    const std::uint64_t at = slot.at.load(relaxed);
    const bool all = at != no_ticket && at <= tail_count;
    found.push_back(
        {owner_pid(owner), blocks & ~producer_lost, all ? slot.next.load(relaxed) : slot.counted.load(relaxed)});
  }
  return found;
}

}  // namespace conveyor
