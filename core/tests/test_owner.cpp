#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conveyor/owner.hpp"

using namespace conveyor;

TEST_CASE("this process is alive, and its identity lasts") {
  CHECK(self() == self());
  CHECK(owner_pid(self()) == static_cast<std::uint32_t>(getpid()));
  CHECK((self() & 1) == 0);
  CHECK(is_alive(self()));
}

TEST_CASE("the same pid with another start time is somebody else, and dead") {
  CHECK(is_alive(make_owner(1, 0)));  // start unknown: only the pid can be asked
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
