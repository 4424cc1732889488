// The lease table: items that were taken and may come back.
//
// A leased item's message stays where it is, in its stream page and runs; a record of the table says
// where, who has it and until when. Everything here happens under the consumers' lock, except for what
// says otherwise.
//
// One commit each, as everywhere. A lease on an item of the stream: its record is written first, and the
// store of the head's word makes it valid; until then its number is not below the head, and `recover`, which
// runs whenever the lock is taken from the dead, before anything else, strikes it out. All that happens to a
// lease afterwards is one store of `LeaseRecord::word`. The counts and the chain of free records may be
// short or long after a death; `recover` makes them anew.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "conveyor/queue/segment.hpp"

namespace conveyor {

// What a holder knows its lease by: a record that is used again has another generation.
struct LeaseId {
  std::uint32_t index = no_lease;
  std::uint32_t attempts = 0;  // how often it has failed before
  std::uint64_t generation = 0;
};

// The word of a record, taken apart.
struct LeaseWord {
  std::uint64_t generation;
  std::uint32_t attempts;
  LeaseStage stage;

  static constexpr std::uint32_t most_attempts = 0xffff;
  static LeaseWord of(std::uint64_t word) {
    return {word >> 24, static_cast<std::uint32_t>(word >> 8) & most_attempts, static_cast<LeaseStage>(word & 0xff)};
  }
  std::uint64_t packed() const {
    return generation << 24 | static_cast<std::uint64_t>(std::min(attempts, most_attempts)) << 8 |
           static_cast<std::uint64_t>(stage);
  }
  // In somebody's hands, or due later: somebody must look after it.
  bool is_out() const {
    return stage == LeaseStage::leased || stage == LeaseStage::delayed || stage == LeaseStage::moving ||
           stage == LeaseStage::tasks;
  }
  // Its record says where an item lies.
  bool has_item() const { return stage != LeaseStage::free && stage != LeaseStage::tasks; }
};

class LeaseTable {
 public:
  explicit LeaseTable(Segment& segment)
      : segment_(segment), header_(segment.header()), state_(segment.header().leases) {}

  // -- at any time, by anybody --
  // Without those that this process cannot map: for want of address space one who has no lock sees fewer.
  std::uint32_t high() const {
    const std::uint32_t all = shared_high();
    return segment_.reach_leases(all) == 0 ? all : segment_.leases_reached();
  }
  bool ever_used() const { return state_.high.load(relaxed) != 0; }  // relaxed: a hint
  bool any_out() const { return state_.out.load(relaxed) != 0; }  // relaxed: a hint
  bool counts_tasks() const { return state_.counts_tasks != 0; }
  // Whether some are out, and it is time to look after them.
  bool is_due(Nanoseconds now) const {
    return state_.out.load(relaxed) != 0 &&  // relaxed: hints
           (now >= state_.next_look.load(relaxed) || now >= state_.next_due.load(relaxed));
  }
  Nanoseconds next_due() const { return state_.next_due.load(relaxed); }
  // True for one of those who ask within `look_every`.
  bool claim_look(Nanoseconds now);
  void look_again_soon() { state_.next_look.store(0, relaxed); }
  LeaseWord word(std::uint32_t index) const {
    return LeaseWord::of(segment_.lease(index).word.load(acquire));  // sync point "lease"
  }
  LeaseRecord& at(std::uint32_t index) const { return segment_.lease(index); }
  // Whether anybody but `except` has an item that may wait again, or one waits for its time.
  bool may_come_back(OwnerId except = nobody) const;
  // The holder's business alone: until when it has the item.
  void set_due(const LeaseId& lease, Nanoseconds due);

  // By this process when it is about to end normally, or lets go of the segment: leaves behind the tasks that it has.
  void leave_own_tasks();

  // -- under the consumers' lock --
  // The first thing to do under the lock, which was got as `got`: puts in order what a dead holder left. False: for
  // want of address space `high` is not all of them; what is to be done is still to be done, and the lock to be let go of.
  bool enter(Locked got);
  // Whether all records are mapped here.
  bool is_reached() const {
    // acquire: as in `shared_high`
    return state_.high.load(acquire) <= leases_in_front || shared_high() <= segment_.leases_reached();
  }
  // Whether the next record can be had: 0, EOVERFLOW when all are taken, or another errno: no memory for more.
  int make_room();
  // A lease of this process on an item of the stream, valid once the head's word says that it was taken.
  LeaseId add(std::uint64_t number, std::uint32_t page, std::uint32_t offset);
  bool holds(const LeaseId& lease, LeaseStage stage) const;
  // The returned item that was put first, if any.
  std::uint32_t first_returned();
  // Returned items, by one walk over the table.
  struct Candidate {
    std::uint64_t number;
    std::uint32_t index;
  };
  static constexpr std::uint32_t most_candidates = 32;
  // The first of them, in order, of those with this number or a higher one; how many.
  std::uint32_t returned_from(std::uint64_t number, Candidate (&into)[most_candidates]) const;
  // Changes the stage: one store. The rest of the record was written before.
  void change(std::uint32_t index, LeaseStage to, std::uint32_t attempts);
  // From returned or failed to this process's hands.
  LeaseId take_over(std::uint32_t index, LeaseStage to);
  void note_error(LeaseRecord& record, std::string_view error);
  // To the free ones, after `change` to free.
  void push(std::uint32_t index);
  // No earlier due time is forgotten by this: first `forever`, then all that are seen. sync point "lease-due": a time
  // that a holder sets meanwhile is seen, or its holder sees this.
  void forget_due() { state_.next_due.store(forever, seq_cst); }
  void lower_due(Nanoseconds due);

  // Notes `count` items that this process is about to take for good, before the commit that takes the head
  // from `head` on. `make_tasks_room` before.
  int make_tasks_room();
  void note_tasks(std::uint64_t head, std::uint32_t count);
  // A returned item becomes a task of this process.
  void turn_into_task(std::uint32_t index);
  // One task of this process is done, else one of anybody; false: there is none.
  bool settle_task();
  void settle_all(std::uint32_t index);
  // The process that has these tasks ended normally: they stay unfinished, and anybody's `task_done` is for them, too.
  void leave_tasks(std::uint32_t index);
  // Items in somebody's hands or waiting here; those that failed for good are done.
  std::uint64_t unfinished() const;

  // After a death: strikes out what was not committed, and counts everything anew.
  void recover(std::uint64_t head);

  static constexpr Nanoseconds look_every = 100'000'000;

 private:
  // sync point "lease-table": acquires what `grow` released: the records below have memory.
  std::uint32_t shared_high() const {
    return std::min(state_.high.load(acquire), lease_capacity(segment_.page_count()));
  }
  std::uint32_t pop();
  int grow();
  std::uint32_t own_tasks();
  void collect_returned();

  Segment& segment_;
  Header& header_;
  LeaseState& state_;
  std::uint32_t own_tasks_ = no_lease;
  std::uint32_t epoch_ = 0;
  std::uint32_t candidate_ = 0, candidates_ = 0;
  Candidate first_[most_candidates];
};

}  // namespace conveyor
