// How a topic's log ends, and what it says of publishers that died inside.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "conveyor/topic/subscriber.hpp"

namespace {

using namespace conveyor;

// A log that a forked child shares.
struct Shared {
  std::size_t size = Fanout::size_for(least_capacity);
  std::byte* base =
      static_cast<std::byte*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ProducerPlace place;
  std::shared_ptr<Fanout> fanout;

  Shared() {
    REQUIRE(Fanout::initialise(base, least_capacity, UINT64_MAX, [](auto, auto) { return 0; }) == 0);
    fanout = another();
  }
  ~Shared() {
    fanout.reset();
    munmap(base, size);
  }
  std::shared_ptr<Fanout> another() {
    return std::make_shared<Fanout>(base, size, [](auto, auto) { return 0; }, &place);
  }
};

Status publish(Fanout& fanout, std::size_t count = 1) {
  const std::uint64_t value = 7;
  const EventPiece piece{&value, 0, sizeof value};
  const std::vector<Publication> events(count, Publication{{}, 1, sizeof value, &piece, 1});
  std::size_t done = 0;
  return fanout.publish(events.data(), count, done, forever / 2);
}

struct Counts {
  void message(const RecordView&) {}
  bool large(const RecordView&, PinId) { return true; }
};

std::uint64_t read_all(Subscriber& subscriber) {
  std::uint64_t count = 0;
  for (Counts sink; subscriber.read(sink) == Status::ok;) ++count;
  return count;
}

// A child that does the work and then waits to be killed. Its pid.
template <class Work>
pid_t child(Work work) {
  int told[2];
  REQUIRE(pipe(told) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    work();
    if (write(told[1], "", 1) == 1) pause();
    _exit(1);
  }
  char done;
  REQUIRE(read(told[0], &done, 1) == 1);
  close(told[0]);
  close(told[1]);
  return pid;
}

void kill_and_reap(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

// Killed, but nobody has asked for its exit code.
void kill_only(pid_t pid) {
  kill(pid, SIGKILL);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
}

}  // namespace

TEST_CASE("the lost of a topic are known by what they published and by what killed them") {
  Shared log;
  const auto work = [&] {
    log.fanout->enter_producing(true, forever / 2);
    publish(*log.another(), 2);  // by whatever handle
    publish(*log.fanout);
    const pid_t below = fork();
    if (below == 0) _exit(publish(*log.fanout) == Status::ok ? 0 : 1);  // inherits the place, not the slot
    waitpid(below, nullptr, 0);
  };
  REQUIRE(log.fanout->enter_producing(true, forever / 2) == Status::ok);
  const pid_t seen = child(work), reaped = child(work);
  REQUIRE(publish(*log.fanout, 4) == Status::ok);  // count for nobody else
  kill_only(seen);
  kill_and_reap(reaped);
  log.fanout->look_for_lost();
  CHECK_FALSE(log.fanout->ended());
  log.fanout->leave_producing(1'000'000'000);
  CHECK(log.fanout->ended());
  CHECK(publish(*log.fanout) == Status::shut_down);
  CHECK(log.fanout->enter_producing(true, forever / 2) == Status::shut_down);
  CHECK(log.fanout->expect_producers(1, forever / 2) == Status::shut_down);
  const std::vector<LostProducer> lost = log.fanout->lost();
  REQUIRE(lost.size() == 2);
  for (const LostProducer& one : lost) {
    CHECK(one.items == 3);
    CHECK(one.pid == static_cast<std::uint32_t>(one.signal != 0 ? seen : reaped));
    CHECK((one.signal == SIGKILL || one.signal == 0));
  }
  CHECK(lost[0].signal + lost[1].signal == SIGKILL);
  waitpid(seen, nullptr, 0);
  CHECK(log.fanout->published() == 12);
}

TEST_CASE("ending a topic does not cover up a loss that nobody had noticed, and a later one is none") {
  Shared log;
  REQUIRE(log.fanout->expect_producers(3, forever / 2) == Status::ok);
  const pid_t late = child([&] { log.fanout->enter_producing(true, forever / 2); });
  const pid_t early = child([&] { log.fanout->enter_producing(true, forever / 2); });
  kill_and_reap(early);
  CHECK(log.fanout->end(forever / 2) == Status::ok);
  kill_and_reap(late);
  CHECK(log.fanout->end(forever / 2) == Status::ok);
  log.fanout->look_for_lost();
  const std::vector<LostProducer> lost = log.fanout->lost();
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].pid == static_cast<std::uint32_t>(early));
}

TEST_CASE("those who sleep wake when the last producer of a topic leaves") {
  Shared log;
  REQUIRE(log.fanout->enter_producing(true, forever / 2) == Status::ok);
  const auto other = log.another();
  std::thread reader([&] {
    Slices slices;
    while (!other->ended()) other->wait_event(0, forever, slices);
  });
  while (!log.fanout->header().not_empty.has_sleepers()) std::this_thread::yield();
  const Nanoseconds start = monotonic_now();
  log.fanout->leave_producing(1'000'000'000);
  reader.join();
  CHECK(monotonic_now() - start < Fanout::look_every / 2);
  CHECK(log.fanout->lost().empty());
}

TEST_CASE("while a topic's producers are registered a wait is short, and one of all looks at a time") {
  Shared log;
  CHECK_FALSE(log.fanout->look_is_due());
  REQUIRE(log.fanout->expect_producers(1, forever / 2) == Status::ok);
  Slices slices;
  slices.first();
  while (slices.next() < Fanout::look_every) {  // so that the next sleep might last longer
  }
  Nanoseconds shortest = forever;
  for (int tries = 0; tries < 5; ++tries) {  // the machine may be busy
    const Nanoseconds start = monotonic_now();
    CHECK(log.fanout->wait_event(0, forever, slices) == Waited::again);
    shortest = std::min(shortest, monotonic_now() - start);
    if (shortest < Fanout::look_every * 3 / 2) break;
  }
  CHECK(shortest >= Fanout::look_every);
  CHECK(shortest < Fanout::look_every * 3 / 2);
  const auto other = log.another();
  Atomic<Nanoseconds>& next = log.fanout->header().next_census;
  next.store(0, relaxed);
  CHECK(log.fanout->look_is_due());
  next.store(monotonic_now() + Fanout::look_every / 4, relaxed);
  CHECK_FALSE(log.fanout->look_is_due());
  CHECK_FALSE(other->look_is_due());
  next.store(monotonic_now() + forever / 4, relaxed);  // damage
  CHECK(other->look_is_due());
  next.store(0, relaxed);
  REQUIRE(log.fanout->end(forever / 2) == Status::ok);
  CHECK_FALSE(log.fanout->look_is_due());
}

TEST_CASE("who leaves a topic for ever waits for its lock, however long that is held") {
  Shared log;
  REQUIRE(log.fanout->enter_producing(false, forever) == Status::ok);
  Lock& lock = log.fanout->header().lock;
  REQUIRE(lock.try_acquire() == Locked::clean);
  std::atomic<bool> left{false};
  std::thread leaver([&] {
    CHECK(log.another()->leave_producing(forever) == Status::ok);
    left = true;
  });
  while (!lock.awaited() && !left) std::this_thread::yield();
  CHECK(!left);
  lock.unlock();
  leaver.join();
  CHECK(log.fanout->ended());
}

TEST_CASE("threads that come and go as a topic's producers end it once, and not before") {
  Shared log;
  constexpr int threads = 4, rounds = 50;
  REQUIRE(log.fanout->expect_producers(threads * rounds, forever / 2) == Status::ok);
  Subscriber subscriber(log.another(), {});
  REQUIRE(subscriber.join(SeatMode::block, From::fresh, 0, forever / 2) == Status::ok);
  std::atomic<int> published{0};
  std::vector<std::thread> producers;
  for (int i = 0; i < threads; ++i) {
    producers.emplace_back([&] {
      const auto fanout = log.another();
      for (int round = 0; round < rounds; ++round) {
        if (fanout->enter_producing(true, forever / 2) != Status::ok) return;
        if (publish(*fanout) == Status::ok) ++published;
        fanout->leave_producing(1'000'000'000);
      }
    });
  }
  std::uint64_t received = 0;
  for (Slices slices;;) {
    const bool ended = log.fanout->ended();
    received += read_all(subscriber);
    if (ended) break;
    log.fanout->wait_event(subscriber.position(), forever, slices);
  }
  for (auto& producer : producers) producer.join();
  CHECK(published == threads * rounds);
  CHECK(received == threads * rounds);
  CHECK(log.fanout->lost().empty());
}
