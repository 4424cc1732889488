// Pins: bytes of the log that somebody reads where they lie, for as long as it likes.
#include <algorithm>
#include <utility>
#include <vector>

#include "conveyor/topic/topic_log.hpp"

namespace conveyor {

// Whether an eighth of the log, or the largest event so far, still finds a place between what is pinned, if this is,
// too. Twice its size: the tail may stand in the middle of the gap, with too little of it ahead; then what is behind it
// must do, a lap later.
bool TopicLog::gap_remains(std::uint64_t position, std::uint64_t span) const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> pinned{{position & (capacity_ - 1), span}};
  for (std::uint32_t i = 0; i < pins_high(); ++i) {
    const Pin& pin = header_.pins[i];
    if (pin.owner.load(acquire) == nobody) continue;
    // relaxed: under the pins' lock
    pinned.emplace_back(pin.position.load(relaxed) & (capacity_ - 1), std::min(pin.size.load(relaxed), capacity_));
  }
  std::sort(pinned.begin(), pinned.end());
  const std::uint64_t largest = std::min(header_.largest.load(relaxed), most_span());
  const std::uint64_t wanted = 2 * (std::max(largest, capacity_ / 8) + record_unit);
  std::uint64_t free_from = 0;
  for (const auto& [begin, size] : pinned) {
    if (begin >= free_from && begin - free_from >= wanted) return true;
    free_from = std::max(free_from, begin + size);
  }
  return free_from < capacity_ && capacity_ - free_from >= wanted;
}

PinId TopicLog::pin(std::uint64_t position, std::uint64_t span, bool may_be_overrun, bool& overrun) {
  if (pins_patience_.acquire(header_.pins_lock) == Locked::busy) return {};
  PinId made;
  for (int tries = 0; tries < 2 && !made.valid(); ++tries) {
    if (gap_remains(position, span)) {
      std::uint32_t index = 0;
      while (index < pin_capacity && header_.pins[index].owner.load(acquire) != nobody) ++index;
      made.index = index;
    }
    if (made.valid() || tries != 0) break;
    LifeList alive;
    bool freed = false;
    for (std::uint32_t i = 0; i < pins_high(); ++i) {
      OwnerId owner = header_.pins[i].owner.load(acquire);
      if (owner != nobody && !alive(owner))
        freed |= header_.pins[i].owner.compare_exchange_strong(owner, nobody, release, relaxed);
    }
    if (!freed) break;
  }
  if (made.valid()) {
    Pin& pin = header_.pins[made.index];
    if (made.index >= pins_high()) header_.pins_high.store(made.index + 1, release);
    pin.position.store(position, relaxed);
    pin.size.store(span, relaxed);
    CONVEYOR_KILL_POINT("topic.pin-written");
    pin.owner.store(self(), release);
    CONVEYOR_KILL_POINT("topic.pinned");
  }
  header_.pins_lock.unlock();
  if (!made.valid() || !may_be_overrun) return made;
  full_fence();  // sync point "topic-window": between the pin and the look at `oldest`
  if (header_.oldest.load(acquire) <= position) return made;
  unpin(made);
  overrun = true;
  return {};
}

void TopicLog::unpin(PinId pin) {
  // sync point "topic-window": release here, acquire in `conflict`. The bytes were read before.
  header_.pins[pin.index].owner.store(nobody, release);
  header_.not_full.notify(INT32_MAX);
}

}  // namespace conveyor
