#include "conveyor/queue/stream.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <vector>

#include "conveyor/base/deadline.hpp"

namespace conveyor {

Status Stream::put(const Outgoing* items, std::size_t count, std::size_t& done, Nanoseconds patience) {
  done = 0;
  sweep_if_wanted();
  Side& side = header_.producers;
  if (const Status locked = patience == 0 ? lock(side) : lock(side, patience); locked != Status::ok) return locked;
  CONVEYOR_KILL_POINT("put.locked");
  if (header_.ended.load(relaxed) != static_cast<std::uint32_t>(End::none)) [[unlikely]] {
    side.lock.unlock();
    return Status::shut_down;
  }
  const std::uint64_t word = header_.tail.word.load(relaxed);  // relaxed: ours, under the lock
  const std::uint64_t before = count_of(word);
  SideState state = snapshot(side.state[word & 1]);
  Status status = stands(state);
  for (; status == Status::ok && done < count; ++done) {
    const Outgoing& item = items[done];
    const std::uint64_t number = before + done;
    const std::uint64_t payload = item.payload();
    if (payload > header_.max_bytes && header_.soft_bound == 0) {
      status = Status::too_large;
      break;
    }
    const std::uint64_t returned = header_.returned.load(relaxed);  // relaxed: a bound may be passed by a few
    if (number - side.other_count + returned >= header_.max_items || header_.max_bytes != unbounded) {
      side.other_count = count_of(header_.head.word.load(acquire));  // sync point "head"
      if (side.other_count > number) {
        status = Status::corrupt;
        break;
      }
      if (number - side.other_count + returned >= header_.max_items) {
        status = Status::full;
        break;
      }
      if (header_.max_bytes != unbounded) {
        // May run ahead of the consumers' word by the operation that is being committed; never by more.
        const std::uint64_t waiting = state.bytes - header_.head.bytes.load(relaxed);
        if (!fits(waiting, payload, number == side.other_count)) {
          status = Status::full;
          break;
        }
      }
    }
    status = append(state, number, item);
    if (status != Status::ok) break;
    state.bytes += payload;
  }
  if (done > 0) {
    const std::uint64_t after = before + done;
    // The true depth costs a look at the other side's cache line: only when it may be a peak, and
    // while a backlog grows, only each time by an eighth. Consumers note what they find, too.
    const std::uint64_t peak = side.peak.load(relaxed);
    if (after - side.other_count > peak + peak / 8) {
      side.other_count = count_of(header_.head.word.load(acquire));
      note_depth(side, after - side.other_count);
    }
    CONVEYOR_KILL_POINT("put.written");
    side.state[(word & 1) ^ 1] = state;
    const bool watched = ready_.watched();
    if (watched && !ready_.begin_put()) {
      // As if never put; but a page may have been linked.
      header_.sweep_wanted.store(1, relaxed);
      side.lock.unlock();
      done = 0;
      return Status::busy;
    }
    producers_.count(done, after);
    header_.tail.bytes.store(state.bytes, relaxed);  // relaxed: the next store releases it
    CONVEYOR_KILL_POINT("put.before-commit");
    // sync point "tail": the commit. The items can be taken.
    header_.tail.word.store(after << 1 | ((word & 1) ^ 1), conveyor::release);
    CONVEYOR_KILL_POINT("put.committed");
    if (watched) ready_.end_put();
  }
  side.lock.unlock();
  CONVEYOR_KILL_POINT("put.unlocked");
  if (done > 0) tell_consumers(done > INT_MAX ? INT_MAX : static_cast<int>(done));
  // A put that leaves room wakes the next that may use it.
  if (header_.not_full.has_sleepers() && !full()) header_.not_full.notify(1);
  return status;
}

// Writes one message behind `state` and moves it on. Nothing of it is visible before the commit.
Status Stream::append(SideState& state, std::uint64_t number, const Outgoing& item) {
  const bool by_run = item.run_count != 0;
  const std::size_t size =
      item.size + (by_run ? sizeof(RunTable) + item.run_count * sizeof(RunReference) : std::size_t{0});
  const std::size_t need = sizeof(MessageHeader) + align8(size);
  if (page_size - state.offset < need) {
    const Pool::Allocation page = pool_.allocate(1, PageUse::stream);
    if (page.first == no_page) return page.error == EBUSY ? Status::busy : Status::no_memory;
    if (page_size - state.offset >= sizeof(MessageHeader)) {
      const MessageHeader skip{0, 0, static_cast<std::uint8_t>(MessageForm::skip), 0, message_check};
      std::memcpy(segment_->page(state.page) + state.offset, &skip, sizeof skip);
    }
    segment_->descriptor(state.page).next = page.first;
    CONVEYOR_KILL_POINT("put.page-linked");
    state.page = page.first;
    state.offset = 0;
  } else if (state.offset == 0 && number == 0) {
    // The stream's very first page was not reserved when the queue was made.
    if (pool_.with_memory([&] { return segment_->reserve(state.page, 1); }) != 0) return Status::no_memory;
  }
  std::byte* at = segment_->page(state.page) + state.offset;
  const auto form = by_run ? MessageForm::run : MessageForm::inline_payload;
  const MessageHeader message{size, item.kind, static_cast<std::uint8_t>(form), owner_pid(self()), message_check};
  std::memcpy(at, &message, sizeof message);
  at += sizeof message;
  if (by_run) {
    const RunTable table{item.run_count, static_cast<std::uint32_t>(item.size)};
    std::memcpy(at, &table, sizeof table);
    std::memcpy(at + sizeof table, item.runs, item.run_count * sizeof(RunReference));
    at += size - item.size;
    // The queue's, once `number` is committed.
    for (std::uint32_t i = 0; i < item.run_count; ++i) segment_->descriptor(item.runs[i].first).ticket = number;
  }
  if (item.size != 0) std::memcpy(at, item.data, item.size);
  state.offset += static_cast<std::uint32_t>(need);
  return Status::ok;
}

Status Stream::find_next_message(SideState& state, MessageHeader& message) const {
  for (int hops = 0; hops < 2; ++hops) {
    if (page_size - state.offset >= sizeof(MessageHeader)) {
      message = snapshot(*reinterpret_cast<const MessageHeader*>(segment_->page(state.page) + state.offset));
      if (message.check != message_check) return Status::corrupt;
      const auto form = static_cast<MessageForm>(message.form);
      if (form == MessageForm::inline_payload || form == MessageForm::run) {
        const std::size_t most = std::min<std::size_t>(page_size - state.offset - sizeof(MessageHeader),
                                                       form == MessageForm::run ? most_of_runs : inline_limit);
        return message.size <= most ? Status::ok : Status::corrupt;
      }
      if (form != MessageForm::skip) return Status::corrupt;
    }
    const std::uint32_t next = snapshot(segment_->descriptor(state.page).next);
    if (next >= segment_->page_count()) return Status::corrupt;
    if (const Reach reach = segment_->reach(next); reach != Reach::ok) return status_of(reach);
    state.page = next;
    state.offset = 0;
  }
  return Status::corrupt;
}

Status Stream::read_runs(const std::byte* payload, std::size_t size, std::uint64_t number, Runs& into) const {
  if (size < sizeof into.table) return Status::corrupt;
  into.table = snapshot(*reinterpret_cast<const RunTable*>(payload));
  if (into.table.runs == 0 || into.table.runs > most_runs || into.table.head_size > inline_limit ||
      into.size() + into.table.head_size != size) {
    return Status::corrupt;
  }
  for (std::uint32_t i = 0; i < into.table.runs; ++i) {
    const RunReference run = snapshot(reinterpret_cast<const RunReference*>(payload + sizeof into.table)[i]);
    if (run.first >= segment_->page_count() || run.pages == 0 || run.pages > segment_->page_count() - run.first ||
        run.size > std::uint64_t{run.pages} * page_size || run.size <= (run.pages - std::uint64_t{1}) * page_size) {
      return Status::corrupt;
    }
    if (const Reach reach = segment_->reach(run.first, run.pages); reach != Reach::ok) return status_of(reach);
    // Message and descriptor tell the same, or one of them is damaged.
    const Descriptor descriptor = snapshot(segment_->descriptor(run.first));
    if (descriptor.use != PageUse::run || descriptor.next != run.pages || descriptor.ticket != number)
      return Status::corrupt;
    into.at[i] = run;
  }
  return Status::ok;
}

// Frees the stream's pages from `from` up to but not including `to`, after the commit that passed
// them and still under the lock: if we die here, the lock is found with a dead holder, and the
// sweep finds the pages.
void Stream::free_passed_pages(std::uint32_t from, std::uint32_t to) {
  for (std::uint32_t steps = 0; from != to && steps < segment_->page_count(); ++steps) {
    if (segment_->reach(from) != Reach::ok) return;  // damage: those that the head has passed are mapped
    Descriptor& passed = segment_->descriptor(from);
    const std::uint32_t next = snapshot(passed.next);
    if (passed.ticket != 0) {
      passed.use = PageUse::parked;  // until the last lease in it ends
      CONVEYOR_KILL_POINT("take.page-parked");
    } else {
      pool_.free(from, 1);
      CONVEYOR_KILL_POINT("take.page-freed");
    }
    from = next;
  }
}

Pool::Allocation Stream::allocate_run(std::uint64_t size, RunReference& run) {
  const std::uint64_t pages = (size + page_size - 1) / page_size;
  if (pages > segment_->page_count()) return {no_page, ENOMEM};
  Pool::Allocation got = pool_.allocate(static_cast<std::uint32_t>(pages), PageUse::run);
  if (got.first == no_page) {
    // Perhaps the dead still hold some.
    segment_->count_attached();
    if (header_.sweep_wanted.load(relaxed) == 0) return got;
    sweep();
    got = pool_.allocate(static_cast<std::uint32_t>(pages), PageUse::run);
    if (got.first == no_page) return got;
  }
  run = {got.first, static_cast<std::uint32_t>(pages), size};
  return got;
}

void Stream::release(const RunReference& run) {
  const std::uint64_t lent = pool_.lent_bytes();
  pool_.free(run.first, run.pages);
  // Of room that was lent nobody is told by a take.
  if (counts_lent() && pool_.lent_bytes() < lent) header_.not_full.notify(INT_MAX);
}

bool Stream::lend(const RunReference* runs, std::uint32_t count) {
  const std::uint64_t half = counts_lent() ? header_.max_bytes / page_size / 2 : segment_->page_count() / 2;
  return pool_.lend(runs, count, half);
}

void Stream::sweep() {
  bool freed = false;
  if (!lock_both(segment_->sweep_patience)) return;  // it stays wanted
  if (header_.sweep_wanted.load(relaxed) != 0) {
    const std::uint64_t lent = pool_.lent_bytes();
    Pool::Live live;
    if (find_live(live)) pool_.sweep(live);  // else it stays wanted
    freed = pool_.lent_bytes() < lent;
  }
  unlock_both();
  if (freed) header_.not_full.notify(INT_MAX);
}

void Stream::let_items_gather() {
  if (many() == Patience::most_many && !header_.not_empty.has_sleepers())
    gathering_to_get_.gather([this] { return depth() > 1; });
}

template <class Ready_, class Several>
Waited Stream::wait(Waiting waiting, Nanoseconds deadline, Slices& slices, Ready_ is_ready, Several several) {
  const auto [event, ours, others, side, patience, gathering] = waiting;
  if (slices.first()) {
    ours.note_processor();
    Spin& spin = has_woken_.exchange(false, relaxed) ? spin_after_wake_ : spin_;
    // Where the other side was last seen on this very processor, it does not run before this one sleeps.
    if (others.is_on(current_processor()) || !event.spin(spin, is_ready)) {
      side.waits.fetch_add(1, relaxed);  // relaxed: a statistic
    } else if (many() == Patience::most_many && !event.has_sleepers()) {
      gathering.gather(several);
    }
    return Waited::again;
  }
  const std::uint32_t epoch = event.announce();
  if (is_ready()) return Waited::again;
  const Nanoseconds start = monotonic_now();
  // Somebody must look whether the producers are alive.
  Nanoseconds until = deadline;
  if (&side == &header_.consumers && producers_.armed() && until - look_every > start) until = start + look_every;
  const bool for_room = &side == &header_.producers;
  const Nanoseconds longest = for_room ? Patience::most_for_room : Patience::most;
  const bool patient = many() >= (for_room ? Patience::least_room : Patience::least_many) && until - longest > start &&
                       patience.begin(start);
  if (patient) {
    until = start + longest;
    ours.patient_until.store(until, relaxed);
    CONVEYOR_KILL_POINT("wait.patient");
  }
  Waited result = event.sleep(epoch, until, slices);
  const Nanoseconds end = monotonic_now();
  if (patient) {
    CONVEYOR_KILL_POINT("wait.patient-over");
    ours.patient_until.store(0, relaxed);
    const bool found = several();
    patience.learn(found);
    CONVEYOR_KILL_POINT("wait.patient-looked");
    // Of what was left for this one others are not told, and it may come back late: there may be much to copy first.
    if (found && event.has_sleepers()) event.notify(1);
  }
  patience.woken(end);
  ours.note_processor();
  if (until != deadline && result == Waited::timed_out) result = Waited::again;
  side.blocked_nanoseconds.fetch_add(static_cast<std::uint64_t>(end - start), relaxed);
  return result;
}

std::uint64_t Stream::many() const { return std::min<std::uint64_t>(header_.max_items, Patience::most_many); }

void Stream::tell_consumers(int count) {
  if (header_.not_empty.notify_after_exchange_unless(
          count, [this] { return header_.waiting_consumers.is_patient(monotonic_now()) && depth() < many(); }))
    note_wake(header_.waiting_producers);
}

void Stream::tell_producers(int count) {
  if (header_.not_full.notify_after_exchange_unless(count, [this] {
        if (header_.max_bytes != unbounded || !header_.waiting_producers.is_patient(monotonic_now())) return false;
        const std::uint64_t waiting = depth();
        // Who runs on this very processor takes it from us when it is woken: then there shall be room for as much as there
        // can be. Who comes on another one needs some time for it, in which there is still something to take.
        const bool here = header_.waiting_producers.is_on(current_processor());
        return waiting < header_.max_items && header_.max_items - waiting < (here ? many() : (many() + 1) / 2);
      }))
    note_wake(header_.waiting_consumers);
}

void Stream::note_wake(WaitingSide& ours) {
  ours.note_processor();
  has_woken_.store(true, relaxed);  // relaxed: a guess, shared by threads
}

Waited Stream::wait_not_empty(Nanoseconds deadline, Slices& slices) {
  // What the dead held is found by those who wait.
  const Nanoseconds until = std::min(deadline, wake_for_leases());
  // Who waits goes on with nothing: what was left asleep is told now.
  if (header_.not_full.has_sleepers() && !full()) header_.not_full.notify(1);
  const Waiting waiting{header_.not_empty, header_.waiting_consumers, header_.waiting_producers,
                        header_.consumers, patience_to_get_,          gathering_to_get_};
  const Waited result = wait(
      waiting, until, slices, [this] { return something_to_tell(); }, [this] { return !held_back() && depth() > 1; });
  return result == Waited::timed_out && until != deadline ? Waited::again : result;
}

Waited Stream::wait_not_full(std::uint64_t payload, Nanoseconds deadline, Slices& slices) {
  if (header_.not_empty.has_sleepers() && !empty()) header_.not_empty.notify(1);
  const Waiting waiting{header_.not_full,  header_.waiting_producers, header_.waiting_consumers,
                        header_.producers, patience_to_put_,          gathering_to_put_};
  const Waited result = wait(
      waiting, deadline, slices, [this, payload] { return has_room(payload) || ended(); },
      // A bound of bytes is no matter of places, and nobody leaves it at that (tell_producers).
      [this] { return header_.max_bytes == unbounded && depth() + 1 < header_.max_items; });
  // What the dead were lent comes back by the sweep alone.
  if (counts_lent() && pool_.lent_bytes() != 0 && !has_room(payload)) {
    segment_->count_attached();
    sweep_if_wanted();
  }
  return result;
}

void Stream::pass_on() {
  if (!empty()) header_.not_empty.notify(1);
  if (!full()) header_.not_full.notify(1);
}

std::uint64_t Stream::depth() const { return in_stream() + header_.returned.load(acquire); }

std::uint64_t Stream::in_stream() const {
  // Head first: it only grows and never passes the tail, so the difference cannot be negative.
  const std::uint64_t head = count_of(header_.head.word.load(acquire));
  const std::uint64_t tail = count_of(header_.tail.word.load(acquire));
  return tail > head ? tail - head : 0;
}

template <class IsEmpty>
bool Stream::settled(IsEmpty is_empty) {
  if (!is_empty()) return false;
  look_after_leases();
  if (!is_empty()) return false;
  if (!ready_.watched()) return true;
  // A put may hold the ready lock between its token and its commit: once we have the lock, it has committed.
  bool found = false;
  ready_.settle([&] {
    const bool nothing = nothing_to_tell();
    found = is_empty();
    return found && nothing;
  });
  return found;
}

bool Stream::settled_empty() {
  return settled([this] { return empty(); });
}

bool Stream::nothing_to_take() {
  return settled([this] { return empty() || held_back(); });
}

void Stream::pause() {
  header_.paused.store(1, relaxed);  // relaxed: a take that is under way is of before
  if (ready_.watched()) ready_.settle([this] { return nothing_to_tell(); });
}

bool Stream::resume() {
  // The token first, as for an item: what a death can leave is one too many.
  const bool watched = ready_.watched() && !empty();
  if (watched && !ready_.begin_put()) return false;
  CONVEYOR_KILL_POINT("resume.before-commit");
  header_.paused.store(0, relaxed);  // relaxed: N1 of sync point "event-count" for those who sleep
  CONVEYOR_KILL_POINT("resume.committed");
  if (watched) ready_.end_put();
  header_.not_empty.notify(INT_MAX);
  return true;
}

std::uint64_t Stream::bytes_waiting() const {
  const std::uint64_t out = header_.head.bytes.load(acquire);
  const std::uint64_t in = header_.tail.bytes.load(acquire);
  return in > out ? in - out : 0;
}

bool Stream::has_room(std::uint64_t payload) const {
  const std::uint64_t waiting = depth();
  if (waiting >= header_.max_items) return false;
  return header_.max_bytes == unbounded || fits(bytes_waiting(), payload, waiting == 0);
}

// An item may always go into an empty queue: a taker that keeps what it was lent while it waits for more
// must get more. (What is larger than a hard bound is refused before.)
bool Stream::fits(std::uint64_t waiting, std::uint64_t payload, bool alone) const {
  const std::uint64_t lent = counts_lent() ? pool_.lent_bytes() : 0;
  return alone || waiting + lent + payload <= header_.max_bytes;
}

int Stream::watch() {
  if (ready_.watched()) return segment_->ready_fd() < 0 ? errno : 0;
  if (segment_->ready_fd() < 0) return errno;
  LockPatience patience(1'000'000'000, 1'000'000'000);
  if (!lock_both(patience)) return ETIMEDOUT;
  const bool started = ready_.start_watching(nothing_to_tell());
  unlock_both();
  return started ? 0 : ETIMEDOUT;
}

// -- the locks of the two sides, and what is done first under one that was a dead process's

Status Stream::lock(Side& side, Nanoseconds patience) {
  Locked got = side.lock.try_acquire();
  if (got == Locked::busy && patience != 0) {
    got = side.lock.acquire(deadline_after(patience));
  }
  if (got == Locked::busy) return Status::busy;
  if (got == Locked::interrupted) return Status::interrupted;
  return put_in_order(side, got);
}

Status Stream::put_in_order(Side& side, Locked got) {
  if (!enter(side, got)) {
    side.lock.unlock();
    return Status::no_memory;
  }
  if (!sound(side.state[0]) || !sound(side.state[1])) {
    side.lock.unlock();
    return Status::corrupt;
  }
  return Status::ok;
}

// Before anything else is done under a lock that was a dead process's. The side's state needs no repair: the
// published word selects a whole copy. Pages may be lost.
bool Stream::enter(Side& side, Locked got) {
  if (&side == &header_.consumers) return table_.enter(got);
  // relaxed from here: under the lock
  if (got == Locked::recovered) {
    header_.sweep_wanted.store(1, relaxed);
    header_.producers_owed.store(1, relaxed);
  }
  if (header_.producers_owed.load(relaxed) != 0) [[unlikely]] {
    producers_.recover(count_of(header_.tail.word.load(relaxed)));
    end_if_all_left();
    header_.producers_owed.store(0, relaxed);
    if (ended()) tell_of_end();
  }
  return true;
}

// Consumers' lock, producers' lock, and then the pool's or the ready lock: in this order everywhere.
bool Stream::lock_both(LockPatience& patience) {
  for (Side* const side : {&header_.consumers, &header_.producers}) {
    const Locked got = patience.acquire(side->lock);
    const bool locked = got == Locked::clean || got == Locked::recovered;
    if (locked && enter(*side, got)) continue;
    if (locked) side->lock.unlock();
    if (side == &header_.producers) header_.consumers.lock.unlock();
    return false;
  }
  return true;
}

void Stream::unlock_both() {
  header_.producers.lock.unlock();
  header_.consumers.lock.unlock();
}

void Stream::await_consumers_lock(Nanoseconds patience) {
  const Locked got = header_.consumers.lock.acquire(deadline_after(patience));
  if (got != Locked::clean && got != Locked::recovered) return;
  enter(header_.consumers, got);
  header_.consumers.lock.unlock();
}

}  // namespace conveyor
