#include "conveyor/sync/condition.hpp"

#include <algorithm>
#include <climits>

#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

constexpr WaitStage stage_of(std::uint64_t word) { return static_cast<WaitStage>(word & 3); }
constexpr std::uint64_t with_stage(std::uint64_t word, WaitStage stage) {
  return (word & ~std::uint64_t{3}) | static_cast<std::uint64_t>(stage);
}

}  // namespace

Condition::Waiter Condition::enter() {
  const OwnerId me = self();
  const std::uint64_t ticket = cell_->tickets.fetch_add(1, relaxed);
  // First those that are free, then those of the dead that were not notified: a notification is to be inherited.
  for (const bool also_dead : {false, true}) {
    for (std::uint32_t i = 0; i < condition_places; ++i) {
      ConditionPlace& place = cell_->places[i];
      OwnerId owner = place.owner.load(relaxed);
      if (owner != nobody &&
          (!also_dead || stage_of(place.word.load(relaxed)) == WaitStage::notified || is_alive(owner)))
        continue;
      if (!place.owner.compare_exchange_strong(owner, me, relaxed)) continue;
      CONVEYOR_KILL_POINT("state.condition-entered");
      place.word.store(ticket << 2 | static_cast<std::uint64_t>(WaitStage::waiting), relaxed);
      CONVEYOR_KILL_POINT("state.condition-waiting");
      return {i, 0};
    }
  }
  cell_->crowd.fetch_add(1, relaxed);
  return {condition_places, cell_->any.announce()};
}

Waited Condition::wait(const Waiter& waiter, Nanoseconds deadline, Slices& slices) {
  if (waiter.place == condition_places) {
    // A notifier that died before it woke us has changed the epoch: the next sleep returns at once.
    return cell_->any.sleep(waiter.epoch, deadline, slices);
  }
  // sync point "notified": acquires what the notifier did before; release in notify.
  const std::uint64_t word = cell_->places[waiter.place].word.load(acquire);
  if (stage_of(word) != WaitStage::waiting) return Waited::again;
  const Nanoseconds now = monotonic_now();
  if (deadline <= now) return Waited::timed_out;
  const Nanoseconds slice = slices.next();
  switch (futex_wait(futex(waiter.place), static_cast<std::uint32_t>(word), std::min(slice, deadline - now))) {
    case FutexWait::interrupted: return Waited::interrupted;
    case FutexWait::timed_out: return inherit(waiter.place) ? Waited::again : Waited::interrupted;
    default:
      return stage_of(cell_->places[waiter.place].word.load(acquire)) != WaitStage::waiting ? Waited::again
                                                                                            : Waited::interrupted;
  }
}

// One who was notified and died before it had the lock: what it was told, we are told.
bool Condition::inherit(std::uint32_t own) {
  for (std::uint32_t i = 0; i < condition_places; ++i) {
    ConditionPlace& place = cell_->places[i];
    OwnerId owner = place.owner.load(relaxed);
    if (i == own || owner == nobody || stage_of(place.word.load(relaxed)) != WaitStage::notified || is_alive(owner))
      continue;
    ConditionPlace& ours = cell_->places[own];
    std::uint64_t word = ours.word.load(relaxed);
    // Ours is marked before theirs is free: a death in between leaves two notified, and so one too many.
    if (stage_of(word) == WaitStage::waiting &&
        !ours.word.compare_exchange_strong(word, with_stage(word, WaitStage::notified), acq_rel, relaxed))
      return true;  // notified ourselves meanwhile
    CONVEYOR_KILL_POINT("state.condition-inherited");
    if (place.owner.compare_exchange_strong(owner, nobody, relaxed)) return true;
    // Another inherited it at the same moment. We may return without having been chosen: rarely, and never in vain.
    return true;
  }
  return false;
}

bool Condition::leave(const Waiter& waiter) {
  if (waiter.place == condition_places) {
    cell_->crowd.fetch_sub(1, relaxed);
    return false;
  }
  ConditionPlace& place = cell_->places[waiter.place];
  const bool notified = stage_of(place.word.load(acquire)) == WaitStage::notified;
  CONVEYOR_KILL_POINT("state.condition-leaving");
  place.word.store(0, relaxed);
  place.owner.store(nobody, release);
  return notified;
}

void Condition::notify(std::uint32_t count) {
  std::uint64_t passed = 0;  // tickets up to here are done with
  while (count != 0) {
    // The longest waiting of those not done with.
    std::uint32_t best = condition_places;
    std::uint64_t best_ticket = UINT64_MAX;
    for (std::uint32_t i = 0; i < condition_places; ++i) {
      const ConditionPlace& place = cell_->places[i];
      if (place.owner.load(relaxed) == nobody) continue;
      const std::uint64_t word = place.word.load(relaxed);
      if (stage_of(word) != WaitStage::waiting) continue;
      if ((word >> 2) + 1 <= passed || word >> 2 >= best_ticket) continue;
      best = i;
      best_ticket = word >> 2;
    }
    if (best == condition_places) break;
    passed = best_ticket + 1;
    ConditionPlace& place = cell_->places[best];
    OwnerId owner = place.owner.load(relaxed);
    if (!is_alive(owner)) {
      place.owner.compare_exchange_strong(owner, nobody, relaxed);
      continue;
    }
    std::uint64_t word = place.word.load(relaxed);
    // sync point "notified": release; the waiter acquires it. It fails only against `inherit` of that very waiter.
    if (stage_of(word) == WaitStage::waiting &&
        place.word.compare_exchange_strong(word, with_stage(word, WaitStage::notified), acq_rel, relaxed)) {
      CONVEYOR_KILL_POINT("state.condition-notified");
      futex_wake(futex(best), 1);
      --count;
    }
  }
  // A crowd member that died stays counted: that costs later notifiers a system call.
  if (count != 0 && cell_->crowd.load(relaxed) != 0) cell_->any.notify(INT_MAX);
}

std::uint32_t Condition::waiting() const {
  std::uint32_t found = cell_->crowd.load(relaxed);
  for (const ConditionPlace& place : cell_->places)
    found += place.owner.load(relaxed) != nobody && stage_of(place.word.load(relaxed)) == WaitStage::waiting ? 1 : 0;
  return found;
}

}  // namespace conveyor
