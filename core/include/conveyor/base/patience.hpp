// Waiting for more than one: who sleeps and wakes for each item asks, for a moment, to be woken for many.
//
// On a processor that both sides share, or that others want, each wake-up is a switch of processes: a consumer woken by
// the first of eight items pre-empts the producer, takes the one and sleeps again. A patient sleeper publishes a time,
// not longer than `Patience::most` away, when it will look by itself. Until then a notifier may leave it asleep while
// there is less than it hopes for. One who waits for room is patient for longer (`most_for_room`) than one who waits for
// items: while places are kept from it, items are there to be taken. Nothing depends on that time but this: a sleeper that
// publishes it does not sleep longer. So a notifier that dies, or has nothing more to do, delays its peer by so much at most. A sleeper that dies in
// that time leaves what was meant for it to the next look of another, as one does that dies just after it was woken.
//
// Only who was woken a moment ago is patient, so that an item that comes to an idle queue wakes its consumer at once;
// and only as long as it finds several when it wakes up: one that did not is not patient again for the next 1, 3, 7 ... sleeps.
#pragma once

#include <algorithm>
#include <cstdint>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/waiting_side_layout.hpp"

namespace conveyor {

// What a process has learned of its waits on one side.
class Patience {
 public:
  static constexpr Nanoseconds most = 50'000;
  // Of one who waits for room. Behind the system's next tick, so that its timer costs nothing.
  static constexpr Nanoseconds most_for_room = longest_patience;
  // A spinner that met what it waits for lets so much time pass for more. The longer, the sooner it would do so again.
  static constexpr Nanoseconds least_gathering = 500, most_gathering = 10'000;
  // How many items, or places, end a patient sleep at the latest. Where a queue has room for less than `least_many`, the
  // timer of such a sleep costs more than the switches that it saves.
  static constexpr std::uint64_t least_many = 4, least_room = 2, most_many = 64;

  // Whether the sleep that begins now is to be a patient one. relaxed here and below: guesses, shared by threads
  bool begin(Nanoseconds now) { return now - woken_.load(relaxed) <= most && is_due(); }
  // Whether it is worth trying, by what was learned.
  bool is_due() {
    const std::uint32_t left = left_out_.load(relaxed);
    if (left == 0) return true;
    left_out_.store(left - 1, relaxed);
    return false;
  }
  void woken(Nanoseconds now) { woken_.store(now, relaxed); }
  void learn(bool several) {
    const std::uint32_t next = several ? 0 : next_.load(relaxed) * 2 + 1;
    next_.store(next < most_left_out ? next : most_left_out, relaxed);
    left_out_.store(next_.load(relaxed), relaxed);
  }
  // Who takes each item as it comes shares every cache line with its producer, and takes three times as long: lets a few
  // gather, if that brought several the last time.
  template <class Several>
  void gather(Several several) {
    if (!is_due()) return;
    const Nanoseconds start = monotonic_now();
    const Nanoseconds time = next_gathering(start);
    while (monotonic_now() - start < time) cpu_pause();
    gathered(start + time, time);
    learn(several());
  }
  // For how long, if it begins now. How many items are enough depends on how far apart the two processors are: a cache line
  // moves from one to the other in some 40 ns where they share a cache, in 200 where they do not (benchmarks/cache_lines.c),
  // and a virtual machine's change from the one to the other by themselves. With too few the two meet again at once.
  Nanoseconds next_gathering(Nanoseconds now) const {
    const Nanoseconds last = gathering_.load(relaxed);
    const bool soon = now - gathered_.load(relaxed) < apart * last;
    return soon ? std::min(last * 2, most_gathering) : std::max(last / 2, least_gathering);
  }
  void gathered(Nanoseconds end, Nanoseconds time) {
    gathering_.store(time, relaxed);
    gathered_.store(end, relaxed);
  }

 private:
  static constexpr std::uint32_t most_left_out = 1023;
  static constexpr Nanoseconds apart = 16;  // times as long as it took
  Atomic<Nanoseconds> woken_{0}, gathered_{0}, gathering_{least_gathering};
  Atomic<std::uint32_t> left_out_{0}, next_{0};
};

}  // namespace conveyor
