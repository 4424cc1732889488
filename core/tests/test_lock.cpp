#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <thread>
#include <vector>

#include "conveyor/base/lock.hpp"

using namespace conveyor;

namespace {

struct Shared {
  Lock lock;
  std::uint64_t counter = 0;
};

Shared* shared() { return new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared; }

}  // namespace

TEST_CASE("a lock excludes threads") {
  Shared& place = *shared();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        CHECK(place.lock.acquire(forever) == Locked::clean);
        ++place.counter;
        place.lock.unlock();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(place.counter == 80'000);
}

TEST_CASE("a held lock is busy until the deadline") {
  Shared& place = *shared();
  REQUIRE(place.lock.try_acquire() == Locked::clean);
  CHECK(place.lock.try_acquire() == Locked::busy);
  const Nanoseconds start = monotonic_now();
  CHECK(place.lock.acquire(start + 30'000'000) == Locked::busy);
  CHECK(monotonic_now() - start >= 30'000'000);
  place.lock.unlock();
  CHECK(place.lock.try_acquire() == Locked::clean);
}

TEST_CASE("a dead holder's lock is taken over, once") {
  Shared& place = *shared();
  const pid_t child = fork();
  if (child == 0) {
    place.lock.try_acquire();
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  CHECK(place.lock.try_acquire() == Locked::busy);
  CHECK(place.lock.acquire(forever) == Locked::recovered);
  place.lock.unlock();
  CHECK(place.lock.acquire(forever) == Locked::clean);
}

TEST_CASE("a stopped holder's lock is not taken over") {
  Shared& place = *shared();
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    place.lock.try_acquire();
    CHECK(write(ready[1], "x", 1) == 1);
    raise(SIGSTOP);
    place.lock.unlock();
    _exit(0);
  }
  char byte;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  int status = 0;
  waitpid(child, &status, WUNTRACED);
  REQUIRE(WIFSTOPPED(status));
  CHECK(place.lock.acquire(monotonic_now() + 50'000'000) == Locked::busy);
  kill(child, SIGCONT);
  CHECK(place.lock.acquire(forever) == Locked::clean);
  waitpid(child, nullptr, 0);
}
