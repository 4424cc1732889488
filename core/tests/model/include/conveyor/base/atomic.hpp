// The seam's other side: the names of core/include/conveyor/base/atomic.hpp, for code that runs under the model
// checker. This folder stands before core/include when the model is built, so that the real sources
// compile against it unchanged. Every operation is a step of the explored world (world.hpp).
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

namespace conveyor {

inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;

namespace model {
// Values travel as 64 bits; `size` is how many bytes of them lie at `at`.
std::uint64_t load(const void* at, unsigned size, std::memory_order order);
void store(void* at, unsigned size, std::uint64_t value, std::memory_order order);
// Looks, and lets `change` say what to write; false: nothing is written, and `failure` is the order.
using Change = bool (*)(std::uint64_t seen, std::uint64_t operand, std::uint64_t wanted, std::uint64_t& next);
std::uint64_t modify(void* at, unsigned size, Change change, std::uint64_t operand, std::uint64_t wanted,
                     std::memory_order success, std::memory_order failure);
void fence();
// Where the processor's exchange is no fence: one.
void fence_after_exchange();
// Time goes on for one who spins.
void pause();
}  // namespace model

// Of the size and alignment of std::atomic, and sound when it lies in zeroed memory.
template <class T>
class Atomic {
 public:
  static constexpr bool is_always_lock_free = true;
  Atomic() = default;
  constexpr Atomic(T value) : value_(value) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(std::memory_order order = seq_cst) const { return from(model::load(&value_, sizeof(T), order)); }
  void store(T value, std::memory_order order = seq_cst) { model::store(&value_, sizeof(T), to(value), order); }
  operator T() const { return load(); }
  T operator=(T value) {
    store(value);
    return value;
  }
  T exchange(T value, std::memory_order order = seq_cst) {
    return change(
        [](std::uint64_t, std::uint64_t operand, std::uint64_t, std::uint64_t& next) {
          next = operand;
          return true;
        },
        value, order);
  }
  T fetch_add(T value, std::memory_order order = seq_cst) {
    return change(
        [](std::uint64_t seen, std::uint64_t operand, std::uint64_t, std::uint64_t& next) {
          next = seen + operand;
          return true;
        },
        value, order);
  }
  T fetch_sub(T value, std::memory_order order = seq_cst) { return fetch_add(static_cast<T>(T{} - value), order); }
  T fetch_and(T value, std::memory_order order = seq_cst) {
    return change(
        [](std::uint64_t seen, std::uint64_t operand, std::uint64_t, std::uint64_t& next) {
          next = seen & operand;
          return true;
        },
        value, order);
  }
  T fetch_or(T value, std::memory_order order = seq_cst) {
    return change(
        [](std::uint64_t seen, std::uint64_t operand, std::uint64_t, std::uint64_t& next) {
          next = seen | operand;
          return true;
        },
        value, order);
  }
  bool compare_exchange_strong(T& expected, T wanted, std::memory_order success, std::memory_order failure) {
    const std::uint64_t seen = model::modify(
        &value_, sizeof(T),
        [](std::uint64_t found, std::uint64_t operand, std::uint64_t desired, std::uint64_t& next) {
          next = desired;
          return found == operand;
        },
        to(expected), to(wanted), success, failure);
    if (seen == to(expected)) return true;
    expected = from(seen);
    return false;
  }
  bool compare_exchange_strong(T& expected, T wanted, std::memory_order order = seq_cst) {
    const auto failure = order == acq_rel ? acquire : order == release ? relaxed : order;
    return compare_exchange_strong(expected, wanted, order, failure);
  }
  bool compare_exchange_weak(T& expected, T wanted, std::memory_order success, std::memory_order failure) {
    return compare_exchange_strong(expected, wanted, success, failure);
  }
  bool compare_exchange_weak(T& expected, T wanted, std::memory_order order = seq_cst) {
    return compare_exchange_strong(expected, wanted, order);
  }

 private:
  static std::uint64_t to(T value) {
    std::uint64_t wide = 0;
    std::memcpy(&wide, &value, sizeof value);
    return wide;
  }
  static T from(std::uint64_t wide) {
    T value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
  }
  T change(model::Change how, T operand, std::memory_order order) {
    return from(model::modify(&value_, sizeof(T), how, to(operand), 0, order, order));
  }

  T value_;
};

// What the threads of a process share; each process of the model has one thread.
template <class T>
class ThreadAtomic {
 public:
  constexpr ThreadAtomic() = default;
  constexpr ThreadAtomic(T value) : value_(value) {}
  ThreadAtomic(const ThreadAtomic&) = delete;
  T load(std::memory_order = seq_cst) const { return value_; }
  void store(T value, std::memory_order = seq_cst) { value_ = value; }
  T exchange(T value, std::memory_order = seq_cst) { return std::exchange(value_, value); }
  bool compare_exchange_strong(T& expected, T wanted, std::memory_order, std::memory_order = seq_cst) {
    if (value_ != expected) {
      expected = value_;
      return false;
    }
    value_ = wanted;
    return true;
  }

 private:
  T value_{};
};

static_assert(std::endian::native == std::endian::little);
static_assert(sizeof(Atomic<std::uint64_t>) == 8 && sizeof(Atomic<std::uint32_t>) == 4);

inline void full_fence() { model::fence(); }
inline void fence_after_exchange() { model::fence_after_exchange(); }
inline void cpu_pause() { model::pause(); }
inline void in_program_order() { asm volatile("" ::: "memory"); }

template <class T>
T snapshot(const T& shared) {
  T seen;
  std::memcpy(&seen, &shared, sizeof seen);
  return seen;
}

using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds forever = INT64_MAX;
Nanoseconds monotonic_now();
Nanoseconds monotonic_coarse();

enum class FutexWait { woken, changed, timed_out, interrupted };
FutexWait futex_wait(Atomic<std::uint32_t>* word, std::uint32_t expected, Nanoseconds at_most);
int futex_wake(Atomic<std::uint32_t>* word, int count);
int futex_error();

}  // namespace conveyor
