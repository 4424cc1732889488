#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "conveyor/base/atomic.hpp"
#include "conveyor/base/owner.hpp"

using namespace conveyor;

TEST_CASE("this process is alive, and its identity lasts") {
  CHECK(self() == self());
  CHECK(owner_pid(self()) == static_cast<std::uint32_t>(getpid()));
  CHECK((self() & 1) == 0);
  CHECK(is_alive(self()));
}

TEST_CASE("the same pid with another start time is somebody else, and dead") {
  CHECK(is_alive(make_owner(static_cast<std::uint32_t>(getppid()), 0)));  // start unknown: only the pid can be asked
  CHECK_FALSE(is_alive(make_owner(static_cast<std::uint32_t>(getppid()), 1)));
}

TEST_CASE("a forked child is somebody else; a zombie is dead") {
  const OwnerId parent = self();
  const std::uint32_t generation = fork_generation();
  int out[2];
  REQUIRE(pipe(out) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const OwnerId mine = self();
    const bool right = mine != parent && is_alive(parent) && fork_generation() == generation + 1;
    const bool wrote = write(out[1], &mine, sizeof mine) == sizeof mine;
    _exit(right && wrote ? 0 : 1);
  }
  OwnerId theirs = nobody;
  REQUIRE(read(out[0], &theirs, sizeof theirs) == sizeof theirs);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);  // a zombie until it is reaped
  CHECK_FALSE(is_alive(theirs));
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK_FALSE(is_alive(theirs));
}

namespace {

// A child that tells its identity and then does this.
struct Child {
  pid_t pid = -1;
  OwnerId owner = nobody;

  template <class What>
  explicit Child(What what) {
    int out[2];
    REQUIRE(pipe(out) == 0);
    pid = fork();
    if (pid == 0) {
      const OwnerId mine = self();
      if (write(out[1], &mine, sizeof mine) != sizeof mine) _exit(9);
      close(out[0]);
      close(out[1]);
      what();
      _exit(0);
    }
    REQUIRE(read(out[0], &owner, sizeof owner) == sizeof owner);
    close(out[0]);
    close(out[1]);
  }
  Child(const Child&) = delete;
  ~Child() { end(); }
  void end() {
    if (pid < 0) return;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    pid = -1;
  }
};

void sleep_on() {
  for (;;) pause();
}

// Until it is so, for ten seconds at most.
template <class Condition>
bool soon(Condition condition) {
  const Nanoseconds end = monotonic_now() + 10'000'000'000;
  while (!condition()) {
    if (monotonic_now() > end) return false;
    usleep(1000);
  }
  return true;
}

// All descriptors that the process may have are used; freed again at the end.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few{64, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    for (int fd; (fd = dup(0)) >= 0;) used_.push_back(fd);
  }
  ~NoDescriptors() {
    for (const int fd : used_) close(fd);
    setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<int> used_;
};

}  // namespace

TEST_CASE("a program is known by the kernel's lock") { CHECK(is_known_by_lock()); }

TEST_CASE("exec ends a program, though its process goes on") {
  Child child([] { execl("/bin/sleep", "sleep", "60", nullptr); });
  CHECK(soon([&] { return !is_alive(child.owner); }));
  CHECK(kill(child.pid, 0) == 0);
  CHECK(killing_signal(child.owner) == 0);
  CHECK_FALSE(has_exited(child.owner));
}

TEST_CASE("who closes all its descriptors lives on, and its children do not live for it") {
  int told[2];
  REQUIRE(pipe(told) == 0);
  Child child([&] {
    const pid_t below = fork();
    if (below == 0) sleep_on();
    if (write(told[1], &below, sizeof below) != sizeof below) _exit(9);
    for (int fd = 3; fd < 256; ++fd) close(fd);
    sleep_on();
  });
  pid_t below = 0;
  REQUIRE(read(told[0], &below, sizeof below) == sizeof below);
  REQUIRE(soon([&] { return access(("/proc/" + std::to_string(child.pid) + "/fd/3").c_str(), F_OK) != 0; }));
  CHECK(is_alive(child.owner));
  kill(child.pid, SIGKILL);
  CHECK(soon([&] { return !is_alive(child.owner); }));
  CHECK(killing_signal(child.owner) == SIGKILL);
  CHECK_FALSE(has_exited(child.owner));
  kill(below, SIGKILL);
  close(told[0]);
  close(told[1]);
}

TEST_CASE("how one ended is known until its parent has asked") {
  Child child([] { _exit(3); });
  CHECK(soon([&] { return !is_alive(child.owner); }));
  CHECK(has_exited(child.owner));
  CHECK(killing_signal(child.owner) == 0);
  child.end();
  CHECK_FALSE(has_exited(child.owner));
}

TEST_CASE("with all descriptors used the dead are told from the living") {
  prepare_to_look();  // as a program does at its start
  Child living([] { sleep_on(); }), zombie([] { sleep_on(); }), gone([] { sleep_on(); });
  const NoDescriptors none;
  kill(zombie.pid, SIGKILL);
  gone.end();
  CHECK(soon([&] { return !is_alive(zombie.owner); }));
  CHECK_FALSE(is_alive(gone.owner));
  CHECK(is_alive(living.owner));
  // Nor can what is known by its start be looked up in /proc then. The lock is let go first, and only later is it a
  // zombie: until then its pid is that of a process.
  CHECK(soon([&] { return !is_alive(make_owner(static_cast<std::uint32_t>(zombie.pid), 1)); }));
  CHECK(is_alive(make_owner(static_cast<std::uint32_t>(living.pid), 0)));
  // And a child of one without descriptors has an identity all the same.
  const pid_t child = fork();
  if (child == 0) _exit(is_known_by_lock() && is_alive(living.owner) ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("whoever closed the descriptor that we look through does not deceive us") {
  Child living([] { sleep_on(); });
  const pid_t child = fork();
  if (child == 0) {
    for (int fd = 3; fd < 256; ++fd) close(fd);
    for (int turn = 0; turn < 100; ++turn) {  // its number stands for something else now
      if (open("/dev/null", O_RDWR) < 0) _exit(2);
    }
    _exit(is_alive(living.owner) ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  living.end();
  CHECK_FALSE(is_alive(living.owner));
}

TEST_CASE("pids of another namespace are nobody's here") {
  const OwnerId outside = self();
  const pid_t helper = fork();
  if (helper == 0) {
    if (unshare(CLONE_NEWPID) != 0) _exit(77);
    int told[2];
    if (pipe(told) != 0) _exit(2);
    const pid_t inside = fork();
    if (inside == 0) {
      const OwnerId mine = self();
      const bool right = owner_pid(mine) == 1 && is_alive(outside) && is_alive(getppid() == 0 ? outside : mine);
      if (!right || write(told[1], &mine, sizeof mine) != sizeof mine) _exit(1);
      sleep_on();
    }
    OwnerId theirs = nobody;
    if (read(told[0], &theirs, sizeof theirs) != sizeof theirs) _exit(3);
    // Not our process 1: this one.
    if (!is_alive(theirs) || !is_alive(outside)) _exit(4);
    kill(inside, SIGKILL);
    if (!soon([&] { return !is_alive(theirs); })) _exit(5);
    waitpid(inside, nullptr, 0);
    _exit(is_alive(theirs) ? 6 : 0);
  }
  int status = 0;
  waitpid(helper, &status, 0);
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("no right to make a pid namespace");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}
