#include "conveyor/sync/barrier.hpp"

#include <climits>

#include "../memory/shared_file.hpp"
#include "conveyor/base/kill_point.hpp"
#include "conveyor/sync/mutex.hpp"

namespace conveyor {
namespace {

constexpr std::uint64_t broken_bit = 1ULL << 31;
constexpr std::uint32_t generation_of(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); }
constexpr std::uint32_t count_of(std::uint64_t word) { return static_cast<std::uint32_t>(word & (broken_bit - 1)); }
constexpr std::uint64_t next_generation(std::uint64_t word) { return ((word >> 32) + 1) << 32; }
constexpr std::uint64_t bit_of(std::uint32_t generation) { return 1ULL << (generation % 64); }

}  // namespace

Barrier::Barrier(BarrierCell& cell) : cell_(&cell), parties_(snapshot(cell.parties)) {
  if (parties_ == 0 || parties_ > most_parties || snapshot(cell.head).size < size_for(parties_))
    fail_corrupt("the barrier's parties do not fit");
}

// Nobody holds the lock while it sleeps or runs foreign code. All changes are one store of the word, so there is
// nothing to repair after a death.
bool Barrier::enter() {
  const Locked got = cell_->lock.acquire(monotonic_now() + lock_slice);
  return got == Locked::clean || got == Locked::recovered;
}

// sync point "barrier": release; acquire in `look`, `arrive`. A process that goes on has seen what all did before.
void Barrier::publish(std::uint64_t word) {
  cell_->word.store(word, release);
  CONVEYOR_KILL_POINT("state.barrier-published");
}

Met Barrier::arrive(Arrival& arrival) {
  if (!enter()) return Met::interrupted;
  const std::uint64_t word = cell_->word.load(acquire);
  if ((word & broken_bit) != 0) {
    cell_->lock.unlock();
    return Met::broken;
  }
  const std::uint32_t count = count_of(word);
  if (count >= parties_) {  // complete, and not open yet: the last is at its action. We are for the next generation
    arrival.generation = generation_of(word);
    cell_->lock.unlock();
    return Met::interrupted;
  }
  arrivals()[count].store(self(), relaxed);
  CONVEYOR_KILL_POINT("state.barrier-arrived");
  arrival = {generation_of(word), count, true};
  publish(word + 1);
  cell_->lock.unlock();
  return count + 1 == parties_ ? Met::last : Met::all;
}

// `all`: the generation that we arrived in is over; `interrupted`: it is not.
Met Barrier::look(const Arrival& arrival) {
  // sync point "barrier": acquires what `publish` released.
  const std::uint64_t word = cell_->word.load(acquire);
  if (generation_of(word) == arrival.generation) return (word & broken_bit) != 0 ? Met::broken : Met::interrupted;
  if (generation_of(word) - arrival.generation >= 64) return Met::broken;  // so long ago that nobody knows
  return (cell_->failed.load(relaxed) & bit_of(arrival.generation)) != 0 ? Met::broken : Met::all;
}

bool Barrier::somebody_died(const Arrival& arrival) {
  const std::uint64_t word = cell_->word.load(acquire);
  if (generation_of(word) != arrival.generation) return false;
  const std::uint32_t count = count_of(word) > parties_ ? parties_ : count_of(word);
  LifeList lives;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!lives(arrivals()[i].load(relaxed))) return true;
  }
  return false;
}

Met Barrier::wait(Arrival& arrival, Nanoseconds deadline, Slices& slices) {
  for (;;) {
    // sync point "event-count": announce, look, sleep.
    const std::uint32_t epoch = cell_->changed.announce();
    if (!arrival.arrived) {
      const Met met = arrive(arrival);
      if (met == Met::broken) return met;
      if (met == Met::last) {
        if (!somebody_died(arrival)) return met;
        return spoil() ? Met::broken : Met::interrupted;
      }
    } else if (const Met met = look(arrival); met != Met::interrupted) {
      return met;
    }
    if (deadline <= monotonic_now()) {
      const Met met = arrival.arrived ? look(arrival) : Met::interrupted;
      if (met != Met::interrupted) return met;
      return spoil() ? Met::timed_out : Met::interrupted;
    }
    const Waited how = cell_->changed.sleep(epoch, deadline, slices);
    if (how != Waited::again && somebody_died(arrival)) spoil();
    if (how == Waited::interrupted) return Met::interrupted;
  }
}

Met Barrier::open(const Arrival& arrival) {
  if (!enter()) return Met::interrupted;
  const std::uint64_t word = cell_->word.load(acquire);
  if (generation_of(word) != arrival.generation || (word & broken_bit) != 0) {
    cell_->lock.unlock();
    return Met::broken;
  }
  cell_->failed.fetch_and(~bit_of(arrival.generation), relaxed);
  publish(next_generation(word));
  cell_->lock.unlock();
  cell_->changed.notify_after_exchange(INT_MAX);
  return Met::all;
}

bool Barrier::spoil() {
  if (!enter()) return false;
  publish(cell_->word.load(acquire) | broken_bit);
  cell_->lock.unlock();
  cell_->changed.notify_after_exchange(INT_MAX);
  return true;
}

bool Barrier::reset() {
  if (!enter()) return false;
  const std::uint64_t word = cell_->word.load(acquire);
  const bool open = count_of(word) == 0;
  if (open) {
    publish(word & ~broken_bit);
  } else {
    cell_->failed.fetch_or(bit_of(generation_of(word)), relaxed);
    CONVEYOR_KILL_POINT("state.barrier-resetting");
    publish(next_generation(word));
  }
  cell_->lock.unlock();
  cell_->changed.notify_after_exchange(INT_MAX);
  return true;
}

std::uint32_t Barrier::waiting() const {
  const std::uint64_t word = cell_->word.load(acquire);
  return (word & broken_bit) != 0 ? 0 : count_of(word);
}

bool Barrier::is_broken() const { return (cell_->word.load(acquire) & broken_bit) != 0; }

}  // namespace conveyor
