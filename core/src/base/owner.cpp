#include "conveyor/base/owner.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conveyor/base/atomic.hpp"
#include "life_lock.hpp"

// The three forms of a mark, from the highest bit:
//
//   by lock    1 | place of the lock (12) | pid namespace (10) | random number (18)
//   by start   0 | pid namespace (14) | start time in ticks (26: a week)
//   left       0
//
// The whole identity is the number of the lock, so that two programs with one pid, before and after `exec` or in two
// namespaces, have two locks. The numbers of place and namespace are only hashes. They are asked when the lock cannot be
// seen from here, or where there are no such locks.

namespace conveyor {

std::uint32_t generation_of_forks = 1;

namespace {

constexpr unsigned mark_shift = 23;
constexpr OwnerId by_lock = std::uint64_t{1} << 63;
constexpr unsigned place_bits = 12, space_bits = 10, random_bits = 18;
constexpr unsigned wide_space_bits = 14, start_bits = 26;
static_assert(mark_shift + random_bits + space_bits + place_bits == 63);
static_assert(mark_shift + start_bits + wide_space_bits == 63);
constexpr int most_tries = 8;  // to find a number that no other program has
// Among the flags in /proc/<pid>/stat: PF_EXITING, and PF_FORKNOEXEC.
constexpr unsigned exiting = 0x4, never_execed = 0x40;

constexpr std::uint64_t low(std::uint64_t value, unsigned bits) { return value & ((std::uint64_t{1} << bits) - 1); }

Atomic<OwnerId> cached_self{nobody};
std::mutex identifying;

std::uint32_t place_of(OwnerId owner) {
  return static_cast<std::uint32_t>(low(owner >> (mark_shift + random_bits + space_bits), place_bits));
}

// In a mark the namespace's number is neither 0 (a mark of zeros is one that was left behind) nor all ones: what has
// such a number is damage.
std::uint64_t space_number(unsigned bits) {
  static Atomic<std::uint64_t> known{0};
  static Atomic<std::uint32_t> known_in{0};
  // relaxed: every thread would find the same
  if (known_in.load(relaxed) != fork_generation()) {
    known.store(pid_namespace(), relaxed);
    known_in.store(fork_generation(), relaxed);
  }
  const std::uint64_t number = low(known.load(relaxed), bits);
  return number == 0 || number == low(~std::uint64_t{0}, bits) ? 1 : number;
}

bool has_a_space(OwnerId owner) {
  const bool locked = (owner & by_lock) != 0;
  const unsigned bits = locked ? space_bits : wide_space_bits;
  const std::uint64_t number = low(owner >> (mark_shift + (locked ? random_bits : start_bits)), bits);
  return number != 0 && number != low(~std::uint64_t{0}, bits);
}

bool is_of_our_space(OwnerId owner) {
  if ((owner & by_lock) != 0) return low(owner >> (mark_shift + random_bits), space_bits) == space_number(space_bits);
  return low(owner >> (mark_shift + start_bits), wide_space_bits) == space_number(wide_space_bits);
}

struct ProcessStat {
  char state = 0;
  unsigned long flags = 0;
  long threads = 0;
  std::uint64_t start_ticks = 0;
  long exit_code = 0;  // as wait(2) has it; 0 also when we may not know
};

enum class Look { found, gone, unknown };

// Whether /proc numbers processes as this one does: who enters a pid namespace may keep its old /proc.
bool proc_is_ours() {
  char number[16];
  const ssize_t length = readlink("/proc/self", number, sizeof number - 1);
  if (length <= 0) return false;
  number[length] = '\0';
  return std::strtol(number, nullptr, 10) == getpid();
}

ssize_t read_file(const char* path, char* text, std::size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t length = read(fd, text, size - 1);
  const int error = errno;
  close(fd);
  errno = error;
  if (length >= 0) text[length] = '\0';
  return length;
}

// Reads /proc/<pid>/stat (proc(5)). `gone` is certain only where there is a /proc.
Look look_at(std::uint32_t pid, ProcessStat& found) {
  char path[32], text[2048];
  std::snprintf(path, sizeof path, "/proc/%u/stat", pid);
  const ssize_t length = read_file(path, text, sizeof text);
  if (length <= 0) return length < 0 && (errno == ENOENT || errno == ESRCH) ? Look::gone : Look::unknown;
  // The command, in parentheses, may itself hold spaces and parentheses: the fields start after the last one.
  const char* field = std::strrchr(text, ')');
  if (field == nullptr) return Look::unknown;
  ++field;
  for (int number = 3; number <= 52; ++number) {
    while (*field == ' ') ++field;
    if (number == 3) found.state = *field;
    if (number == 9) found.flags = std::strtoul(field, nullptr, 10);
    if (number == 20) found.threads = std::strtol(field, nullptr, 10);
    if (number == 22) found.start_ticks = std::strtoull(field, nullptr, 10);
    if (number == 52) found.exit_code = std::strtol(field, nullptr, 10);
    while (*field != '\0' && *field != ' ') ++field;
  }
  return Look::found;
}

// Without a /proc, or a descriptor to read it by.
bool has_pid(std::uint32_t pid) {
  siginfo_t child{};
  if (waitid(P_PID, pid, &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid == static_cast<pid_t>(pid))
    return false;  // a child of ours, and a zombie
  return kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM;
}

// Without a /proc; -1: the system (before Linux 6.11) does not tell.
int open_pid_namespace() {
  constexpr unsigned long get_pid_namespace = _IO(0xff, 5);  // PIDFD_GET_PID_NAMESPACE of <linux/pidfd.h>
  const int process = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (process < 0) return -1;
  const int fd = ioctl(process, get_pid_namespace, 0);
  close(process);
  return fd;
}

bool is_zombie(const ProcessStat& found) {
  if (found.state == 'X' || found.state == 'x') return true;
  // A zombie whose other threads still run is alive: only its first thread has ended.
  return found.state == 'Z' && found.threads <= 1;
}

bool same_start(OwnerId owner, const ProcessStat& found) {
  const std::uint64_t start = low(owner >> mark_shift, start_bits);
  return (owner & by_lock) != 0 || start == 0 || start == low(found.start_ticks, start_bits);
}

bool lives_by_pid(OwnerId owner) {
  if (!is_of_our_space(owner)) return true;  // nobody here knows
  const std::uint32_t pid = owner_pid(owner);
  ProcessStat found;
  if (!proc_is_ours()) return has_pid(pid);
  switch (look_at(pid, found)) {
    case Look::gone: return false;
    case Look::unknown: return has_pid(pid);
    case Look::found: break;
  }
  return same_start(owner, found) && !is_zombie(found);
}

// The kernel lets go of the lock first, and later says how the process has ended: until then it counts as alive.
bool is_still_ending(OwnerId owner) {
  if (!is_of_our_space(owner) || !proc_is_ours()) return false;
  ProcessStat found;
  return look_at(owner_pid(owner), found) == Look::found && !is_zombie(found) && (found.flags & exiting) != 0;
}

// Whether the system tells us how this one ended: it tells those of the same user and group (ptrace(2)), and shows
// others a 0.
bool may_know_the_end_of(std::uint32_t pid) {
  char path[32], text[4096];
  std::snprintf(path, sizeof path, "/proc/%u/status", pid);
  if (read_file(path, text, sizeof text) <= 0) return false;
  const auto all_are = [&](const char* name, unsigned ours) {
    const char* const line = std::strstr(text, name);
    unsigned real, effective, saved;
    return line != nullptr && std::sscanf(line + std::strlen(name), "%u %u %u", &real, &effective, &saved) == 3 &&
           real == ours && effective == ours && saved == ours;
  };
  return all_are("\nUid:", geteuid()) && all_are("\nGid:", getegid());
}

// How the process ended, if it is still a zombie. False: nobody can tell, or not any more.
bool find_zombie(OwnerId owner, ProcessStat& found) {
  if (!is_of_our_space(owner) || !proc_is_ours()) return false;
  return look_at(owner_pid(owner), found) == Look::found && found.state == 'Z' && same_start(owner, found);
}

OwnerId identify() {
  const auto pid = static_cast<std::uint32_t>(getpid());
  if (const std::uint64_t place = life::place(); place != 0) {
    for (int turn = 0; turn < most_tries; ++turn) {
      std::uint64_t number = 0;
      if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
        number = static_cast<std::uint64_t>(monotonic_now()) * 0x9e3779b97f4a7c15ULL >> 20;
      const std::uint64_t mark =
          ((place << space_bits | space_number(space_bits)) << random_bits) | low(number, random_bits);
      const OwnerId owner = by_lock | mark << mark_shift | std::uint64_t{pid} << 1;
      if (life::take(owner >> 1)) return owner;
    }
  }
  ProcessStat own;
  if (proc_is_ours()) look_at(pid, own);
  return make_owner(pid, own.start_ticks);
}

void after_fork_in_child() {
  ++generation_of_forks;
  const bool was_known = cached_self.exchange(nobody, relaxed) != nobody;
  // At once: later the child may have no /dev, no /proc, no descriptor and another user.
  if (was_known) cached_self.store(identify(), relaxed);
}

[[maybe_unused]] const int registered = [] {
  life::think_of_forks();
  return pthread_atfork([] { identifying.lock(); }, [] { identifying.unlock(); },
                        [] {
                          identifying.unlock();
                          after_fork_in_child();
                        });
}();

}  // namespace

OwnerId make_owner(std::uint32_t pid, std::uint64_t start_ticks) {
  return (space_number(wide_space_bits) << start_bits | low(start_ticks, start_bits)) << mark_shift |
         static_cast<std::uint64_t>(pid & 0x3fffff) << 1;
}

OwnerId self() {
  OwnerId owner = cached_self.load(relaxed);  // relaxed: a number, and no more
  if (owner == nobody) {
    const std::lock_guard guard(identifying);
    owner = cached_self.load(relaxed);
    if (owner == nobody) {
      owner = identify();
      cached_self.store(owner, relaxed);
    }
  }
  return owner;
}

OwnerId known_self() { return cached_self.load(relaxed); }  // relaxed: a number, and no more

bool is_alive(OwnerId owner) {
  if (owner == self()) return true;
  if (owner_pid(owner) == 0) return false;  // nobody, or damage; to kill() 0 would mean ourselves
  if (is_left(owner)) return true;
  if (!has_a_space(owner)) return false;  // damage
  if ((owner & by_lock) != 0 && place_of(owner) == life::place()) {
    switch (life::look(owner >> 1)) {
      case life::Look::held: return true;
      case life::Look::free: return is_still_ending(owner);
      case life::Look::unknown: break;
    }
  }
  return lives_by_pid(owner);
}

std::uint32_t killing_signal(OwnerId owner) {
  ProcessStat found;
  return find_zombie(owner, found) ? static_cast<std::uint32_t>(found.exit_code) & 0x7f : 0;
}

bool has_exited(OwnerId owner) {
  ProcessStat found;
  if (!find_zombie(owner, found) || (found.exit_code & 0x7f) != 0) return false;
  // What exits may be what the program became by `exec`.
  if ((owner & by_lock) != 0 && (found.flags & never_execed) == 0) return false;
  return found.exit_code != 0 || may_know_the_end_of(owner_pid(owner));
}

std::uint64_t pid_namespace() {
  struct stat found{};
  if (stat("/proc/self/ns/pid", &found) == 0) return static_cast<std::uint64_t>(found.st_ino);
  const int fd = open_pid_namespace();
  if (fd < 0) return 0;
  const bool known = fstat(fd, &found) == 0;
  close(fd);
  return known ? static_cast<std::uint64_t>(found.st_ino) : 0;
}

void prepare_to_look() { life::open_eye(); }

bool is_known_by_lock() { return (self() & by_lock) != 0; }

}  // namespace conveyor
