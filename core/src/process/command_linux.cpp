#include "conveyor/process/command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "conveyor/process/group_keeper.hpp"

namespace conveyor {
namespace {

constexpr std::size_t child_stack_size = 64 * 1024;
constexpr std::size_t read_size = 64 * 1024;
constexpr int first_free_fd = 3;
constexpr int not_run = 127;  // as shells have it
// As the kernel has them; the headers of an older C library may not.
constexpr int clone_pidfd = 0x1000;
constexpr long close_range_call = 436;
constexpr unsigned close_range_cloexec = 4;

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { close(); }
  Fd(Fd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Out of the way of the standard streams, which the child's are made with.
  bool move_up() {
    if (fd_ < 0 || fd_ >= first_free_fd) return fd_ >= 0;
    const int higher = fcntl(fd_, F_DUPFD_CLOEXEC, first_free_fd);
    if (higher < 0) return false;
    close();
    fd_ = higher;
    return true;
  }

 private:
  int fd_ = -1;
};

bool make_pipe(Fd& read_end, Fd& write_end) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return false;
  read_end = Fd(fds[0]);
  write_end = Fd(fds[1]);
  return read_end.move_up() && write_end.move_up();
}

struct ChildPlan {
  const CommandLine& line;
  int in, out, err;  // out and err: -1 leaves what is there
  pid_t parent;
  KeptGroup* place;
  sigset_t mask;
  int error;
};

// In the child, which shares the parent's memory: nothing here allocates, locks or changes what the parent has, but
// `plan.error`. All signals are blocked, and its handlers are its own.
int child_main(void* given) {
  auto& plan = *static_cast<ChildPlan*>(given);
  // Python ignores these two, which exec would hand down; a SIGCHLD that is ignored breaks programs that wait.
  struct sigaction as_usual{};
  as_usual.sa_handler = SIG_DFL;
  for (const int number : {SIGPIPE, SIGXFSZ, SIGCHLD}) sigaction(number, &as_usual, nullptr);
  setsid();
  if (plan.place != nullptr) plan.place->store(getpid(), release);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != plan.parent) return not_run;
  const auto put = [](int fd, int place) { return fd < 0 || dup2(fd, place) == place; };
  if (put(plan.in, 0) && put(plan.out, 1) && put(plan.err, 2)) {
    syscall(close_range_call, static_cast<unsigned>(first_free_fd), ~0U, close_range_cloexec);
    sigprocmask(SIG_SETMASK, &plan.mask, nullptr);
    execve(plan.line.path, plan.line.arguments, plan.line.environment);
  }
  plan.error = errno;
  return not_run;
}

struct Child {
  pid_t pid = -1;
  KeptGroup* place = nullptr;

  void leave_place() const {
    if (place != nullptr) place->store(0, release);
  }
  Fd pidfd;
  int error = 0;
};

Child start(const CommandLine& line, int in, int out, int err) {
  ChildPlan plan{line, in, out, err, getpid(), place_for_group(), {}, 0};
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &plan.mask);
  // A part of this thread's own stack serves: the thread stands still until the child has let go of it.
  alignas(16) std::byte stack[child_stack_size];
  int pidfd = -1;
  Child child;
  child.place = plan.place;
  child.pid =
      clone(&child_main, stack + child_stack_size, CLONE_VM | CLONE_VFORK | clone_pidfd | SIGCHLD, &plan, &pidfd);
  const int clone_error = errno;
  pthread_sigmask(SIG_SETMASK, &plan.mask, nullptr);
  if (child.pid < 0) {
    child.leave_place();
    child.error = clone_error;
    return child;
  }
  child.pidfd = Fd(pidfd);
  if (plan.error != 0) {
    child.leave_place();
    waitpid(child.pid, nullptr, 0);
    child.error = plan.error;
  }
  return child;
}

// One stream of a child: read as it comes, kept in memory, or in the spool once that is too much.
class Collected {
 public:
  Collected(CommandStream& to, const CommandRules& rules) : to_(to), rules_(rules) {}

  Fd read_end;

  // Reads once, what is there; returns how much that was, 0 at the end.
  std::size_t read_some(char* buffer, std::size_t most = read_size) {
    ssize_t got = 0;
    do got = ::read(read_end.get(), buffer, most);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
      read_end.close();
      return 0;
    }
    keep(buffer, static_cast<std::size_t>(got));
    return static_cast<std::size_t>(got);
  }
  // What its process has left in the pipe; a process that it leaves behind may go on writing.
  void read_rest(char* buffer) {
    int left = 0;
    if (!read_end.open() || ioctl(read_end.get(), FIONREAD, &left) != 0) return;
    while (left > 0) {
      const std::size_t got = read_some(buffer, std::min(read_size, static_cast<std::size_t>(left)));
      if (got == 0) return;
      left -= static_cast<int>(got);
    }
  }
  int error() const { return error_; }

 private:
  void keep(const char* data, std::size_t size) {
    if (to_.spool < 0 && (rules_.spool_folder == nullptr || to_.data.size() + size <= rules_.most_memory)) {
      to_.data.append(data, size);
      return;
    }
    if (to_.spool < 0 && error_ == 0) {
      to_.spool = open_spool();
      if (to_.spool < 0) error_ = errno;
      std::string before;
      before.swap(to_.data);
      write_out(before.data(), before.size());
    }
    write_out(data, size);
  }
  int open_spool() const {
    const int fd = open(rules_.spool_folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
    std::string name = std::string(rules_.spool_folder) + "/conveyor-XXXXXX";  // a file system without such files
    const int named = mkostemp(name.data(), O_CLOEXEC);
    if (named >= 0) unlink(name.c_str());
    return named;
  }
  void write_out(const char* data, std::size_t size) {
    while (size > 0 && error_ == 0) {
      const ssize_t put = pwrite(to_.spool, data, size, to_.spooled);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) {
        error_ = put < 0 ? errno : ENOSPC;
        return;
      }
      data += put;
      size -= static_cast<std::size_t>(put);
      to_.spooled += put;
    }
  }

  CommandStream& to_;
  const CommandRules& rules_;
  int error_ = 0;
};

class Watch {
 public:
  Watch(const Child& child, const CommandRules& rules, CommandResult& result, Nanoseconds began)
      : child_(child),
        rules_(rules),
        result_(result),
        due_(rules.most_time == forever ? forever : began + rules.most_time) {}

  void to_the_end(Collected& out, Collected& err) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(read_size);
    for (;;) {
      pollfd fds[] = {{child_.pidfd.get(), POLLIN, 0},
                      {out.read_end.get(), POLLIN, 0},
                      {err.read_end.get(), POLLIN, 0},
                      {ending_ ? -1 : rules_.cancel_fd, POLLIN, 0}};
      const int found = poll(fds, 4, wait_milliseconds());
      if (found < 0 && errno != EINTR) break;  // out of memory: it is ended below, and waited for
      if (found > 0) {
        if (fds[1].revents != 0) out.read_some(buffer.get());
        if (fds[2].revents != 0) err.read_some(buffer.get());
        if (fds[0].revents != 0) break;
        if (fds[3].revents != 0) end(result_.cancelled);
      }
      if (const int error = out.error() != 0 ? out.error() : err.error(); error != 0 && !ending_) {
        result_.spool_error = error;
        bool ignored = false;
        end(ignored);
      }
      if (due_ != forever && monotonic_now() >= due_) {
        if (ending_)
          kill_group(SIGKILL);
        else
          end(result_.timed_out);
        if (killed_) due_ = forever;
      }
    }
    // While it is a zombie, its number is the group's and nobody else's.
    if (ending_) kill_group(SIGKILL);
    child_.leave_place();
    if (wait4(child_.pid, &result_.status, 0, &result_.usage) < 0) result_.status = 0;
    for (Collected* stream : {&out, &err}) {
      stream->read_rest(buffer.get());
      if (stream->error() != 0) result_.spool_error = stream->error();
    }
  }

 private:
  int wait_milliseconds() const {
    if (due_ == forever) return -1;
    const Nanoseconds left = due_ - monotonic_now();
    constexpr Nanoseconds in_one = 1'000'000;
    return static_cast<int>(std::clamp<Nanoseconds>((left + in_one - 1) / in_one, 0, 1'000'000));
  }
  void end(bool& why) {
    why = true;
    ending_ = true;
    due_ = monotonic_now() + rules_.grace;
    kill_group(rules_.grace > 0 ? SIGTERM : SIGKILL);
    if (!killed_) kill_group(SIGCONT);  // one that is stopped would not hear of it
  }
  void kill_group(int number) {
    kill(-child_.pid, number);
    killed_ = killed_ || number == SIGKILL;
  }

  const Child& child_;
  const CommandRules& rules_;
  CommandResult& result_;
  Nanoseconds due_;
  bool ending_ = false;
  bool killed_ = false;
};

int null_device() {
  static const Fd opened = [] {
    Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    fd.move_up();
    return fd;
  }();
  return opened.get();
}

}  // namespace

CommandResult run_command(const CommandLine& line, const CommandRules& rules) {
  CommandResult result;
  Collected out(result.out, rules);
  Collected err(result.err, rules);
  Fd out_write;
  Fd err_write;
  if (!rules.inherits_output && !(make_pipe(out.read_end, out_write) && make_pipe(err.read_end, err_write))) {
    result.start_error = errno;
    return result;
  }
  const Nanoseconds began = monotonic_now();
  const Child child = start(line, null_device(), out_write.get(), err_write.get());
  if (child.error != 0) {
    result.start_error = child.error;
    return result;
  }
  out_write.close();
  err_write.close();
  Watch(child, rules, result, began).to_the_end(out, err);
  result.took = monotonic_now() - began;
  return result;
}

}  // namespace conveyor
