// Event count: all blocking on the state of a queue lives here.
//
// A waiter announces itself, looks at the state once more, and only then sleeps; a notifier
// changes the state first and looks for waiters afterwards. Told as numbered events:
//
//   waiter    W1 read epoch      W2 sleepers += 1   W3 full fence   W4 look at the state   W5 sleep if epoch is unchanged
//   notifier  N1 change state    N2 full fence      N3 read sleepers; if not served: N4 epoch += 1, N5 wake
//
// sync point "event-count": W2..W4 against N1..N3. The two fences order them, so either N3 sees
// the waiter, or W4 sees the change; they cannot both miss. If N3 saw it, N4 makes W5 return.
//
// `sleepers` only grows: each announcement is a ticket. `served` follows it: a wake-up that finds fewer
// asleep than it would wake has served every ticket that it saw in N3, for such a waiter has been woken or
// is turned back by the new epoch. While the two differ, somebody may be asleep. A waiter that announces
// itself later has a higher ticket, and nobody late can strike it off. A process that dies asleep costs
// one system call of a later notifier, and nothing after that.
//
// A spinner is a waiter that is awake: while there is one, N3 wakes nobody for a single item. It takes
// its mark away before its last look at the state, with a full fence between, so the same argument holds
// for it: either the notifier sees no spinner and looks for sleepers, or the spinner sees the change. A
// spinner that dies leaves a mark that says until when it meant to spin; past that it counts for nothing.
//
// No sleep lasts longer than a slice, so a notifier that dies between N1 and N5 delays its peers
// by that slice and cannot strand them.
#pragma once

#include <cstdint>
#include <utility>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/waiters.hpp"

namespace conveyor {

// CPUs that this process may run on; spinning on one CPU only keeps the peer from running.
unsigned usable_cpus();

enum class Waited {
  again,  // look at the state again
  timed_out,
  interrupted,  // look for signals, and call again: one has come, or a slice is over
};

// The progress of one wait: first a spin, then sleeps of growing length, so that a long wait costs
// almost nothing. After each the caller gets control, and looks for signals.
//
// A signal interrupts a sleep; one that comes between the look and the sleep interrupts nothing, and is heard after
// that. In the beginning, where much may lie in between, the sleeps are short. Later on they are long, and what lies in
// between is a microsecond. A caller that was held up there (others wanted the GIL, or the processor) sleeps short once more.
class Slices {
 public:
  explicit Slices(Nanoseconds longest_slice = longest) : longest_(longest_slice) {}
  // With a note of the wait there, once its first slice is over.
  Slices(Waiters& waiters, WaitsFor what, Nanoseconds longest_slice = longest)
      : longest_(longest_slice), note_(waiters, what) {}
  bool first() { return !std::exchange(begun_, true); }
  // The caller looks for signals now.
  void looked(Nanoseconds now = monotonic_now()) { looked_ = now; }
  Nanoseconds next(Nanoseconds now = monotonic_now()) {
    Nanoseconds& current = now - looked_ < moment ? current_ : current_after_delay_;
    const Nanoseconds slice = current;
    current = slice * 2 > longest_ ? longest_ : slice * 2;
    if (since_ == 0) {
      since_ = now;
    } else if (now - since_ >= shortest) {
      note_.write(since_);
    }
    return slice;
  }
  static constexpr Nanoseconds shortest = 10'000'000;
  static constexpr Nanoseconds longest = 2'000'000'000;
  static constexpr Nanoseconds moment = 50'000;

 private:
  Nanoseconds longest_;
  // Both grow: where one is held up every time, that is how it is, and not worth a processor.
  Nanoseconds current_ = shortest, current_after_delay_ = shortest;
  Nanoseconds looked_ = 0, since_ = 0;
  bool begun_ = false;
  WaitNote note_;
};

// How long to spin: learns from whether the last spins met what they waited for.
class Spin {
 public:
  static constexpr Nanoseconds most = 60'000;
  Nanoseconds budget() {
    // When spinning seems useless, still try in earnest now and then: the peer may have come back.
    // relaxed here and below: guesses, shared by threads
    const Nanoseconds now = budget_.load(relaxed);
    return now <= least && tries_.fetch_add(1, relaxed) % 16 == 0 ? first : now;
  }
  void learn(Nanoseconds spent, bool met) {
    const Nanoseconds next = met ? spent * 2 : spent / 2;
    budget_.store(next > most ? most : next < least ? least : next, relaxed);
  }

 private:
  static constexpr Nanoseconds least = 2'000, first = most;
  Atomic<Nanoseconds> budget_{first};
  Atomic<std::uint32_t> tries_{0};
};

class EventCount {
 public:
  // W1..W3 of sync point "event-count". The caller looks at the state next, and calls `sleep` only if it still has to wait.
  std::uint32_t announce() {
    const std::uint32_t epoch = epoch_.load(acquire);
    sleepers_.fetch_add(1, relaxed);  // relaxed: the fence below orders it
    full_fence();
    return epoch;
  }

  // W5, for one slice at most.
  Waited sleep(std::uint32_t epoch, Nanoseconds deadline, Slices& slices);

  // N2..N5 of sync point "event-count"; the caller has done N1.
  void notify(int count) {
    full_fence();
    notify_fenced(count, [] { return false; });
  }
  // The same after a locked exchange, which orders like a fence where the processor says so.
  void notify_after_exchange(int count) {
    notify_after_exchange_unless(count, [] { return false; });
  }
  // `leave_asleep` is asked only if somebody may sleep. True: whoever sleeps looks by itself soon (patience.hpp). Returns
  // whether somebody may have been woken.
  template <class LeaveAsleep>
  bool notify_after_exchange_unless(int count, LeaveAsleep leave_asleep) {
    fence_after_exchange();
    return notify_fenced(count, leave_asleep);
  }

  bool has_sleepers() const { return sleepers_.load(relaxed) != served_.load(relaxed); }

  // Looks at the state again and again for a while, unless somebody else does: one spinner is as
  // good as many and leaves the other processors to those who have work. True: it is ready.
  template <class Ready>
  bool spin(Spin& learned, Ready ready) {
    if (ready()) return true;
    static const bool may_spin = usable_cpus() > 1;
    if (!may_spin) return false;
    const Nanoseconds budget = learned.budget();
    const Nanoseconds end = monotonic_now() + budget;
    if (!begin_spin(end)) return false;
    bool met = false;
    do {
      for (int turn = 0; turn < 16 && !met; ++turn) {
        cpu_pause();
        met = ready();
      }
    } while (!met && monotonic_now() < end);
    end_spin();
    learned.learn(budget, met);
    return met;
  }

 private:
  template <class LeaveAsleep>
  bool notify_fenced(int count, LeaveAsleep leave_asleep) {
    const std::uint32_t seen = sleepers_.load(relaxed);  // relaxed: the caller's fence orders both
    if (seen == served_.load(relaxed)) return false;
    // A spinner sees the change by itself; what it leaves, it tells of (Stream::take, Stream::put).
    if (count == 1 && is_spun()) return false;
    if (leave_asleep()) return false;
    wake(seen, count);
    return true;
  }
  bool is_spun() const {
    const Nanoseconds end = spinner_.load(relaxed);
    if (end == 0) return false;
    // An end that no spinner can have set is damage. Unsigned: the difference may be of any size.
    const auto left = static_cast<std::uint64_t>(end) - static_cast<std::uint64_t>(monotonic_now()) + overdue;
    return left < static_cast<std::uint64_t>(overdue + Spin::most);
  }
  void wake(std::uint32_t seen, int count);
  bool begin_spin(Nanoseconds end);
  void end_spin();

  // A spinner this long past its end has died, or is kept from running.
  static constexpr Nanoseconds overdue = 1'000'000;

  Atomic<std::uint32_t> epoch_;
  Atomic<std::uint32_t> sleepers_;
  Atomic<std::uint32_t> served_;
  std::uint32_t reserved_ = 0;
  // When the spinner will stop, or 0. A spinner that died is known by a time long past.
  Atomic<Nanoseconds> spinner_;
};

}  // namespace conveyor
