// The end of a stream, and those who bring it about.
#include <climits>
#include <new>
#include <vector>

#include "conveyor/queue/stream.hpp"

namespace conveyor {
namespace {

// How long to try for the producers' lock when somebody in it has died: longer than its slice (lock.cpp).
constexpr Nanoseconds look_patience = 20'000'000;

struct RunsOnly {
  std::vector<RunReference> taken;
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t count, const std::byte*, std::size_t) {
    try {
      taken.insert(taken.end(), runs, runs + count);
    } catch (const std::bad_alloc&) {
      // These pages are this process's until it ends: better than a drop that is half done.
    }
    return true;
  }
};

}  // namespace

bool Stream::end(End how) {
  if (header_.ended.load(relaxed) >= static_cast<std::uint32_t>(how)) return true;
  // The token first, as for an item: what a death can leave is one too many.
  const bool watched = ready_.watched();
  if (watched && !ready_.begin_put()) return false;
  CONVEYOR_KILL_POINT("ended.before-commit");
  // sync point "ended": the commit. Every put that was, was before.
  header_.ended.store(static_cast<std::uint32_t>(how), conveyor::release);
  CONVEYOR_KILL_POINT("ended.committed");
  if (watched) ready_.end_put();
  return true;
}

void Stream::tell_of_end() {
  header_.not_empty.notify(INT_MAX);
  header_.not_full.notify(INT_MAX);
  header_.all_done.notify(INT_MAX);
}

Status Stream::shutdown(bool immediate, Nanoseconds patience) {
  // A loss that nobody has noticed yet must not be taken for an end.
  std::vector<Producers::Dead> dead;
  if (!ended() && producers_.armed()) dead = producers_.find_dead();
  Side& consumers = header_.consumers;
  Side& producers = header_.producers;
  if (immediate) {
    // In this order everywhere.
    if (const Status status = lock(consumers, patience); status != Status::ok) return status;
  }
  Status status = lock(producers, patience);
  if (status == Status::ok) {
    // Once it has ended, somebody may have been told that nobody was lost.
    if (!ended()) {
      for (const Producers::Dead& each : dead) producers_.bury(each);
    }
    if (!end(immediate ? End::drop : End::drain)) status = Status::busy;
    producers.lock.unlock();
  }
  if (immediate) consumers.lock.unlock();
  if (status != Status::ok) return status;
  CONVEYOR_KILL_POINT("ended.unlocked");
  if (immediate) finish_drop();
  tell_of_end();
  return Status::ok;
}

// Drops what is left after End::drop: by the first that comes, for the process that asked for it may have died.
std::uint64_t Stream::drop_locked() {
  std::uint64_t count = 0;
  for (std::uint32_t index = 0; index < table_.high(); ++index) {
    const LeaseStage stage = table_.word(index).stage;
    if (stage != LeaseStage::returned && stage != LeaseStage::delayed) continue;
    count += drop_item(index, true) ? 1 : 0;
  }
  CONVEYOR_KILL_POINT("ended.dropping");
  RunsOnly sink;
  std::size_t done = 0;
  take_locked(SIZE_MAX, sink, done, nullptr, true);
  CONVEYOR_KILL_POINT("ended.dropped");
  for (const RunReference& run : sink.taken) release(run);
  count += done;
  if (count > 0) header_.all_done.notify(INT_MAX);
  return count;
}

Status Stream::purge(std::uint64_t& count, Nanoseconds patience) {
  count = 0;
  segment_->note_getting();  // so that the runs are swept if we die with them
  look_after_leases();
  if (const Status status = lock(header_.consumers, patience); status != Status::ok) return status;
  count = drop_locked();
  // What came back and is gone made room, too.
  if (count > 0) header_.not_full.notify(INT_MAX);
  return Status::ok;
}

void Stream::finish_drop() {
  if (!dropped() || (empty() && !table_.any_out())) return;  // what is out may be delayed, and wait to be dropped
  segment_->note_getting();  // so that the runs are swept if we die with them
  // Held for longer than that, by a process that is stopped: the next that comes drops it.
  if (lock(header_.consumers, look_patience) == Status::ok) drop_locked();
}

Status Stream::enter_producing(bool counts, Nanoseconds patience) {
  if (const Status status = lock(header_.producers, patience); status != Status::ok) return status;
  const bool first = !producers_.armed();
  Status status = Status::ok;
  if (ended()) {
    status = Status::shut_down;
  } else {
    status = entering_status(producers_.enter(counts));
  }
  header_.producers.lock.unlock();
  // Those who sleep shall from now on sleep shorter, and look.
  if (first && status == Status::ok) header_.not_empty.notify(INT_MAX);
  return status;
}

Status Stream::leave_producing(Nanoseconds patience) {
  if (const Status status = lock(header_.producers, patience); status != Status::ok) return status;
  producers_.leave();
  end_if_all_left();
  header_.producers.lock.unlock();
  if (ended()) tell_of_end();
  return Status::ok;
}

Status Stream::expect_producers(std::uint32_t count, Nanoseconds patience) {
  if (const Status status = lock(header_.producers, patience); status != Status::ok) return status;
  const bool late = ended();
  if (!late) {
    producers_.expect(count);
    end_if_all_left();
  }
  header_.producers.lock.unlock();
  if (late) return Status::shut_down;
  if (ended()) tell_of_end();
  header_.not_empty.notify(INT_MAX);
  return Status::ok;
}

bool Stream::look_is_due() {
  if (!producers_.armed() || ended()) return false;
  const Nanoseconds now = monotonic_now();
  Nanoseconds last = looked_.load(relaxed);  // relaxed: one look too many does no harm
  return (last == 0 || now - last > look_every / 2) && looked_.compare_exchange_strong(last, now, relaxed);
}

void Stream::look_for_lost() {
  const std::vector<Producers::Dead> dead = producers_.find_dead();
  if (dead.empty() && !producers_.unsettled()) return;
  if (lock(header_.producers, look_patience) != Status::ok) return;  // next time
  if (!ended()) {
    for (const Producers::Dead& each : dead) producers_.bury(each);
    end_if_all_left();
  }
  header_.producers.lock.unlock();
  if (ended()) tell_of_end();
}

}  // namespace conveyor
