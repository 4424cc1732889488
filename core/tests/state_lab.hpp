// What the tests of shared state have in common: children that do something, wait to be told to go on, or die.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <new>

#include "conveyor/arena.hpp"

namespace state {

// A pipe, one byte a signal.
class Gate {
 public:
  Gate() { REQUIRE(pipe(ends_) == 0); }
  ~Gate() {
    close(ends_[0]);
    close(ends_[1]);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  void open() const {
    const ssize_t done = write(ends_[1], "x", 1);
    if (done != 1) _exit(9);
  }
  void pass() const {
    char byte = 0;
    const ssize_t done = read(ends_[0], &byte, 1);
    if (done != 1) _exit(9);
  }

 private:
  int ends_[2];
};

// A child that runs this and ends with 0, if it is not killed before.
inline pid_t start(const std::function<void()>& what) {
  const pid_t child = fork();
  if (child == 0) {
    what();
    _exit(0);
  }
  return child;
}

// Its exit code, or minus the signal that killed it.
inline int reap(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

[[noreturn]] inline void die() {
  kill(getpid(), SIGKILL);
  _exit(9);
}

constexpr conveyor::Nanoseconds second = 1'000'000'000;

// Less than a second from now to the end of its life.
class InTime {
 public:
  ~InTime() { CHECK(conveyor::monotonic_now() - began_ < second); }

 private:
  conveyor::Nanoseconds began_ = conveyor::monotonic_now();
};

}  // namespace state
