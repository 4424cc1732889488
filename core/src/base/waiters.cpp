#include "conveyor/base/waiters.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace conveyor {
namespace {

constexpr Nanoseconds waiters_look_every = 1'000'000'000;
constexpr std::uint64_t most_threads = std::uint64_t{1} << 22;  // the kernel's PID_MAX_LIMIT

WaiterSlot* take_slot(Waiters& waiters, OwnerId owner) {
  for (WaiterSlot& slot : waiters.slots) {
    OwnerId seen = slot.owner.load(relaxed);
    if (seen == nobody && slot.owner.compare_exchange_strong(seen, owner, relaxed)) return &slot;
  }
  return nullptr;
}

// Those of the dead become free.
void strike_out(Waiters& waiters) {
  LifeList alive;
  for (WaiterSlot& slot : waiters.slots) {
    OwnerId owner = slot.owner.load(relaxed);
    if (owner == nobody || alive(owner)) continue;
    slot.what.store(0, relaxed);
    slot.owner.compare_exchange_strong(owner, nobody, relaxed);
  }
}

}  // namespace

// relaxed here: nobody does anything by what it says, and who looks bears with words that do not fit together.
void WaitNote::take(Nanoseconds since) {
  const OwnerId owner = self();
  WaiterSlot* slot = take_slot(*waiters_, owner);
  if (slot == nullptr) {
    const Nanoseconds now = monotonic_now();
    Nanoseconds next = waiters_->next_look.load(relaxed);
    // Unsigned: what was read may be damaged, and then is of the past as well as of a far future.
    if (static_cast<std::uint64_t>(next) - static_cast<std::uint64_t>(now) <
        static_cast<std::uint64_t>(waiters_look_every))
      return;
    if (!waiters_->next_look.compare_exchange_strong(next, now + waiters_look_every, relaxed)) return;
    strike_out(*waiters_);
    slot = take_slot(*waiters_, owner);
    if (slot == nullptr) return;
  }
  const auto thread = static_cast<std::uint64_t>(syscall(SYS_gettid));
  slot->since.store(since, relaxed);
  slot->what.store(thread << 8 | static_cast<std::uint64_t>(what_), relaxed);
  slot_ = slot;
  forks_ = fork_generation();
}

void WaitNote::leave() {
  if (forks_ != fork_generation()) return;
  OwnerId owner = self();
  slot_->what.store(0, relaxed);
  slot_->owner.compare_exchange_strong(owner, nobody, relaxed);
}

std::vector<Waiter> waiters_in(const Waiters& waiters) {
  std::vector<Waiter> found;
  for (const WaiterSlot& slot : waiters.slots) {
    const std::uint64_t what = slot.what.load(relaxed);
    const Waiter one{slot.owner.load(relaxed), static_cast<std::uint32_t>(what >> 8),
                     static_cast<WaitsFor>(what & 0xff), slot.since.load(relaxed)};
    if (one.owner == nobody || what >> 8 == 0 || what >> 8 > most_threads || *name_of(one.what) == '\0') continue;
    found.push_back(one);
  }
  return found;
}

const char* name_of(WaitsFor what) {
  switch (what) {
    case WaitsFor::nothing: break;
    case WaitsFor::item: return "item";
    case WaitsFor::room: return "room";
    case WaitsFor::tasks: return "tasks";
    case WaitsFor::event: return "event";
    case WaitsFor::log_room: return "room";
    case WaitsFor::state: return "state";
    case WaitsFor::change: return "change";
    case WaitsFor::claim: return "claim";
  }
  return "";
}

}  // namespace conveyor
