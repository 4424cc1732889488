// Event count: all blocking on the state of a queue lives here.
//
// A waiter announces itself, looks at the state once more, and only then sleeps; a notifier
// changes the state first and looks for waiters afterwards. Told as numbered events:
//
//   waiter    W1 read epoch      W2 sleepers += 1   W3 full fence   W4 look at the state   W5 sleep if epoch is unchanged
//   notifier  N1 change state    N2 full fence      N3 read sleepers; if not 0: N4 epoch += 1, N5 wake
//
// sync point "event-count": W2..W4 against N1..N3. The two fences order them, so either N3 sees
// the waiter, or W4 sees the change; they cannot both miss. If N3 saw it, N4 makes W5 return.
//
// `sleepers` is a mark, not a count: it grows with each waiter and goes back to 0 when a wake-up
// finds that fewer slept than it would wake. A process that dies asleep therefore costs one
// system call of a later notifier, and nothing after that.
//
// No sleep lasts longer than a slice, so a notifier that dies between N1 and N5 delays its peers
// by that slice and cannot strand them.
#pragma once

#include <cstdint>

#include "conveyor/atomic.hpp"

namespace conveyor {

enum class Waited { again, timed_out, interrupted };

// The lengths of successive sleeps of one wait, so that a long wait costs almost nothing.
class Slices {
 public:
  Nanoseconds next() {
    const Nanoseconds now = current_;
    current_ = current_ * 2 > longest ? longest : current_ * 2;
    return now;
  }
  static constexpr Nanoseconds shortest = 100'000'000;
  static constexpr Nanoseconds longest = 1'000'000'000;

 private:
  Nanoseconds current_ = shortest;
};

class EventCount {
 public:
  // W1..W3. The caller looks at the state next, and calls `sleep` only if it still has to wait.
  std::uint32_t announce() {
    const std::uint32_t epoch = epoch_.load(acquire);
    sleepers_.fetch_add(1, relaxed);  // relaxed: the fence below orders it
    full_fence();
    return epoch;
  }

  // W5. `again` means: look at the state again.
  Waited sleep(std::uint32_t epoch, Nanoseconds deadline, Slices& slices);

  // N2..N5; the caller has done N1.
  void notify(int count) {
    full_fence();
    const std::uint32_t seen = sleepers_.load(relaxed);  // relaxed: the fence above orders it
    if (seen != 0) wake(seen, count);
  }

  bool has_sleepers() const { return sleepers_.load(relaxed) != 0; }

 private:
  void wake(std::uint32_t seen, int count);

  Atomic<std::uint32_t> epoch_;
  Atomic<std::uint32_t> sleepers_;
};

// CPUs that this process may run on; spinning on one CPU only keeps the peer from running.
unsigned usable_cpus();

}  // namespace conveyor
