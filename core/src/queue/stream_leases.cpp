// What a stream does with leases once they are taken.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <unordered_set>

#include "conveyor/base/deadline.hpp"
#include "conveyor/queue/stream.hpp"

namespace conveyor {
namespace {

// Nobody who waits sleeps longer once anything was leased, so that the dead are missed within a second.
constexpr Nanoseconds longest_sleep = 500'000'000;
constexpr Nanoseconds over_patience = 20'000'000;

}  // namespace

Status Stream::room_for_leases(const LeaseId* leases, std::size_t more) {
  if (leases == nullptr && more != 0) return Status::ok;
  const int refused =
      pool_.with_memory([&] { return leases != nullptr ? table_.make_room() : table_.make_tasks_room(); });
  if (refused == 0) return Status::ok;
  return refused == EOVERFLOW ? Status::too_many : Status::no_memory;
}

Status Stream::find_message(const LeaseRecord& record, MessageHeader& message, const std::byte*& payload,
                            Runs& runs) const {
  runs.table.runs = 0;
  const std::uint32_t page = snapshot(record.page), offset = snapshot(record.offset);
  if (offset % 8 != 0 || offset > page_size - sizeof message) return Status::corrupt;
  if (const Reach reach = segment_->reach(page); reach != Reach::ok) return status_of(reach);
  const std::byte* const at = segment_->page(page) + offset;
  message = snapshot(*reinterpret_cast<const MessageHeader*>(at));
  if (message.check != message_check || message.size > page_size - offset - sizeof message) return Status::corrupt;
  payload = at + sizeof message;
  switch (static_cast<MessageForm>(message.form)) {
    case MessageForm::inline_payload: return Status::ok;
    case MessageForm::run: return read_runs(payload, message.size, record.number, runs);
    default: return Status::corrupt;
  }
}

// -- the end of a lease, under the consumers' lock

// The item is dealt with, or (without its runs) has become this process's.
bool Stream::drop_item(std::uint32_t index, bool with_runs) {
  const LeaseRecord& record = table_.at(index);
  MessageHeader message;
  const std::byte* payload;
  Runs runs;
  const Status found = with_runs ? find_message(record, message, payload, runs) : Status::corrupt;
  if (found == Status::no_memory) return false;
  const bool by_run = found == Status::ok && runs.table.runs != 0;
  const std::uint32_t page = record.page;
  const bool task = !with_runs && table_.counts_tasks();
  if (task) {
    table_.turn_into_task(index);
  } else {
    table_.change(index, LeaseStage::free, 0);
  }
  CONVEYOR_KILL_POINT("lease.ended");
  for (std::uint32_t i = 0; by_run && i < runs.table.runs; ++i) {
    pool_.free(runs.at[i].first, runs.at[i].pages);
    CONVEYOR_KILL_POINT("lease.run-freed");
  }
  drop_page(page);
  if (!task) table_.push(index);
  return true;
}

void Stream::drop_page(std::uint32_t page) {
  if (segment_->reach(page) != Reach::ok) return;  // damage: that of an item that was found is mapped
  Descriptor& descriptor = segment_->descriptor(page);
  if (descriptor.ticket != 0) --descriptor.ticket;
  CONVEYOR_KILL_POINT("lease.page-counted");
  if (descriptor.ticket == 0 && descriptor.use == PageUse::parked) pool_.free(page, 1);
}

// False, and nothing done: the ready descriptor's lock was not to be had in time, or there was no address space.
bool Stream::turn_back(std::uint32_t index, std::string_view error, Nanoseconds delay, bool for_good, bool counted) {
  const std::uint32_t most = header_.leases.max_attempts;
  const std::uint32_t attempts = table_.word(index).attempts + (counted ? 1 : 0);
  const bool fails = for_good || (counted && most != 0 && attempts >= most);
  LeaseRecord& record = table_.at(index);
  table_.note_error(record, error);
  record.due.store(forever, relaxed);  // relaxed: the word's store releases it
  if (fails) {
    table_.change(index, LeaseStage::failed, attempts);
    return true;
  }
  if (dropped()) {  // as it would be if it waited
    return drop_item(index, true);
  }
  if (delay > 0) {
    header_.leases.given_back.fetch_add(1, relaxed);  // relaxed: a statistic
    const Nanoseconds due = deadline_after(delay);
    record.due.store(due, relaxed);
    table_.change(index, LeaseStage::delayed, attempts);
    table_.lower_due(due);
    return true;
  }
  const bool watched = ready_.watched();
  if (watched && !ready_.begin_put()) return false;
  CONVEYOR_KILL_POINT("lease.before-return");
  header_.leases.given_back.fetch_add(1, relaxed);  // relaxed: a statistic
  table_.change(index, LeaseStage::returned, attempts);
  if (watched) ready_.end_put();
  return true;
}

// Unlocks, and wakes those that wait for what has happened.
Status Stream::settled() {
  const bool finished = table_.counts_tasks() && unfinished() == 0;
  // The last lease of a stream that has ended is its end. Without the token, those that wait look by themselves.
  if (ready_.watched() && ended() && !nothing_to_tell() && ready_.begin_put()) ready_.end_put();
  header_.consumers.lock.unlock();
  CONVEYOR_KILL_POINT("lease.settled");
  if (finished) header_.all_done.notify(INT_MAX);
  if (ended()) header_.not_empty.notify(INT_MAX);  // perhaps nothing can come back any more
  return Status::ok;
}

bool Stream::over() {
  if (!empty()) return false;  // it is paused
  if (!ended()) return false;
  if (dropped() || !table_.ever_used()) return true;
  if (lock(header_.consumers, over_patience) != Status::ok) return false;
  const bool nothing = empty() && !table_.may_come_back(self());
  header_.consumers.lock.unlock();
  return nothing;
}

Status Stream::acknowledge(const LeaseId& lease) {
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  if (!table_.holds(lease, LeaseStage::leased) && !table_.holds(lease, LeaseStage::moving)) {
    header_.consumers.lock.unlock();
    return Status::lost;
  }
  if (!drop_item(lease.index, true)) {
    header_.consumers.lock.unlock();
    return Status::no_memory;
  }
  return settled();
}

Status Stream::give_back(const LeaseId& lease, std::string_view error, Nanoseconds delay, bool counted) {
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  if (!table_.holds(lease, LeaseStage::leased)) {
    header_.consumers.lock.unlock();
    return Status::lost;
  }
  if (!turn_back(lease.index, error, delay, false, counted)) {
    header_.consumers.lock.unlock();
    return Status::busy;
  }
  settled();
  // Also for one that is delayed: who sleeps must know when to wake up.
  header_.not_empty.notify(1);
  return Status::ok;
}

Status Stream::reject(const LeaseId& lease, std::string_view error) {
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  if (!table_.holds(lease, LeaseStage::leased)) {
    header_.consumers.lock.unlock();
    return Status::lost;
  }
  turn_back(lease.index, error, 0, true);
  return settled();
}

Status Stream::put_back_failed(const LeaseId& lease, bool for_good) {
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  const bool ours = table_.holds(lease, LeaseStage::moving);
  if (ours) table_.change(lease.index, for_good ? LeaseStage::buried : LeaseStage::failed, lease.attempts);
  header_.consumers.lock.unlock();
  return ours ? Status::ok : Status::lost;
}

// -- what the dead had, and what is due

Nanoseconds Stream::wake_for_leases() const {
  return table_.ever_used() ? std::min(table_.next_due(), monotonic_now() + longest_sleep) : forever;
}

// The owner of this record has died.
void Stream::settle_dead(std::uint32_t index) {
  const LeaseWord now = table_.word(index);
  const OwnerId owner = table_.at(index).owner.load(relaxed);
  if (now.stage == LeaseStage::tasks) {
    if (table_.at(index).after != 0 && has_exited(owner)) {
      table_.leave_tasks(index);
    } else {
      table_.settle_all(index);
    }
  } else if (now.stage == LeaseStage::moving) {
    table_.change(index, LeaseStage::failed, now.attempts);
  } else {
    turn_back(index, "process " + std::to_string(owner_pid(owner)) + " died", 0, false);
  }
}

void Stream::look_after(Nanoseconds now) {
  if (!table_.is_due(now)) return;
  // Who lives is asked without the lock, and not by everybody.
  std::unordered_set<OwnerId> dead;
  if (table_.claim_look(now)) {
    LifeList alive;
    for (std::uint32_t index = 0; index < table_.high(); ++index) {
      const LeaseStage stage = table_.word(index).stage;
      if (stage != LeaseStage::leased && stage != LeaseStage::moving && stage != LeaseStage::tasks) continue;
      const OwnerId owner = table_.at(index).owner.load(relaxed);
      if (!alive(owner)) dead.insert(owner);
    }
  }
  if (dead.empty() && now < table_.next_due()) return;
  if (lock(header_.consumers, 0) != Status::ok) {
    if (!dead.empty()) table_.look_again_soon();
    return;
  }
  table_.forget_due();
  const std::uint32_t before = header_.returned.load(relaxed);
  for (std::uint32_t index = 0; index < table_.high(); ++index) {
    const LeaseWord word = table_.word(index);
    LeaseRecord& record = table_.at(index);
    const bool owned = word.is_out() && word.stage != LeaseStage::delayed;
    const bool timed = word.stage == LeaseStage::leased || word.stage == LeaseStage::delayed;
    const Nanoseconds due = timed ? record.due.load(seq_cst) : forever;
    if (owned && dead.contains(record.owner.load(relaxed))) {
      settle_dead(index);
    } else if (due > now) {
      table_.lower_due(due);
    } else if (word.stage == LeaseStage::leased) {
      turn_back(index, "the lease was over before the item was acknowledged", 0, false);
    } else {
      const bool watched = ready_.watched();
      if (watched && !ready_.begin_put()) continue;  // the next who looks
      table_.change(index, LeaseStage::returned, word.attempts);
      if (watched) ready_.end_put();
    }
    CONVEYOR_KILL_POINT("lease.looked-after");
  }
  const std::uint32_t after = header_.returned.load(relaxed);
  if (table_.counts_tasks()) {
    // What was told to be done early may have died before it was told again.
    Atomic<std::uint64_t>& early = header_.leases.early_done;
    early.store(std::min(early.load(relaxed), in_stream() + table_.unfinished()), relaxed);
  }
  settled();
  if (after > before) header_.not_empty.notify(static_cast<int>(std::min<std::uint32_t>(after - before, INT_MAX)));
}

// -- tasks

std::uint64_t Stream::unfinished() const {
  const std::uint64_t early = header_.leases.early_done.load(relaxed);  // relaxed: under the lock
  const std::uint64_t waiting = in_stream();
  const std::uint64_t all = waiting > early ? waiting : waiting + table_.unfinished();
  return all > early ? all - early : 0;
}

Status Stream::task_done() {
  finish_drop();
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  if (unfinished() == 0) {
    header_.consumers.lock.unlock();
    return Status::empty;
  }
  // Nobody has taken anything: then it is one of those that wait, told early.
  if (!table_.settle_task()) header_.leases.early_done.fetch_add(1, relaxed);
  return settled();
}

Status Stream::count_unfinished(std::uint64_t& count, Nanoseconds patience) {
  finish_drop();
  look_after_leases();
  if (const Status status = lock(header_.consumers, patience); status != Status::ok) return status;
  // All of them, where `unfinished` is content to know that there are some.
  const std::uint64_t all = in_stream() + table_.unfinished();
  const std::uint64_t early = header_.leases.early_done.load(relaxed);  // relaxed: under the lock
  count = all > early ? all - early : 0;
  header_.consumers.lock.unlock();
  return Status::ok;
}

bool Stream::all_tasks_done(Nanoseconds patience) {
  if (in_stream() > header_.leases.early_done.load(relaxed)) return false;  // relaxed: a hint, it only grows
  if (lock(header_.consumers, patience) != Status::ok) return false;
  const bool finished = unfinished() == 0;
  header_.consumers.lock.unlock();
  return finished;
}

Waited Stream::wait_all_tasks_done(Nanoseconds deadline, Slices& slices) {
  look_after_leases();
  const std::uint32_t epoch = header_.all_done.announce();
  if (all_tasks_done(lock_slice)) return Waited::again;
  const Nanoseconds until = std::min(deadline, wake_for_leases());
  const Waited result = header_.all_done.sleep(epoch, until, slices);
  return result == Waited::timed_out && until != deadline ? Waited::again : result;
}

// -- for the sweep and the check, under both locks

bool Stream::find_live(Pool::Live& live) {
  const std::uint64_t head = header_.head.word.load(relaxed);
  const std::uint64_t tail = header_.tail.word.load(acquire);
  live = {count_of(head),
          count_of(tail),
          header_.consumers.state[head & 1].page,
          header_.producers.state[tail & 1].page,
          {}};
  for (std::uint32_t index = 0; index < table_.high(); ++index) {
    if (!table_.word(index).has_item()) continue;
    MessageHeader message;
    const std::byte* payload;
    Runs runs;
    live.leased.pages.push_back(table_.at(index).page);
    const Status found = find_message(table_.at(index), message, payload, runs);
    if (found == Status::no_memory) return false;
    for (std::uint32_t i = 0; found == Status::ok && i < runs.table.runs; ++i)
      live.leased.runs.push_back(runs.at[i].first);
  }
  return true;
}

std::string Stream::check_leases() {
  const std::uint64_t head = count_of(header_.head.word.load(relaxed));
  std::uint32_t out = 0, returned = 0, failed = 0;
  std::unordered_map<std::uint32_t, std::uint64_t> in_page;
  for (std::uint32_t index = 0; index < table_.high(); ++index) {
    const LeaseWord word = table_.word(index);
    const LeaseRecord& record = table_.at(index);
    out += word.is_out() ? 1 : 0;
    returned += word.stage == LeaseStage::returned ? 1 : 0;
    failed += word.stage == LeaseStage::failed ? 1 : 0;
    if (!word.has_item()) continue;
    MessageHeader message;
    const std::byte* payload;
    Runs runs;
    const std::string name = "lease " + std::to_string(index) + " on item " + std::to_string(record.number);
    if (record.number >= head) return name + " was never taken";
    if (find_message(record, message, payload, runs) != Status::ok) return name + " has no sound message";
    const PageUse use = segment_->descriptor(record.page).use;
    if (use != PageUse::stream && use != PageUse::parked) return name + " lies in a page that is in other use";
    for (std::uint32_t i = 0; i < runs.table.runs; ++i) {
      const Descriptor& run = segment_->descriptor(runs.at[i].first);
      if (run.ticket != record.number || run.use != PageUse::run) return name + " has no valid run";
    }
    in_page[record.page] += 1;
  }
  for (const auto& [page, count] : in_page) {
    if (segment_->descriptor(page).ticket != count) return "leases in page " + std::to_string(page) + " are miscounted";
  }
  const LeaseState& state = header_.leases;
  if (out != state.out.load(relaxed) || returned != header_.returned.load(relaxed) ||
      failed != header_.failed.load(relaxed)) {
    return "leases are miscounted";
  }
  return {};
}

}  // namespace conveyor
