// Number: one integer or floating-point number that all can see, changed in one step, and waited for.
#pragma once

#include <climits>
#include <cmath>
#include <type_traits>

#include "conveyor/cells.hpp"
#include "conveyor/kill_point.hpp"
#include "conveyor/mutex.hpp"

namespace conveyor {

template <class T>
class Number {
 public:
  explicit Number(NumberCell& cell) : cell_(&cell) {}

  // sync point "number": every change releases what its process did before; every look acquires it.
  T load() const { return word().load(acquire); }
  void store(T value) { exchange(value); }
  T exchange(T value) {
    const T before = word().exchange(value, acq_rel);
    changed();
    return before;
  }
  // True: it was equal to `expected`, and is `wanted`.
  bool compare_exchange(T expected, T wanted) {
    T seen = word().load(acquire);
    do {
      // As numbers: 0.0 and -0.0 are equal, and no NaN is. The exchange compares bits.
      if (!(seen == expected)) return false;
    } while (!word().compare_exchange_weak(seen, wanted, acq_rel, acquire));
    changed();
    return true;
  }
  // False: the sum does not fit; nothing was done. `sum`: the new number.
  bool add(T amount, T& sum) {
    T seen = word().load(relaxed);  // relaxed: the exchange below says whether it was right
    do {
      if constexpr (std::is_integral_v<T>) {
        if (__builtin_add_overflow(seen, amount, &sum)) return false;
      } else {
        sum = seen + amount;
      }
      // sync point "number"
    } while (!word().compare_exchange_weak(seen, sum, acq_rel, relaxed));
    changed();
    return true;
  }

 private:
  using Word = Atomic<T>;
  static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(T));
  Word& word() const { return *reinterpret_cast<Word*>(&cell_->bits); }
  void changed() {
    CONVEYOR_KILL_POINT("state.number-changed");
    cell_->changed.notify_after_exchange(INT_MAX);
  }

  NumberCell* cell_;
};

// Sleeps until somebody has changed what the event count stands for, or the deadline; looks again now and then.
inline Waited sleep_until_changed(EventCount& changed, std::uint32_t epoch, Nanoseconds deadline) {
  const Nanoseconds now = monotonic_now();
  if (deadline <= now) return Waited::timed_out;
  Slices slices;
  const Waited how = changed.sleep(epoch, deadline - now > longest_look ? now + longest_look : deadline, slices);
  return how == Waited::timed_out && monotonic_now() < deadline ? Waited::again : how;
}

}  // namespace conveyor
