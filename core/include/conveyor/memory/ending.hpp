// How a queue or a topic ends: by `shutdown`, or by itself when its last registered producer has left.
// Told for a queue; a topic's producers are its publishers, with one lock, and its items are events (topic_log.hpp).
//
// `Header::ended` is the end. It is stored under the producers' lock, so that no put is under way, and
// put looks at it under that lock; for `End::drop` under the consumers' lock too, so that no take is.
//
//   sync point "ended": release where it is stored (Stream::end), acquire where a consumer asks for it
//                       (Stream::ended). Every put that committed did so before it: who sees the end and
//                       then an empty queue has seen the last item.
//
// Registered producers stand in a table of the header, a slot for each process with the number of its
// `producing()` blocks. Entering and leaving change two things, the slot and how many must still come.
// Both changes are first written down, whole, in one word (`intent`): that store is the commit. A process that
// takes the lock from a dead holder does what the word says once more, which changes nothing if it was
// done, and strikes it out (Producers::recover).
//
// The first slots are in the header, the others in a table that has memory, and is mapped, as far as it was ever needed
// (EndingState::high). A walk over all slots goes no farther than to the highest one that is in use.
//
// A process that dies inside keeps its slot, which then says so: the mark is one store. The slot is its
// tombstone, with what it had put, for all who ask when the queue has been drained.
#pragma once

#include <cstdint>
#include <vector>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/base/status.hpp"
#include "conveyor/memory/ending_layout.hpp"

namespace conveyor {

struct LostProducer {
  std::uint32_t pid;
  std::uint32_t signal;  // that killed it; 0: not known
  std::uint64_t items;  // that it put since it entered
};

// This process's place in the table, as far as it knows: one for each queue or topic in a process, however many objects
// stand on it. A forked child has its parent's: it is ours only if the slot names us. Both under the producers' lock.
class ProducerPlace {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;
  std::uint32_t slot() const { return slot_; }
  void set(std::uint32_t slot) { slot_ = slot; }

 private:
  std::uint32_t slot_ = none;
};

// Where the slots lie that are not in front.
class ProducerTable {
 public:
  virtual ~ProducerTable() = default;
  // Null: it cannot be mapped. Below producer_capacity.
  virtual ProducerSlot* producer(std::uint32_t index) = 0;
  // Makes sure that memory stands behind it.
  virtual bool reserve_producer(std::uint32_t index) = 0;
};

class Producers {
 public:
  // `table`: null: there are no more than those in front.
  Producers(EndingState& state, ProducerPlace& place, ProducerTable* table = nullptr)
      : state_(state), place_(place), table_(table) {}

  enum class Entered { ok, crowded, no_memory };

  static constexpr std::uint32_t most_expected = (1U << 24) - 1;
  static constexpr std::uint32_t most_blocks = (1U << 23) - 1;

  // Whether somebody was ever registered or expected: then the queue will end by itself, so that those who wait for items must look after the producers.
  bool armed() const {
    return (state_.expected.load(relaxed) & producers_armed) != 0 || state_.intent.load(relaxed) != 0;
  }
  std::uint32_t expected() const { return state_.expected.load(relaxed) & ~producers_armed; }

  // -- for the holder of the producers' lock
  // `counts`: it is one of those that were expected.
  Entered enter(bool counts);
  void leave();
  void expect(std::uint32_t count);
  bool all_have_left() const;
  // Before the commit that puts `items` and moves the tail's count to `after`.
  void count(std::uint64_t items, std::uint64_t after) {
    const std::uint32_t mine = place_.slot();
    if (mine != no_slot) count_in(mine, items, after);
  }
  // What a holder that died left half done.
  void recover(std::uint64_t tail_count);

  // -- for anybody
  struct Dead {
    std::uint32_t slot;
    OwnerId owner;
    std::uint32_t signal;
  };
  std::vector<Dead> find_dead() const;
  // The holder of the producers' lock marks it as lost, unless it has been seen to already.
  void bury(const Dead& dead);
  // A change was committed and not finished, or the last one left and the queue did not end.
  bool unsettled() const { return state_.intent.load(relaxed) != 0 || all_have_left(); }
  std::vector<LostProducer> lost(std::uint64_t tail_count) const;

 private:
  static constexpr std::uint32_t no_slot = ProducerPlace::none;
  static bool active(std::uint32_t blocks) { return blocks != 0 && (blocks & producer_lost) == 0; }
  std::uint32_t capacity() const { return table_ == nullptr ? producers_in_front : producer_capacity; }
  std::uint32_t high() const;
  ProducerSlot* at(std::uint32_t index) const {
    if (index < producers_in_front) return &state_.producers[index];
    return table_ == nullptr ? nullptr : table_->producer(index);
  }
  // Calls this with each index and slot up to the highest in use, until it returns true.
  template <class Visit>
  void find(Visit visit) const {
    for (std::uint32_t i = 0, end = high(); i < end; ++i) {
      ProducerSlot* const slot = at(i);
      if (slot == nullptr || visit(i, *slot)) return;
    }
  }
  std::uint32_t own_slot() const;
  std::uint32_t free_slot() const;
  std::uint32_t another_slot(Entered& why_not);
  void lower_high();
  void commit(std::uint32_t slot, std::uint32_t blocks, std::uint32_t expected);
  void apply(std::uint64_t intent);
  void count_in(std::uint32_t slot, std::uint64_t items, std::uint64_t after);

  EndingState& state_;
  ProducerPlace& place_;
  ProducerTable* table_;
};

constexpr Status entering_status(Producers::Entered entered) {
  switch (entered) {
    case Producers::Entered::crowded: return Status::crowded;
    case Producers::Entered::no_memory: return Status::no_memory;
    default: return Status::ok;
  }
}

}  // namespace conveyor
