// The seam: the only header that names std::atomic and futex.
//
// Everything that processes share goes through these few names, so that the real code can be run
// under a checker that puts its own types and its own scheduler in their place.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>

namespace conveyor {

template <class T>
using Atomic = std::atomic<T>;
// What only the threads of one process share. The checker explores processes, and so has nothing to explore here.
template <class T>
using ThreadAtomic = std::atomic<T>;

inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;

static_assert(std::endian::native == std::endian::little, "a lock's futex is the low half of its word");
static_assert(Atomic<std::uint64_t>::is_always_lock_free && Atomic<std::uint32_t>::is_always_lock_free,
              "shared words must be lock-free, or they would not work between processes");

// Orders every access before it against every access after it, for both loads and stores.
inline void full_fence() {
#if defined(__SANITIZE_THREAD__)
  // TSan does not model fences; a read-modify-write of one common word orders the same accesses.
  static Atomic<std::uint32_t> common{0};
  common.fetch_add(1, seq_cst);
#else
  std::atomic_thread_fence(seq_cst);
#endif
}

// A full fence, by one who has just done a locked exchange: on x86-64 that was one already, and only
// the compiler is still to be held back.
inline void fence_after_exchange() {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  asm volatile("" ::: "memory");
#else
  full_fence();
#endif
}

inline void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// What stands before it is done before what stands after it, as far as this thread's own death can tell. The
// processor keeps that order for a thread that is stopped; only the compiler is to be held back.
inline void in_program_order() { asm volatile("" ::: "memory"); }

// One look at what any process may overwrite at any moment: what is then checked is what is used.
template <class T>
T snapshot(const T& shared) {
  T seen;
  std::memcpy(&seen, &shared, sizeof seen);
  asm volatile("" ::: "memory");  // or the compiler may look again
  return seen;
}

// A point in time on CLOCK_MONOTONIC as the system has it, in nanoseconds: the same in every time namespace, since times lie
// in memory that processes of several may share. `forever` never comes.
using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds forever = INT64_MAX;
Nanoseconds monotonic_now();
Nanoseconds monotonic_coarse();  // the same, several times cheaper, and a few milliseconds late
// By how much the clock that this process is shown is ahead of that.
Nanoseconds clock_offset();

enum class FutexWait { woken, changed, timed_out, interrupted };

// Sleeps while *word == expected, at most `at_most` nanoseconds.
FutexWait futex_wait(Atomic<std::uint32_t>* word, std::uint32_t expected, Nanoseconds at_most);
// Wakes up to `count` sleepers of any process; returns how many it woke.
int futex_wake(Atomic<std::uint32_t>* word, int count);
// 0, or why the kernel lets nobody here use futexes (a sandbox may forbid them): an errno.
int futex_error();

}  // namespace conveyor
