// What the tests of shared state have in common: children that do something, wait to be told to go on, or die.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <new>

#include "conveyor/sync/arena.hpp"
#include "conveyor/sync/barrier.hpp"
#include "conveyor/sync/condition.hpp"
#include "conveyor/sync/flag.hpp"
#include "conveyor/sync/mutex.hpp"
#include "conveyor/sync/semaphore.hpp"

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

// Waits in one go, all slices of them.
template <class How, class Wait>
How all_slices(How interrupted, Wait wait) {
  for (conveyor::Slices slices(conveyor::longest_look);;) {
    if (const How how = wait(slices); how != interrupted) return how;
  }
}
inline conveyor::Locked acquired(conveyor::Mutex& mutex, conveyor::Nanoseconds until) {
  return all_slices(conveyor::Locked::interrupted, [&](auto& slices) { return mutex.acquire(until, slices); });
}
inline conveyor::Locked acquired(conveyor::RecursiveMutex& mutex, std::uint64_t thread, conveyor::Nanoseconds until) {
  return all_slices(conveyor::Locked::interrupted, [&](auto& slices) { return mutex.acquire(thread, until, slices); });
}
inline conveyor::Acquired acquired(conveyor::Semaphore& semaphore, conveyor::Nanoseconds until) {
  return all_slices(conveyor::Acquired::interrupted, [&](auto& slices) { return semaphore.acquire(until, slices); });
}
inline conveyor::Waited waited(conveyor::Flag& flag, conveyor::Nanoseconds until) {
  const std::uint64_t seen = flag.times_set();
  if (flag.is_set()) return conveyor::Waited::again;
  return all_slices(conveyor::Waited::interrupted, [&](auto& slices) { return flag.wait(seen, until, slices); });
}
inline conveyor::Waited waited(conveyor::Condition& condition, const conveyor::Condition::Waiter& waiter,
                               conveyor::Nanoseconds until) {
  return all_slices(conveyor::Waited::interrupted, [&](auto& slices) { return condition.wait(waiter, until, slices); });
}
inline conveyor::Met met_by(conveyor::Barrier& barrier, conveyor::Barrier::Arrival& arrival,
                            conveyor::Nanoseconds until) {
  return all_slices(conveyor::Met::interrupted, [&](auto& slices) { return barrier.wait(arrival, until, slices); });
}

}  // namespace state
