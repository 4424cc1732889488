// What waiting asks of the system: time, futexes, processors.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
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

// relaxed: written while a program is loaded, or a forked child has one thread
Atomic<Nanoseconds> known_offset{0};

// That of our time namespace (time_namespaces(7)); where nothing tells, what is known stays.
void read_offset() {
  struct stat ours{}, of_children{};
  if (stat("/proc/self/ns/time", &ours) != 0 || stat("/proc/self/ns/time_for_children", &of_children) != 0) return;
  if (ours.st_ino != of_children.st_ino) return;  // the file tells that of children
  const int fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  char text[256];
  const ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length < 0 ? 0 : length] = '\0';
  const char* const line = std::strstr(text, "monotonic");
  long long seconds = 0, nanoseconds = 0;
  if (line != nullptr && std::sscanf(line, "monotonic %lld %lld", &seconds, &nanoseconds) == 2)
    known_offset.store(seconds * 1'000'000'000 + nanoseconds, relaxed);
}

// A process may make a namespace for those that it forks.
[[maybe_unused]] const int offset_is_known = (read_offset(), pthread_atfork(nullptr, nullptr, read_offset));

}  // namespace

Nanoseconds clock_offset() { return known_offset.load(relaxed); }
Nanoseconds monotonic_now() { return time_of(CLOCK_MONOTONIC) - clock_offset(); }
Nanoseconds monotonic_coarse() { return time_of(CLOCK_MONOTONIC_COARSE) - clock_offset(); }

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
