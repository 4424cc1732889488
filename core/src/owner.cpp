#include "conveyor/owner.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conveyor/atomic.hpp"

namespace conveyor {
namespace {

Atomic<OwnerId> cached_self{nobody};
Atomic<std::uint32_t> generation{1};

struct ProcessStat {
  char state = 0;
  long threads = 0;
  std::uint64_t start_ticks = 0;
  long exit_code = 0;  // as wait(2) has it; 0 when we may not know
};

enum class Look { found, gone, unknown };

// Reads the state, the number of threads, the start time and the exit code from /proc/<pid>/stat (proc(5)).
Look look_at(std::uint32_t pid, ProcessStat& found) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%u/stat", pid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? Look::gone : Look::unknown;
  char text[2048];
  const ssize_t length = read(fd, text, sizeof text - 1);
  const int error = errno;
  close(fd);
  if (length <= 0) return length < 0 && error == ESRCH ? Look::gone : Look::unknown;
  text[length] = '\0';
  // The command, in parentheses, may itself hold spaces and parentheses: the fields start after the last one.
  const char* field = std::strrchr(text, ')');
  if (field == nullptr) return Look::unknown;
  ++field;
  for (int number = 3; number <= 52; ++number) {
    while (*field == ' ') ++field;
    if (number == 3) found.state = *field;
    if (number == 20) found.threads = std::strtol(field, nullptr, 10);
    if (number == 22) found.start_ticks = std::strtoull(field, nullptr, 10);
    if (number == 52) found.exit_code = std::strtol(field, nullptr, 10);
    while (*field != '\0' && *field != ' ') ++field;
  }
  return Look::found;
}

void after_fork_in_child() {
  cached_self.store(nobody, relaxed);  // relaxed: a forked child has one thread
  generation.fetch_add(1, relaxed);
}

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);

}  // namespace

OwnerId self() {
  OwnerId owner = cached_self.load(relaxed);  // relaxed: every thread would compute the same value
  if (owner == nobody) {
    const auto pid = static_cast<std::uint32_t>(getpid());
    ProcessStat own;
    look_at(pid, own);
    owner = make_owner(pid, own.start_ticks);
    cached_self.store(owner, relaxed);
  }
  return owner;
}

bool is_alive(OwnerId owner) {
  if (owner == self()) return true;
  const std::uint32_t pid = owner_pid(owner);
  if (pid == 0) return false;  // nobody, or damage; to kill() 0 would mean ourselves
  ProcessStat found;
  switch (look_at(pid, found)) {
    case Look::gone:
      // A system without /proc looks the same as a process that has gone; the kernel decides.
      return kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM;
    case Look::unknown: return true;
    case Look::found: break;
  }
  const bool start_known = (owner >> 23) != 0;
  if (start_known && make_owner(pid, found.start_ticks) != owner) return false;
  if (found.state == 'X' || found.state == 'x') return false;
  // A zombie whose other threads still run is alive: only its first thread has ended.
  return found.state != 'Z' || found.threads > 1;
}

std::uint32_t killing_signal(OwnerId owner) {
  ProcessStat found;
  if (look_at(owner_pid(owner), found) != Look::found || found.state != 'Z') return 0;
  if (make_owner(owner_pid(owner), found.start_ticks) != owner) return 0;
  return static_cast<std::uint32_t>(found.exit_code) & 0x7f;
}

std::uint32_t fork_generation() { return generation.load(relaxed); }

std::uint64_t pid_namespace() {
  struct stat found{};
  return stat("/proc/self/ns/pid", &found) == 0 ? static_cast<std::uint64_t>(found.st_ino) : 0;
}

}  // namespace conveyor
