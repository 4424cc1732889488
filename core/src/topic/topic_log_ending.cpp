// The end of a topic, and those who bring it about. As stream_ending.cpp has it for a queue, with one lock and no drop.
#include <vector>

#include "conveyor/topic/topic_log.hpp"

namespace conveyor {
namespace {

// How long to try for the lock when somebody in it has died: longer than its slice (lock.cpp).
constexpr Nanoseconds look_patience = 20'000'000;

}  // namespace

// Before anything else is done under a lock that was a dead publisher's. Of the log it has changed nothing but what lies
// behind the tail, and `oldest`, which is as good.
void TopicLog::recovered() {
  if (!producers_.armed()) return;
  const std::uint64_t word = header_.tail.load(relaxed);  // relaxed: stored under the lock
  producers_.recover(header_.state[word & 1].number.load(relaxed));
  end_if_all_left();
  if (ended()) tell_of_end();
}

void TopicLog::end_locked() {
  // sync point "topic-end": release here, acquire in `ended`. Under the lock, so that all that was published
  // before was published before, and who was lost is marked.
  header_.ended.store(1, release);
  CONVEYOR_KILL_POINT("topic.ended");
}

void TopicLog::tell_of_end() {
  CONVEYOR_KILL_POINT("topic.end-untold");
  header_.not_empty.notify(INT32_MAX);
  header_.not_full.notify(INT32_MAX);
}

Status TopicLog::end(Nanoseconds patience) {
  // A loss that nobody has noticed yet must not be taken for an end.
  std::vector<Producers::Dead> dead;
  if (!ended() && producers_.armed()) dead = producers_.find_dead();
  Status status = Status::ok;
  if (!lock(patience, status)) return status;
  if (!ended()) {
    for (const Producers::Dead& each : dead) producers_.bury(each);
    end_locked();
  }
  header_.lock.unlock();
  tell_of_end();
  return Status::ok;
}

Status TopicLog::enter_producing(bool counts, Nanoseconds patience) {
  Status status = Status::ok;
  if (!lock(patience, status)) return status;
  const bool first = !producers_.armed();
  if (ended()) {
    status = Status::shut_down;
  } else {
    status = entering_status(producers_.enter(counts));
  }
  header_.lock.unlock();
  // Those who sleep shall from now on sleep shorter, and look.
  if (first && status == Status::ok) header_.not_empty.notify(INT32_MAX);
  return status;
}

Status TopicLog::leave_producing(Nanoseconds patience) {
  Status status = Status::ok;
  if (!lock(patience, status)) return status;
  producers_.leave();
  end_if_all_left();
  header_.lock.unlock();
  if (ended()) tell_of_end();
  return Status::ok;
}

Status TopicLog::expect_producers(std::uint32_t count, Nanoseconds patience) {
  Status status = Status::ok;
  if (!lock(patience, status)) return status;
  const bool late = ended();
  if (!late) {
    producers_.expect(count);
    end_if_all_left();
  }
  header_.lock.unlock();
  if (late) return Status::shut_down;
  if (ended()) {
    tell_of_end();
  } else {
    header_.not_empty.notify(INT32_MAX);  // as in enter_producing
  }
  return Status::ok;
}

bool TopicLog::look_is_due() {
  if (!producers_.armed() || ended()) return false;
  // Less than a wait lasts, so that who sleeps alone looks after each. relaxed: one look too many does no harm
  constexpr Nanoseconds pause = look_every / 2;
  Nanoseconds next = header_.next_census.load(relaxed);
  return has_come(next, pause) &&
         header_.next_census.compare_exchange_strong(next, monotonic_now() + pause, relaxed, relaxed);
}

void TopicLog::look_for_lost() {
  const std::vector<Producers::Dead> dead = producers_.find_dead();
  if (dead.empty() && !producers_.unsettled()) return;
  Status status = Status::ok;
  if (!lock(look_patience, status)) return;  // next time
  // Once it has ended, somebody may have been told that nobody was lost.
  if (!ended()) {
    for (const Producers::Dead& each : dead) producers_.bury(each);
    end_if_all_left();
  }
  header_.lock.unlock();
  if (ended()) tell_of_end();
}

}  // namespace conveyor
