// The FIFO of messages: two locks, one commit point for each operation.
//
// Producers share one lock and consumers another. Messages lie one after another in pages of the
// pool, each page naming the next. Each side keeps where it stands in `SideState`, twice; the
// published word holds the count of items and says which of the two is valid. An operation writes
// payload and the other copy of the state, and then becomes visible, whole, by ONE release store of
// the word. A process that dies before it has done nothing, after it everything; there is nothing to repair
// but pages that the dead had taken and nobody knows of (Pool::sweep).
//
//   sync point "tail": producers release Published::word of `tail` when an item is written;
//                      consumers acquire it before they read the item.
//   sync point "head": consumers release the word of `head` when they have done with an item's
//                      page; producers acquire it before they count the room that it left.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/base/patience.hpp"
#include "conveyor/base/status.hpp"
#include "conveyor/memory/ending.hpp"
#include "conveyor/queue/lease.hpp"
#include "conveyor/queue/pool.hpp"
#include "conveyor/queue/ready.hpp"
#include "conveyor/queue/segment.hpp"
#include "conveyor/queue/statistics.hpp"

namespace conveyor {

// An item to put: `data`, of at most inline_limit bytes, and runs that already hold the rest.
struct Outgoing {
  const std::byte* data = nullptr;
  std::size_t size = 0;
  std::uint8_t kind = 0;
  std::uint32_t run_count = 0;  // at most most_runs
  const RunReference* runs = nullptr;

  std::uint64_t payload() const {
    std::uint64_t bytes = size;
    for (std::uint32_t i = 0; i < run_count; ++i) bytes += runs[i].size;
    return bytes;
  }
};

// What is told of an item that failed for good.
struct Failure {
  std::uint32_t attempts = 0, pid = 0;
  std::string error;
};

class Stream {
 public:
  explicit Stream(std::shared_ptr<Segment> segment)
      : segment_(std::move(segment)),
        header_(segment_->header()),
        pool_(*segment_),
        ready_(*segment_),
        producers_(header_.ending, segment_->producing(), segment_.get()),
        table_(*segment_) {}

  // Puts as many of the `count` items as fit, in one go; `done` says how many. `patience` bounds
  // the wait for the producers' lock; 0 only spins. Not ok: what `done` does not count is the caller's.
  Status put(const Outgoing* items, std::size_t count, std::size_t& done, Nanoseconds patience);

  // Takes up to `count` items in one go. The sink gets each, under the consumers' lock:
  //   bool sink.message(std::uint8_t kind, const std::byte* data, std::size_t size)
  //   bool sink.runs(std::uint8_t kind, const RunReference* runs, std::uint32_t count,
  //                  const std::byte* head, std::size_t size)   the caller must `release` each run
  // and says whether it took it; the first it refuses ends the batch. Before each, if it has that:
  //   void sink.from(std::uint32_t pid)   the process that put it
  // Only spins for the lock; `busy` means: call `await_consumers_lock` and try again. So a sink may
  // use what its caller holds (Python's GIL), without ever holding that while it sleeps.
  // With `leases`, room for `count`, they are not yet the caller's: for each, it must call one of the
  // operations on leases, and never `release` its runs. Items that were given back come first.
  template <class Sink>
  Status take(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases = nullptr);
  void await_consumers_lock(Nanoseconds patience);

  // How far a look has come.
  struct Place {
    std::uint64_t number = 0;           // of the next item to be shown
    std::uint64_t stands_at = unbounded;  // the item that `state` is of
    SideState state{};
  };
  // Shows the sink, as `take` does, up to `count` of the items that wait, from `place` on and in the order in which they
  // would be taken. It takes none and changes nothing: what the sink wants to keep it copies, that in runs as well, and
  // then it may go on. `empty`: no more wait. Who reaches the end of what it shows calls again, so that the consumers'
  // lock is held for a few items at a time; what others take or give back in between is not shown twice.
  template <class Sink>
  Status look(Place& place, std::size_t count, Sink& sink, std::size_t& done, Nanoseconds patience);

  // A run for a large payload, filled by the caller outside any lock and then put or released.
  Pool::Allocation allocate_run(std::uint64_t size, RunReference& run);
  void release(const RunReference& run);
  // Whether the taker of these runs may keep them as long as it likes, or must copy them out: together
  // those who keep some must leave the producers half of what there is.
  bool lend(const RunReference* runs, std::uint32_t count);
  // No memory for a copy.
  void lend_anyway(const RunReference* runs, std::uint32_t count) { pool_.lend(runs, count, unbounded); }
  // For a producer that goes on looking at a run that it puts: begin before `put`; then either cancel,
  // because it was not put, or end when it looks no more. False: not now, see Pool.
  bool begin_lending(const RunReference& run) { return pool_.begin_lending(run.first); }
  void cancel_lending(const RunReference& run) { pool_.cancel_lending(run.first); }
  void end_lending(const RunReference& run) { pool_.end_lending(run.first, run.pages); }
  // For a process that was told of a run which another one has, see Pool.
  bool borrow(const RunReference& run, OwnerId owner) { return pool_.borrow(run, owner); }
  std::byte* run_data(const RunReference& run) const { return segment_->page(run.first); }

  // Spin, or sleep for a slice, until there may be something to take, or room for `payload` bytes, or
  // the deadline. To be called in a loop with the same `slices`; `again` means: look, and call again.
  Waited wait_not_empty(Nanoseconds deadline, Slices& slices);
  bool spin_for_item() {
    return header_.not_empty.spin(spin_, [this] { return something_to_tell(); });
  }
  Waited wait_not_full(std::uint64_t payload, Nanoseconds deadline, Slices& slices);
  void let_items_gather();  // for who found it empty, and an item a moment later
  // A waiter that leaves without taking passes a wake-up on, in case it was meant for a peer too.
  void pass_on();

  // What becomes of a leased item; `lost` when its time was over or it was settled already. Like `take`, these
  // only spin for the lock (`busy`).
  Status acknowledge(const LeaseId& lease);
  // To the front of the queue, unless it has failed too often, and after `delay` nanoseconds at the earliest.
  // Not `counted`: as if it had not been leased, but for `error`.
  Status give_back(const LeaseId& lease, std::string_view error, Nanoseconds delay, bool counted = true);
  // To those that failed for good.
  Status reject(const LeaseId& lease, std::string_view error);
  // From now on it is the caller's for this long.
  void set_due(const LeaseId& lease, Nanoseconds due) { table_.set_due(lease, due); }
  // One of those that failed for good, to be moved elsewhere and then acknowledged; or put back: `for_good`
  // if it can never be moved. If the caller dies, it is there again.
  template <class Sink>
  Status take_failed(Sink& sink, LeaseId& lease, Failure& failure);
  Status put_back_failed(const LeaseId& lease, bool for_good);
  std::uint32_t failed() const { return header_.failed.load(relaxed); }  // relaxed: a hint
  bool leases_used() const { return table_.ever_used(); }
  // Gives back what the dead had and what is due. Called by those that take or wait.
  void look_after_leases() {
    if (table_.any_out()) look_after(monotonic_now());
  }

  std::uint64_t depth() const;
  bool empty() const { return depth() == 0; }
  // empty(), and the ready descriptor agrees with it afterwards.
  bool settled_empty();
  // Whether a take finds nothing: empty or paused; and the ready descriptor agrees with it afterwards.
  bool nothing_to_take();
  bool has_room(std::uint64_t payload) const;
  bool full() const { return depth() >= header_.max_items || bytes_waiting() >= header_.max_bytes; }
  std::uint64_t bytes_waiting() const;
  std::uint64_t in_stream() const;  // depth without what was given back

  // While it is paused, it looks empty to those who take; it can be put into, and what was taken can be settled. What
  // End::drop drops is dropped all the same.
  void pause();
  bool resume();  // false: the ready descriptor's lock was not to be had in time, and it is still paused
  bool paused() const { return header_.paused.load(relaxed) != 0; }  // relaxed: nothing else is told by it

  // The end (ending.hpp). It may take the producers' lock, and does so with `patience`; `busy` or `interrupted`:
  // nothing was done.
  Status shutdown(bool immediate, Nanoseconds patience);
  // sync point "ended": acquires what `end` released. Asked before the queue is looked at, never after.
  bool ended() const { return header_.ended.load(acquire) != static_cast<std::uint32_t>(End::none); }
  bool dropped() const { return header_.ended.load(acquire) == static_cast<std::uint32_t>(End::drop); }
  // To be asked of a stream that had ended before it was seen empty: or can something come back that another
  // process has under lease? What this process has itself does not count: it would wait for itself.
  bool over();
  // Drops what waits, and what is delayed, in one step; `count` says how many. What is leased stays so.
  Status purge(std::uint64_t& count, Nanoseconds patience);
  // Drops what is left of what End::drop is to drop.
  void finish_drop();
  Status enter_producing(bool counts, Nanoseconds patience);
  Status leave_producing(Nanoseconds patience);
  Status expect_producers(std::uint32_t count, Nanoseconds patience);
  // True now and then while somebody may die inside `producing()`: a taker that found the queue empty then looks.
  bool look_is_due();
  // Whether somebody registered, or will.
  bool has_producers() const { return producers_.armed() && !ended(); }
  void look_for_lost();
  std::vector<LostProducer> lost() const { return producers_.lost(count_of(header_.tail.word.load(acquire))); }
  static constexpr Nanoseconds look_every = 300'000'000;

  // task_done and join of a JoinableQueue. Unfinished is what waits and what somebody alive has taken and has
  // not said to be done. task_done: `empty` if there is nothing of the kind. `busy` as for `take`.
  Status task_done();
  Status count_unfinished(std::uint64_t& count, Nanoseconds patience);
  bool all_tasks_done(Nanoseconds patience = 0);
  Waited wait_all_tasks_done(Nanoseconds deadline, Slices& slices);

  // From now on the ready descriptor is kept; returns 0 or an errno.
  int watch();
  Ready& ready() { return ready_; }

  StreamStatistics statistics();
  // Walks the segment: does everything hang together, and is no page lost? Empty when sound.
  // Null: a lock was not to be had in time.
  std::optional<std::string> check(Nanoseconds patience = 10'000'000'000);
  Segment& segment() const { return *segment_; }
  const std::shared_ptr<Segment>& shared_segment() const { return segment_; }

 private:
  static std::uint64_t count_of(std::uint64_t word) { return word >> 1; }
  Status lock(Side& side, Nanoseconds patience);
  // The same without patience, for who looks at the state of the side by `stands`. Mostly nobody has the lock.
  Status lock(Side& side) {
    if (side.lock.take(self()) != Locked::clean) [[unlikely]]
      return lock(side, 0);
    return in_order(side) ? Status::ok : put_in_order(side, Locked::clean);
  }
  // Under the lock: whether a dead holder left nothing to be done, and the lease records are mapped.
  bool in_order(const Side& side) const {
    // relaxed: under the lock
    if (&side == &header_.consumers) return header_.consumers_owed.load(relaxed) == 0 && table_.is_reached();
    return header_.producers_owed.load(relaxed) == 0;
  }
  // The first thing to be done under the lock. Not ok: it is let go of.
  Status put_in_order(Side& side, Locked got);
  // Whether there is nothing but items: no lost pages, no pause, nothing given back. One cache line says it.
  bool undisturbed() const {
    // relaxed: hints, as where each is looked at by itself
    return (header_.sweep_wanted.load(relaxed) | header_.returned.load(relaxed) | header_.paused.load(relaxed)) == 0;
  }
  template <class IsEmpty>
  bool settled(IsEmpty is_empty);
  // Under a side's lock, which was got as `got`: puts in order what a dead holder left. False: it cannot, for want of
  // address space; it is still to be done, and the caller must let go of the lock.
  bool enter(Side& side, Locked got);
  Nanoseconds wake_for_leases() const;
  // For those who watch the ready descriptor: at the end it stays readable, as a pipe's does.
  bool nothing_to_tell() const {
    if (!empty()) return held_back();
    return !ended() || (!dropped() && table_.any_out() && table_.may_come_back());
  }
  bool held_back() const { return paused() && !dropped(); }
  // For those who wait. Leases make no end: the process that settles the last one wakes them.
  bool something_to_tell() const { return empty() ? ended() && !table_.any_out() : !held_back(); }
  // The caller holds the consumers' lock, which this lets go of.
  template <class Sink>
  Status take_locked(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases, bool drops = false);
  // The caller holds the producers' lock, and for End::drop the consumers'.
  // False: the ready descriptor's lock was not to be had in time; somebody must try again.
  bool end(End how);
  void end_if_all_left() {
    if (!ended() && producers_.all_have_left()) end(End::drain);
  }
  void tell_of_end();
  std::uint64_t drop_locked();  // how many
  bool lock_both(LockPatience& patience);
  void unlock_both();
  void sweep_if_wanted() {
    if (header_.sweep_wanted.load(relaxed) != 0) sweep();
  }
  void sweep();
  bool sound(const SideState& state) const {
    return state.page < segment_->page_count() && state.offset <= page_size && state.offset % 8 == 0;
  }
  static Status status_of(Reach reach) {
    return reach == Reach::ok ? Status::ok : reach == Reach::corrupt ? Status::corrupt : Status::no_memory;
  }
  // Whether the page where a side stands is there, and mapped here.
  Status stands(const SideState& state) const {
    return sound(state) ? status_of(segment_->reach(state.page)) : Status::corrupt;
  }
  static void note_depth(Side& side, std::uint64_t depth) {
    if (depth > side.peak.load(relaxed) && depth < unbounded / 2)
      side.peak.store(depth, relaxed);  // relaxed: a statistic
  }
  bool fits(std::uint64_t waiting, std::uint64_t payload, bool alone) const;
  bool counts_lent() const { return header_.max_bytes != unbounded && header_.soft_bound != 1; }
  Status append(SideState& state, std::uint64_t number, const Outgoing& item);
  // Moves `state` to the next message, over the end of a page if need be. The page where it stands is mapped. ok, corrupt
  // or no_memory, as the next two.
  Status next_message(SideState& state, MessageHeader& message) const {
    const std::size_t left = page_size - state.offset;
    if (left >= sizeof message) [[likely]] {
      message = snapshot(*reinterpret_cast<const MessageHeader*>(segment_->page(state.page) + state.offset));
      const bool plain = message.check == message_check &&
                         message.form == static_cast<std::uint64_t>(MessageForm::inline_payload) &&
                         message.size <= inline_limit && message.size <= left - sizeof message;
      if (plain) [[likely]]
        return Status::ok;
    }
    return find_next_message(state, message);
  }
  Status find_next_message(SideState& state, MessageHeader& message) const;
  // What a message of form `run` says, checked; its head lies behind the references.
  struct Runs {
    RunTable table;
    RunReference at[most_runs];
    std::size_t size() const { return sizeof table + table.runs * sizeof(RunReference); }
  };
  // `number`: of the item.
  Status read_runs(const std::byte* payload, std::size_t size, std::uint64_t number, Runs& into) const;

  template <class Sink>
  Status take_with_care(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases);
  template <class Sink>
  Status take_fresh(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases);
  template <class Sink>
  Status take_returned(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases);
  template <class Sink>
  Status show(const LeaseRecord& record, Sink& sink);
  template <class Sink>
  Status look_locked(Place& place, std::size_t count, Sink& sink, std::size_t& done);
  // What is dropped is nobody's task.
  bool notes_tasks() const { return table_.counts_tasks() && !dropped(); }
  Status room_for_leases(const LeaseId* leases, std::size_t more);
  // A leased item's message, checked; `runs.table.runs` is 0 for one without.
  Status find_message(const LeaseRecord& record, MessageHeader& message, const std::byte*& payload, Runs& runs) const;
  // False, and nothing done: there is no address space to look for its runs.
  bool drop_item(std::uint32_t index, bool with_runs);
  void drop_page(std::uint32_t page);
  bool turn_back(std::uint32_t index, std::string_view error, Nanoseconds delay, bool for_good, bool counted = true);
  Status settled();
  void look_after(Nanoseconds now);
  void settle_dead(std::uint32_t index);
  bool find_live(Pool::Live& live);  // false: there is no address space to look
  std::uint64_t unfinished() const;
  std::string check_leases();
  void free_passed_pages(std::uint32_t from, std::uint32_t to);
  // One side's waiting.
  struct Waiting {
    EventCount& event;
    WaitingSide& ours;
    const WaitingSide& others;
    Side& side;
    Patience &patience, &gathering;
  };
  template <class Ready_, class Several>
  Waited wait(Waiting waiting, Nanoseconds deadline, Slices& slices, Ready_ is_ready, Several several);
  // After a put, or a take, whose unlocking was an exchange.
  void tell_consumers(int count);
  void tell_producers(int count);
  void note_wake(WaitingSide& ours);
  std::uint64_t many() const;  // items, or places, that end a patient sleep

  std::shared_ptr<Segment> segment_;
  Header& header_;
  Pool pool_;
  Ready ready_;
  Producers producers_;
  LeaseTable table_;
  Atomic<Nanoseconds> looked_{0};
  // Whom we have just woken needs some time to come, and is worth waiting for if it is on another processor.
  Spin spin_, spin_after_wake_;
  Atomic<bool> has_woken_{false};
  Patience patience_to_get_, patience_to_put_, gathering_to_get_, gathering_to_put_;
};

template <class Sink>
Status Stream::take(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases) {
  if (undisturbed() && !table_.any_out()) [[likely]]
    return take_fresh(count, sink, done, leases);
  return take_with_care(count, sink, done, leases);
}

// What was given back comes first.
template <class Sink>
[[gnu::noinline, gnu::cold]] Status Stream::take_with_care(std::size_t count, Sink& sink, std::size_t& done,
                                                           LeaseId* leases) {
  if (table_.any_out()) look_after(monotonic_coarse());
  done = 0;
  if (held_back()) return Status::empty;
  sweep_if_wanted();
  if (header_.returned.load(acquire) != 0) {  // acquire: with `depth`, a hint; the lock orders the rest
    const Status status = take_returned(count, sink, done, leases);
    if (status != Status::ok || done == count) return done > 0 ? Status::ok : status;
  }
  std::size_t more = 0;
  const Status status = take_fresh(count - done, sink, more, leases == nullptr ? nullptr : leases + done);
  if (done == 0) {
    done = more;
    return status;
  }
  done += more;
  return Status::ok;
}

template <class Sink>
Status Stream::take_fresh(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases) {
  done = 0;
  Side& side = header_.consumers;
  if (const Status status = lock(side); status != Status::ok) return status;
  // relaxed: it was stored under this lock
  if (header_.ended.load(relaxed) == static_cast<std::uint32_t>(End::drop)) [[unlikely]] {
    drop_locked();
    return Status::empty;
  }
  return take_locked(count, sink, done, leases);
}

template <class Sink>
Status Stream::take_locked(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases, bool drops) {
  Side& side = header_.consumers;
  const std::uint64_t word = header_.head.word.load(relaxed);  // relaxed: ours, under the lock
  const std::uint64_t taken = count_of(word);
  if (side.other_count <= taken || side.other_count - taken < count) {
    side.other_count = count_of(header_.tail.word.load(acquire));  // sync point "tail"
    note_depth(side, side.other_count - taken);
    if (side.other_count <= taken) {
      const bool corrupt = side.other_count < taken;
      side.lock.unlock();
      return corrupt ? Status::corrupt : Status::empty;
    }
  }
  const std::uint64_t there = side.other_count - taken;
  if (count > there) count = there;
  SideState state = snapshot(side.state[word & 1]);
  const std::uint32_t first_page = state.page;
  Status status = stands(state);
  const bool noted = leases != nullptr || (notes_tasks() && !drops);
  while (status == Status::ok && done < count) {
    if (noted && (status = room_for_leases(leases, done)) != Status::ok) break;
    SideState ahead = state;
    MessageHeader message;
    if ((status = next_message(ahead, message)) != Status::ok) break;
    const std::byte* const payload = segment_->page(ahead.page) + ahead.offset + sizeof(MessageHeader);
    if constexpr (requires { sink.from(0U); }) sink.from(message.sender);
    std::uint64_t bytes = message.size;
    if (static_cast<MessageForm>(message.form) == MessageForm::run) {
      Runs runs;
      if ((status = read_runs(payload, message.size, taken + done, runs)) != Status::ok) break;
      bytes = runs.table.head_size;
      for (std::uint32_t i = 0; i < runs.table.runs; ++i) {
        // Ours from the commit on: if we die after it, the run is garbage of a dead owner.
        segment_->descriptor(runs.at[i].first).owner = self();
        bytes += runs.at[i].size;
      }
      if (!sink.runs(message.kind, runs.at, runs.table.runs, payload + runs.size(), runs.table.head_size))
        status = Status::refused;
    } else if (!sink.message(message.kind, payload, message.size)) {
      status = Status::refused;
    }
    if (status != Status::ok) break;
    if (leases != nullptr) [[unlikely]]
      leases[done] = table_.add(taken + done, ahead.page, ahead.offset);
    state = ahead;
    state.offset += static_cast<std::uint32_t>(sizeof(MessageHeader) + align8(message.size));
    state.bytes += bytes;
    ++done;
  }
  if (done > 0) {
    CONVEYOR_KILL_POINT("take.read");
    side.state[(word & 1) ^ 1] = state;
    header_.head.bytes.store(state.bytes, relaxed);  // relaxed: the next store releases it
    if (leases == nullptr && noted) [[unlikely]]
      table_.note_tasks(taken, static_cast<std::uint32_t>(done));
    CONVEYOR_KILL_POINT("take.before-commit");
    // sync point "head": the commit. The items are taken and their room may be counted.
    header_.head.word.store((taken + done) << 1 | ((word & 1) ^ 1), conveyor::release);
    CONVEYOR_KILL_POINT("take.committed");
    if (state.page != first_page) free_passed_pages(first_page, state.page);
    if (ready_.watched()) ready_.settle([this] { return nothing_to_tell(); });
  }
  side.lock.unlock();
  CONVEYOR_KILL_POINT("take.unlocked");
  if (done > 0 && (header_.max_items != unbounded || header_.max_bytes != unbounded)) {
    // Producers may wait for room of different sizes: one wake-up could reach the one that it does not help.
    tell_producers(header_.max_bytes == unbounded ? static_cast<int>(done < 1024 ? done : 1024) : INT32_MAX);
  }
  // A take that leaves items behind wakes the next that may take them.
  if (header_.not_empty.has_sleepers() && !empty()) header_.not_empty.notify(1);
  return done > 0 && status == Status::refused ? Status::ok : status;
}

// Hands the sink a leased item, whose runs become this process's with the commit that the caller makes.
template <class Sink>
Status Stream::show(const LeaseRecord& record, Sink& sink) {
  MessageHeader message;
  const std::byte* payload;
  Runs runs;
  if (const Status status = find_message(record, message, payload, runs); status != Status::ok) return status;
  if constexpr (requires { sink.from(0U); }) sink.from(message.sender);
  if (runs.table.runs == 0) return sink.message(message.kind, payload, message.size) ? Status::ok : Status::refused;
  for (std::uint32_t i = 0; i < runs.table.runs; ++i) segment_->descriptor(runs.at[i].first).owner = self();
  return sink.runs(message.kind, runs.at, runs.table.runs, payload + runs.size(), runs.table.head_size)
             ? Status::ok
             : Status::refused;
}

template <class Sink>
[[gnu::noinline, gnu::cold]] Status Stream::take_returned(std::size_t count, Sink& sink, std::size_t& done,
                                                          LeaseId* leases) {
  sweep_if_wanted();
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  Status status = Status::ok;
  while (done < count) {
    const std::uint32_t index = table_.first_returned();
    if (index == no_lease) {
      header_.returned.store(0, relaxed);  // relaxed: under the lock. It said more only if it was damaged
      break;
    }
    status = show(table_.at(index), sink);
    if (status != Status::ok) break;
    if (leases != nullptr) {
      leases[done] = table_.take_over(index, LeaseStage::leased);
    } else {
      drop_item(index, false);  // by a plain get: its runs are the taker's
    }
    ++done;
  }
  if (ready_.watched()) ready_.settle([this] { return nothing_to_tell(); });
  header_.consumers.lock.unlock();
  if (done > 0 && header_.max_items != unbounded) {
    tell_producers(static_cast<int>(done < 1024 ? done : 1024));
  }
  if (header_.not_empty.has_sleepers() && !empty()) header_.not_empty.notify(1);
  return status;
}

template <class Sink>
[[gnu::noinline, gnu::cold]] Status Stream::look(Place& place, std::size_t count, Sink& sink, std::size_t& done,
                                                 Nanoseconds patience) {
  done = 0;
  look_after_leases();
  if (const Status status = lock(header_.consumers, patience); status != Status::ok) return status;
  const Status status = dropped() ? Status::empty : look_locked(place, count, sink, done);
  CONVEYOR_KILL_POINT("look.shown");
  header_.consumers.lock.unlock();
  return done > 0 ? Status::ok : status;
}

template <class Sink>
Status Stream::look_locked(Place& place, std::size_t count, Sink& sink, std::size_t& done) {
  MessageHeader message;
  const std::byte* payload;
  Runs runs;
  const auto shown = [&] {
    if constexpr (requires { sink.from(0U); }) sink.from(message.sender);
    const bool taken = runs.table.runs == 0 ? sink.message(message.kind, payload, message.size)
                                            : sink.runs(message.kind, runs.at, runs.table.runs, payload + runs.size(),
                                                        runs.table.head_size);
    return taken ? Status::ok : Status::refused;
  };
  // What came back was put before all that nobody has had yet.
  if (header_.returned.load(relaxed) != 0) {  // relaxed: under the lock
    LeaseTable::Candidate returned[LeaseTable::most_candidates];
    const std::uint32_t found = table_.returned_from(place.number, returned);
    for (std::uint32_t i = 0; i < found; ++i) {
      if (done == count) return Status::ok;
      Status status = find_message(table_.at(returned[i].index), message, payload, runs);
      if (status == Status::ok) status = shown();
      if (status != Status::ok) return status;
      place.number = returned[i].number + 1;
      ++done;
    }
    if (found == LeaseTable::most_candidates) return Status::ok;  // perhaps there are more
  }
  const std::uint64_t word = header_.head.word.load(relaxed);  // relaxed: ours, under the lock
  const std::uint64_t head = count_of(word);
  const std::uint64_t tail = count_of(header_.tail.word.load(acquire));  // sync point "tail"
  if (tail < head) return Status::corrupt;
  // The head frees no page from that on where it stands: so a place that it has not passed is still one.
  if (place.number < head || place.stands_at != place.number)
    place = {head, head, snapshot(header_.consumers.state[word & 1])};
  Status status = stands(place.state);
  while (status == Status::ok && done < count) {
    if (place.number >= tail) return Status::empty;
    SideState ahead = place.state;
    if ((status = next_message(ahead, message)) != Status::ok) break;
    payload = segment_->page(ahead.page) + ahead.offset + sizeof message;
    runs.table.runs = 0;
    if (static_cast<MessageForm>(message.form) == MessageForm::run)
      status = read_runs(payload, message.size, place.number, runs);
    if (status == Status::ok) status = shown();
    if (status != Status::ok) break;
    ahead.offset += static_cast<std::uint32_t>(sizeof message + align8(message.size));
    ++place.number;
    place.stands_at = place.number;
    place.state = ahead;
    ++done;
  }
  return status;
}

template <class Sink>
Status Stream::take_failed(Sink& sink, LeaseId& lease, Failure& failure) {
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  Status status = Status::empty;
  for (std::uint32_t index = 0; index < table_.high(); ++index) {
    if (table_.word(index).stage != LeaseStage::failed) continue;
    const LeaseRecord& record = table_.at(index);
    status = show(record, sink);
    if (status != Status::ok) break;
    const std::uint32_t size = record.error_size;
    failure.attempts = table_.word(index).attempts;
    failure.pid = record.pid;
    failure.error.assign(record.error, size < sizeof record.error ? size : sizeof record.error);
    lease = table_.take_over(index, LeaseStage::moving);
    break;
  }
  header_.consumers.lock.unlock();
  return status;
}

}  // namespace conveyor
