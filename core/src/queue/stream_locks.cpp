// The locks of a stream: taking them, and what is done first under one that was a dead process's.
#include "conveyor/base/deadline.hpp"
#include "conveyor/queue/stream.hpp"

namespace conveyor {

Status Stream::lock(Side& side, Nanoseconds patience) {
  Locked got = side.lock.try_acquire();
  if (got == Locked::busy && patience != 0) {
    got = side.lock.acquire(deadline_after(patience));
  }
  if (got == Locked::busy) return Status::busy;
  if (got == Locked::interrupted) return Status::interrupted;
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
