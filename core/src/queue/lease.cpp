#include "conveyor/queue/lease.hpp"

#include <cerrno>
#include <climits>
#include <cstring>

#include "conveyor/base/deadline.hpp"
#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

constexpr std::uint32_t records_at_a_time = 4096 / sizeof(LeaseRecord);
static_assert(leases_in_front % records_at_a_time == 0);

void step(Atomic<std::uint32_t>& count, int by) {
  // relaxed: under the consumers' lock; others read hints
  const std::uint32_t now = count.load(relaxed);
  if (by > 0 || now != 0) count.store(now + static_cast<std::uint32_t>(by), relaxed);
}

}  // namespace

bool LeaseTable::claim_look(Nanoseconds now) {
  Nanoseconds seen = state_.next_look.load(relaxed);  // relaxed: it only decides who looks
  return now >= seen && state_.next_look.compare_exchange_strong(seen, now + look_every, relaxed);
}

bool LeaseTable::may_come_back(OwnerId except) const {
  for (std::uint32_t index = 0; index < high(); ++index) {
    const LeaseStage stage = word(index).stage;
    if (stage == LeaseStage::delayed) return true;
    if (stage == LeaseStage::leased && at(index).owner.load(relaxed) != except) return true;
  }
  return false;
}

void LeaseTable::lower_due(Nanoseconds due) {
  // sync point "lease-due": after a due time was stored. seq_cst, as that store, `forget_due` and the loads after that one
  // are: either this sees that `next_due` was forgotten, or whoever forgot it sees the time.
  Nanoseconds seen = state_.next_due.load(seq_cst);
  while (due < seen && !state_.next_due.compare_exchange_weak(seen, due, seq_cst, seq_cst)) {
  }
}

void LeaseTable::set_due(const LeaseId& lease, Nanoseconds due) {
  at(lease.index).due.store(due, seq_cst);
  lower_due(due);
}

// -- free records

int LeaseTable::make_room() {
  if (state_.free < high() && word(state_.free).stage == LeaseStage::free) return 0;
  return grow();
}

int LeaseTable::grow() {
  const std::uint32_t first = shared_high();
  const std::uint32_t capacity = lease_capacity(segment_.page_count());
  if (first >= capacity) return EOVERFLOW;
  const std::uint32_t end = std::min(first + records_at_a_time, capacity);
  if (const int refused = segment_.reserve_leases(first, end); refused != 0) return refused;
  if (const int refused = segment_.reach_leases(end); refused != 0) return refused;
  for (std::uint32_t index = first; index < end; ++index) at(index).next = index + 1 < end ? index + 1 : no_lease;
  // sync point "lease-table": release here, acquire in `high`. Records of zeros are free.
  state_.high.store(end, release);
  CONVEYOR_KILL_POINT("lease.grown");
  state_.free = first;
  // Who sleeps now does not know yet that it must wake up in time for the dead.
  if (first == 0) header_.not_empty.notify(INT_MAX);
  return 0;
}

// `make_room` said that there is one.
std::uint32_t LeaseTable::pop() {
  const std::uint32_t index = state_.free;
  state_.free = at(index).next;
  CONVEYOR_KILL_POINT("lease.popped");
  return index;
}

void LeaseTable::push(std::uint32_t index) {
  at(index).next = state_.free;
  state_.free = index;
}

// -- leases

LeaseId LeaseTable::add(std::uint64_t number, std::uint32_t page, std::uint32_t offset) {
  const std::uint32_t index = pop();
  LeaseRecord& record = at(index);
  record.owner.store(self(), relaxed);  // relaxed: the word's store releases it
  record.number = number;
  record.page = page;
  record.offset = offset;
  record.due.store(forever, relaxed);
  record.pid = owner_pid(self());
  record.error_size = 0;
  // Never fewer than there are: a page is freed by this count.
  segment_.descriptor(page).ticket += 1;
  const LeaseId lease{index, 0, word(index).generation + 1};
  // sync point "lease": release here and in `change`, acquire in `word`.
  record.word.store(LeaseWord{lease.generation, 0, LeaseStage::leased}.packed(), release);
  step(state_.out, 1);
  CONVEYOR_KILL_POINT("lease.recorded");
  return lease;
}

bool LeaseTable::holds(const LeaseId& lease, LeaseStage stage) const {
  if (lease.index >= high()) return false;
  const LeaseWord now = word(lease.index);
  return now.generation == lease.generation && now.stage == stage;
}

void LeaseTable::change(std::uint32_t index, LeaseStage to, std::uint32_t attempts) {
  const LeaseWord from = word(index);
  const LeaseWord now{from.generation, attempts, to};
  if (to == LeaseStage::returned) state_.epoch += 1;
  at(index).word.store(now.packed(), release);  // sync point "lease"
  CONVEYOR_KILL_POINT("lease.changed");
  step(state_.out, static_cast<int>(now.is_out()) - static_cast<int>(from.is_out()));
  step(header_.returned,
       static_cast<int>(to == LeaseStage::returned) - static_cast<int>(from.stage == LeaseStage::returned));
  step(header_.failed, static_cast<int>(to == LeaseStage::failed) - static_cast<int>(from.stage == LeaseStage::failed));
}

LeaseId LeaseTable::take_over(std::uint32_t index, LeaseStage to) {
  LeaseRecord& record = at(index);
  const LeaseWord from = word(index);
  record.owner.store(self(), relaxed);
  record.due.store(forever, relaxed);
  if (to == LeaseStage::leased) record.pid = owner_pid(self());
  const LeaseId lease{index, from.attempts, from.generation + 1};
  CONVEYOR_KILL_POINT("lease.before-retake");
  record.word.store(LeaseWord{lease.generation, lease.attempts, to}.packed(), release);
  CONVEYOR_KILL_POINT("lease.retaken");
  step(state_.out, 1);
  step(from.stage == LeaseStage::returned ? header_.returned : header_.failed, -1);
  return lease;
}

void LeaseTable::note_error(LeaseRecord& record, std::string_view error) {
  record.error_size = static_cast<std::uint32_t>(std::min(error.size(), sizeof record.error));
  std::memcpy(record.error, error.data(), record.error_size);
}

std::uint32_t LeaseTable::first_returned() {
  for (bool collected = false;; collected = true) {
    if (epoch_ == state_.epoch) {
      for (; candidate_ < candidates_; ++candidate_) {
        const Candidate& next = first_[candidate_];
        if (word(next.index).stage == LeaseStage::returned && at(next.index).number == next.number) return next.index;
      }
    }
    if (collected) return no_lease;
    collect_returned();
  }
}

void LeaseTable::collect_returned() {
  epoch_ = state_.epoch;
  candidate_ = 0;
  candidates_ = returned_from(0, first_);
}

std::uint32_t LeaseTable::returned_from(std::uint64_t number, Candidate (&into)[most_candidates]) const {
  const auto later = [](const Candidate& a, const Candidate& b) { return a.number < b.number; };
  std::uint32_t count = 0;
  for (std::uint32_t index = 0; index < high(); ++index) {
    if (word(index).stage != LeaseStage::returned) continue;
    const Candidate found{segment_.lease(index).number, index};
    if (found.number < number) continue;
    if (count == most_candidates) {
      if (found.number > into[0].number) continue;
      std::pop_heap(into, into + count--, later);
    }
    into[count++] = found;
    std::push_heap(into, into + count, later);
  }
  std::sort_heap(into, into + count, later);
  return count;
}

// -- tasks of a JoinableQueue

std::uint32_t LeaseTable::own_tasks() {
  const auto is_ours = [this](std::uint32_t index) {
    return word(index).stage == LeaseStage::tasks && at(index).owner.load(relaxed) == self();
  };
  if (own_tasks_ < high() && is_ours(own_tasks_)) return own_tasks_;
  for (own_tasks_ = 0; own_tasks_ < high(); ++own_tasks_) {
    if (is_ours(own_tasks_)) return own_tasks_;
  }
  return own_tasks_ = no_lease;
}

int LeaseTable::make_tasks_room() { return own_tasks() != no_lease ? 0 : make_room(); }

void LeaseTable::note_tasks(std::uint64_t head, std::uint32_t count) {
  const std::uint32_t ours = own_tasks();
  if (ours != no_lease) {
    // The head is above `number`: `after` counts. Each of these stores leaves the same number or, in the
    // end, one that the head's commit makes valid.
    LeaseRecord& record = at(ours);
    const std::uint32_t before = record.after;
    record.before = before;
    record.number = head;
    record.after = before + count;
  } else {
    own_tasks_ = pop();
    LeaseRecord& record = at(own_tasks_);
    record.owner.store(self(), relaxed);
    record.number = head;
    record.before = 0;
    record.after = count;
    change(own_tasks_, LeaseStage::tasks, 0);
  }
  CONVEYOR_KILL_POINT("tasks.noted");
}

void LeaseTable::turn_into_task(std::uint32_t index) {
  LeaseRecord& record = at(index);
  record.owner.store(self(), relaxed);
  record.before = record.after = 1;
  change(index, LeaseStage::tasks, 0);
}

bool LeaseTable::settle_task() {
  const auto has_some = [this](std::uint32_t index) {
    return word(index).stage == LeaseStage::tasks && at(index).after != 0;
  };
  const std::uint32_t ours = own_tasks();
  std::uint32_t index = ours != no_lease && has_some(ours) ? ours : no_lease;
  // A returned item that was taken has a record of its own; and then there are those of others.
  for (std::uint32_t other = 0; index == no_lease && other < high(); ++other) {
    if (has_some(other) && at(other).owner.load(relaxed) == self()) index = other;
  }
  for (std::uint32_t other = 0; index == no_lease && other < high(); ++other) {
    if (has_some(other)) index = other;
  }
  if (index == no_lease) return false;
  // The record that gets are noted in stays, also with none; it goes with its process.
  if (at(index).after == 1 && index != ours) {
    settle_all(index);
  } else {
    at(index).after -= 1;
  }
  CONVEYOR_KILL_POINT("tasks.settled");
  return true;
}

void LeaseTable::settle_all(std::uint32_t index) {
  change(index, LeaseStage::free, 0);
  push(index);
}

void LeaseTable::leave_tasks(std::uint32_t index) {
  LeaseRecord& record = at(index);
  OwnerId owner = record.owner.load(relaxed);
  // Exchanged: without the lock the record may have become another's.
  if (owner != nobody) record.owner.compare_exchange_strong(owner, left_by(owner), release);
  CONVEYOR_KILL_POINT("leave.tasks");
}

void LeaseTable::leave_own_tasks() {
  // Longer than it takes to find a dead holder. Without the lock, if one is stopped that has it: it holds up nobody's end.
  constexpr Nanoseconds patience = 50'000'000;
  const OwnerId me = self();
  const Locked got = header_.consumers.lock.acquire(deadline_after(patience));
  const bool locked = got == Locked::clean || got == Locked::recovered;
  if (locked) enter(got);
  for (std::uint32_t index = 0; index < high(); ++index) {
    const bool ours = word(index).stage == LeaseStage::tasks && at(index).owner.load(relaxed) == me;
    if (ours && at(index).after != 0) leave_tasks(index);
  }
  if (locked) header_.consumers.lock.unlock();
}

std::uint64_t LeaseTable::unfinished() const {
  std::uint64_t count = 0;
  for (std::uint32_t index = 0; index < high(); ++index) {
    const LeaseWord now = word(index);
    if (now.stage == LeaseStage::tasks) {
      count += at(index).after;
    } else if (now.is_out() || now.stage == LeaseStage::returned) {
      ++count;
    }
  }
  return count;
}

// -- after a death

bool LeaseTable::enter(Locked got) {
  // relaxed from here: under the lock
  if (got == Locked::recovered) {
    header_.sweep_wanted.store(1, relaxed);
    header_.consumers_owed.store(1, relaxed);
  }
  if (segment_.reach_leases(shared_high()) != 0) return false;
  if (header_.consumers_owed.load(relaxed) != 0) [[unlikely]] {
    recover(header_.head.word.load(relaxed) >> 1);
    header_.consumers_owed.store(0, relaxed);
  }
  return true;
}

void LeaseTable::recover(std::uint64_t head) {
  std::uint32_t out = 0, returned = 0, failed = 0, chain = no_lease;
  for (std::uint32_t index = high(); index-- > 0;) {
    LeaseRecord& record = at(index);
    LeaseWord now = word(index);
    bool is_void = now.has_item() && record.number >= head;
    if (now.stage == LeaseStage::tasks) {
      if (record.number >= head) record.after = record.before;  // the get was not committed
      is_void = record.after == 0;
    }
    if (is_void) {
      now.stage = LeaseStage::free;
      record.word.store(now.packed(), release);
      CONVEYOR_KILL_POINT("lease.struck-out");
    }
    if (now.stage == LeaseStage::free) {
      record.next = chain;
      chain = index;
    }
    out += now.is_out() ? 1 : 0;
    returned += now.stage == LeaseStage::returned ? 1 : 0;
    failed += now.stage == LeaseStage::failed ? 1 : 0;
    lower_due(now.is_out() ? record.due.load(relaxed) : forever);
  }
  state_.free = chain;
  state_.epoch += 1;
  state_.out.store(out, relaxed);  // relaxed: hints
  header_.returned.store(returned, relaxed);
  header_.failed.store(failed, relaxed);
}

}  // namespace conveyor
