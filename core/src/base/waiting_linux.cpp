// What waiting asks of the system: time, futexes, processors.
#include <cerrno>
#include <ctime>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conveyor/base/wait.hpp"
#include "conveyor/base/waiting_side_layout.hpp"

namespace conveyor {
namespace {

Nanoseconds time_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<Nanoseconds>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Nanoseconds monotonic_now() { return time_of(CLOCK_MONOTONIC); }
Nanoseconds monotonic_coarse() { return time_of(CLOCK_MONOTONIC_COARSE); }

FutexWait futex_wait(Atomic<std::uint32_t>* word, std::uint32_t expected, Nanoseconds at_most) {
  timespec relative{};
  relative.tv_sec = static_cast<time_t>(at_most / 1'000'000'000);
  relative.tv_nsec = static_cast<long>(at_most % 1'000'000'000);
  // No FUTEX_PRIVATE_FLAG: the sleepers and the wakers are different processes.
  if (syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), FUTEX_WAIT, expected, &relative, nullptr, 0) == 0) {
    return FutexWait::woken;
  }
  switch (errno) {
    case ETIMEDOUT: return FutexWait::timed_out;
    case EINTR: return FutexWait::interrupted;
    default: return FutexWait::changed;
  }
}

int futex_wake(Atomic<std::uint32_t>* word, int count) {
  const long woken = syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), FUTEX_WAKE, count, nullptr, nullptr, 0);
  return woken < 0 ? 0 : static_cast<int>(woken);
}

int futex_error() {
  Atomic<std::uint32_t> nobody_sleeps{0};
  return syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&nobody_sleeps), FUTEX_WAKE, 1, nullptr, nullptr, 0) < 0
             ? errno
             : 0;
}

unsigned usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count < 1 ? 1U : static_cast<unsigned>(count);
}

std::uint32_t current_processor() {
  const int number = sched_getcpu();
  return number < 0 ? 0 : static_cast<std::uint32_t>(number) + 1;
}

}  // namespace conveyor
