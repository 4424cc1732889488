#include "conveyor/sync/semaphore.hpp"

#include <climits>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/sync/mutex.hpp"

namespace conveyor {

// All under the lock, whose release and acquire order it ("lock"); so all here is relaxed.

void Semaphore::initialise(std::uint32_t value, std::uint32_t bound) {
  cell_->capacity.store(value, relaxed);
  cell_->bound = bound;
}

std::uint32_t Semaphore::used() const {
  const std::uint32_t seen = cell_->used.load(relaxed);
  return seen > semaphore_places ? semaphore_places : seen;
}

std::int64_t Semaphore::free_units() const {
  std::int64_t free = cell_->capacity.load(relaxed);
  const std::uint32_t end = used();
  for (std::uint32_t i = 0; i < end; ++i) free -= cell_->places[i].count.load(relaxed);
  return free;
}

std::int64_t Semaphore::value() const {
  const std::int64_t free = free_units();
  return free < 0 ? 0 : free;
}

bool Semaphore::enter() {
  const Locked how = cell_->lock.acquire(monotonic_now() + lock_slice);
  if (how == Locked::interrupted || how == Locked::busy) return false;
  CONVEYOR_KILL_POINT("state.semaphore-locked");
  if (how == Locked::recovered) redo();
  return true;
}

void Semaphore::redo() {
  const std::uint64_t intent = cell_->intent.load(relaxed);
  const std::uint32_t place = static_cast<std::uint32_t>(intent & 0xff);
  if (place == 0 || place > semaphore_places) return;
  fold(place - 1, static_cast<std::int64_t>(intent) >> 8);
}

// Done again from the start it does the same.
void Semaphore::fold(std::uint32_t place, std::int64_t capacity) {
  cell_->intent.store(static_cast<std::uint64_t>(capacity) << 8 | (place + 1), relaxed);
  CONVEYOR_KILL_POINT("state.semaphore-fold-begun");
  cell_->capacity.store(capacity, relaxed);
  CONVEYOR_KILL_POINT("state.semaphore-fold-half");
  cell_->places[place].count.store(0, relaxed);
  cell_->places[place].owner.store(nobody, relaxed);
  cell_->intent.store(0, relaxed);
}

// What those who ended normally had, out of their places: these are for the living.
void Semaphore::gather_left() {
  const std::uint32_t end = used();
  for (std::uint32_t i = 0; i < end; ++i) {
    SemaphorePlace& place = cell_->places[i];
    const std::uint32_t count = place.count.load(relaxed);
    if (count == 0 || !is_left(place.owner.load(relaxed))) continue;
    fold(i, cell_->capacity.load(relaxed) - count);
    CONVEYOR_KILL_POINT("leave.semaphore-gathered");
    cell_->left.store(cell_->left.load(relaxed) + count, relaxed);
  }
}

void Semaphore::leave(OwnerId me) {
  const std::uint32_t end = used();
  for (std::uint32_t i = 0; i < end; ++i) {
    OwnerId owner = me;
    if (cell_->places[i].owner.compare_exchange_strong(owner, left_by(me), relaxed)) return;
  }
}

bool Semaphore::look_for_dead() {
  bool came_back = false;
  gather_left();
  const std::uint32_t end = used();
  for (std::uint32_t i = 0; i < end; ++i) {
    SemaphorePlace& place = cell_->places[i];
    const OwnerId owner = place.owner.load(relaxed);
    if (owner == nobody || is_alive(owner)) continue;
    const std::uint32_t count = place.count.load(relaxed);
    if (count != 0 && has_exited(owner)) {
      place.owner.store(left_by(owner), relaxed);
      gather_left();
      continue;
    }
    if (count != 0 && cell_->signals.load(relaxed) != 0) {
      fold(i, cell_->capacity.load(relaxed) - count);
      continue;
    }
    place.count.store(0, relaxed);  // the commit: they are free
    CONVEYOR_KILL_POINT("state.semaphore-came-back");
    place.owner.store(nobody, relaxed);
    came_back |= count != 0;
  }
  return came_back;
}

SemaphorePlace* Semaphore::own_place(bool make) {
  const OwnerId me = self();
  SemaphorePlace* vacant = nullptr;
  const std::uint32_t end = used();
  for (std::uint32_t i = 0; i < end; ++i) {
    SemaphorePlace& place = cell_->places[i];
    const OwnerId owner = place.owner.load(relaxed);
    if (owner == me) return &place;
    // A process that has none needs no place.
    if (vacant == nullptr && place.count.load(relaxed) == 0) vacant = &place;
  }
  if (!make) return nullptr;
  if (vacant == nullptr) {
    if (end == semaphore_places) return nullptr;
    vacant = &cell_->places[end];
    cell_->used.store(end + 1, relaxed);
  }
  vacant->owner.store(me, relaxed);
  CONVEYOR_KILL_POINT("state.semaphore-entered");
  return vacant;
}

Acquired Semaphore::take_locked(bool look) {
  bool came_back = false;
  if (free_units() <= 0) {
    if (!look) return Acquired::none;
    came_back = look_for_dead();
    if (free_units() <= 0) return Acquired::none;
  }
  SemaphorePlace* const place = cell_->signals.load(relaxed) != 0 ? nullptr : own_place(true);
  if (place != nullptr) {
    place->count.store(place->count.load(relaxed) + 1, relaxed);
  } else {
    // Used up, for all that we can tell; so it is too where more processes hold units than there are places.
    cell_->capacity.store(cell_->capacity.load(relaxed) - 1, relaxed);
  }
  CONVEYOR_KILL_POINT("state.semaphore-taken");
  return came_back ? Acquired::after_death : Acquired::taken;
}

Acquired Semaphore::attempt(bool look) {
  if (!enter()) return Acquired::interrupted;
  const Acquired how = take_locked(look);
  // What came back may be more than we took.
  const bool more = how == Acquired::after_death && free_units() > 0;
  cell_->lock.unlock();
  if (more) cell_->freed.notify(INT_MAX);
  return how;
}

Acquired Semaphore::acquire(Nanoseconds deadline, Slices& slices) {
  if (slices.first()) {
    if (const Acquired how = attempt(false); how != Acquired::none) return how;
  }
  for (;;) {
    // sync point "semaphore": announce, look, sleep; `release` stores the count and notifies then.
    const std::uint32_t epoch = cell_->freed.announce();
    if (const Acquired how = attempt(true); how != Acquired::none) return how;
    if (deadline <= monotonic_now()) return Acquired::none;
    if (cell_->freed.sleep(epoch, deadline, slices) == Waited::interrupted) return Acquired::interrupted;
  }
}

Semaphore::Released Semaphore::release(std::uint32_t count) {
  if (!enter()) return Released::interrupted;
  if (cell_->bound != 0 && free_units() + count > cell_->bound) {
    cell_->lock.unlock();
    return Released::too_many;
  }
  SemaphorePlace* const place = own_place(false);
  const std::uint32_t own = place == nullptr ? 0 : place->count.load(relaxed);
  if (own < count) gather_left();
  const std::uint32_t left = cell_->left.load(relaxed);
  if (own >= count) {
    place->count.store(own - count, relaxed);
  } else if (own == 0 && left >= count) {
    cell_->left.store(left - count, relaxed);
    CONVEYOR_KILL_POINT("leave.semaphore-given");
    cell_->capacity.store(cell_->capacity.load(relaxed) + count, relaxed);
  } else {
    if (cell_->signals.load(relaxed) == 0) cell_->signals.store(1, relaxed);
    CONVEYOR_KILL_POINT("state.semaphore-signals");
    cell_->capacity.store(cell_->capacity.load(relaxed) + count, relaxed);
  }
  CONVEYOR_KILL_POINT("state.semaphore-released");
  cell_->lock.unlock();
  // sync point "semaphore": the count was stored before.
  cell_->freed.notify_after_exchange(static_cast<int>(count > INT_MAX ? INT_MAX : count));
  return Released::done;
}

}  // namespace conveyor
