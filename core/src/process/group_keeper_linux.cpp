#include "conveyor/process/group_keeper.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>

namespace conveyor {
namespace {

constexpr std::size_t most_groups = 4096;
constexpr std::size_t keeper_stack_size = 16 * 1024;
constexpr long close_all_call = 436;  // close_range

KeptGroup kept_groups[most_groups];
ThreadAtomic<pid_t> kept_process{0};
alignas(16) std::byte keeper_stack[keeper_stack_size];

int keeper_main(void*) {
  const pid_t kept = kept_process.load(relaxed);
  setsid();
  // What is open here too would not end for those who wait for its end.
  syscall(close_all_call, 0U, ~0U, 0U);
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, kept, 0U));
  pollfd end{fd, POLLIN, 0};
  if (getppid() == kept && fd >= 0)
    while (poll(&end, 1, -1) != 1) {
    }
  if (fd < 0) return 0;
  for (const KeptGroup& each : kept_groups)
    if (const pid_t group = each.load(acquire); group > 0) kill(-group, SIGKILL);
  return 0;
}

}  // namespace

bool keep_groups() {
  const pid_t me = getpid();
  if (kept_process.exchange(me, acq_rel) == me) return true;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // No signal tells of its end, so that nobody who waits for any child hears of it.
  const int made = clone(&keeper_main, keeper_stack + keeper_stack_size, CLONE_VM, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return made > 0;
}

KeptGroup* place_for_group() {
  thread_local std::size_t last = 0;
  for (std::size_t tried = 0; tried < most_groups; ++tried) {
    KeptGroup& place = kept_groups[(last + tried) % most_groups];
    pid_t nobodys = 0;
    if (place.compare_exchange_strong(nobodys, -1, acq_rel, relaxed)) {
      last = (last + tried) % most_groups;
      return &place;
    }
  }
  return nullptr;
}

}  // namespace conveyor
