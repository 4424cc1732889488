// Number: one integer or floating-point number that all can see, changed in one step, and waited for.
#pragma once

#include <climits>
#include <cmath>
#include <type_traits>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/sync/cells_layout.hpp"
#include "conveyor/sync/mutex.hpp"

namespace conveyor {

template <class T>
class Number {
 public:
  // At such an address, aligned to its size; `changed` is told of each change.
  Number(std::byte* at, EventCount& changed) : word_(reinterpret_cast<Word*>(at)), changed_(&changed) {}
  Number(Atomic<std::uint64_t>& bits, EventCount& changed) : Number(reinterpret_cast<std::byte*>(&bits), changed) {}

  // sync point "number": every change releases what its process did before; every look acquires it.
  T load() const { return word_->load(acquire); }
  void store(T value) { exchange(value); }
  T exchange(T value) {
    const T before = word_->exchange(value, acq_rel);
    tell();
    return before;
  }
  // True: it was equal to `expected`, and is `wanted`.
  bool compare_exchange(T expected, T wanted) {
    T seen = word_->load(acquire);
    do {
      // As numbers: 0.0 and -0.0 are equal, and no NaN is. The exchange compares bits.
      if (!(seen == expected)) return false;
    } while (!word_->compare_exchange_weak(seen, wanted, acq_rel, acquire));
    tell();
    return true;
  }
  // False: the sum does not fit; nothing was done. `sum`: the new number.
  bool add(T amount, T& sum) {
    return change(
        [&](T seen) {
          if constexpr (std::is_integral_v<T>) return !__builtin_add_overflow(seen, amount, &sum);
          sum = seen + amount;
          return true;
        },
        sum);
  }
  bool subtract(T amount, T& difference) {
    return change(
        [&](T seen) {
          if constexpr (std::is_integral_v<T>) return !__builtin_sub_overflow(seen, amount, &difference);
          difference = seen - amount;
          return true;
        },
        difference);
  }

 private:
  using Word = Atomic<T>;
  static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(T));
  template <class Compute>
  bool change(Compute compute, const T& result) {
    T seen = word_->load(relaxed);  // relaxed: the exchange below says whether it was right
    do {
      if (!compute(seen)) return false;
      // sync point "number"
    } while (!word_->compare_exchange_weak(seen, result, acq_rel, relaxed));
    tell();
    return true;
  }
  void tell() {
    CONVEYOR_KILL_POINT("state.number-changed");
    changed_->notify_after_exchange(INT_MAX);
  }

  Word* word_;
  EventCount* changed_;
};

}  // namespace conveyor
