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
  std::size_t size = TopicLog::size_for(least_capacity);
  std::byte* base =
      static_cast<std::byte*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ProducerPlace place;
  std::shared_ptr<TopicLog> topic_log;

  Shared() {
    REQUIRE(TopicLog::initialise(base, least_capacity, UINT64_MAX, [](auto, auto) { return 0; }) == 0);
    topic_log = another();
  }
  ~Shared() {
    topic_log.reset();
    munmap(base, size);
  }
  std::shared_ptr<TopicLog> another() {
    return std::make_shared<TopicLog>(base, size, [](auto, auto) { return 0; }, &place);
  }
};

Status publish(TopicLog& topic_log, std::size_t count = 1) {
  const std::uint64_t value = 7;
  const EventPiece piece{&value, 0, sizeof value};
  const std::vector<Publication> events(count, Publication{{}, 1, sizeof value, &piece, 1});
  std::size_t done = 0;
  return topic_log.publish(events.data(), count, done, forever / 2);
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
    log.topic_log->enter_producing(true, forever / 2);
    publish(*log.another(), 2);  // by whatever handle
    publish(*log.topic_log);
    const pid_t below = fork();
    if (below == 0) _exit(publish(*log.topic_log) == Status::ok ? 0 : 1);  // inherits the place, not the slot
    waitpid(below, nullptr, 0);
  };
  REQUIRE(log.topic_log->enter_producing(true, forever / 2) == Status::ok);
  const pid_t seen = child(work), reaped = child(work);
  REQUIRE(publish(*log.topic_log, 4) == Status::ok);  // count for nobody else
  kill_only(seen);
  kill_and_reap(reaped);
  log.topic_log->look_for_lost();
  CHECK_FALSE(log.topic_log->ended());
  log.topic_log->leave_producing(1'000'000'000);
  CHECK(log.topic_log->ended());
  CHECK(publish(*log.topic_log) == Status::shut_down);
  CHECK(log.topic_log->enter_producing(true, forever / 2) == Status::shut_down);
  CHECK(log.topic_log->expect_producers(1, forever / 2) == Status::shut_down);
  const std::vector<LostProducer> lost = log.topic_log->lost();
  REQUIRE(lost.size() == 2);
  for (const LostProducer& one : lost) {
    CHECK(one.items == 3);
    CHECK(one.pid == static_cast<std::uint32_t>(one.signal != 0 ? seen : reaped));
    CHECK((one.signal == SIGKILL || one.signal == 0));
  }
  CHECK(lost[0].signal + lost[1].signal == SIGKILL);
  waitpid(seen, nullptr, 0);
  CHECK(log.topic_log->published() == 12);
}

TEST_CASE("ending a topic does not cover up a loss that nobody had noticed, and a later one is none") {
  Shared log;
  REQUIRE(log.topic_log->expect_producers(3, forever / 2) == Status::ok);
  const pid_t late = child([&] { log.topic_log->enter_producing(true, forever / 2); });
  const pid_t early = child([&] { log.topic_log->enter_producing(true, forever / 2); });
  kill_and_reap(early);
  CHECK(log.topic_log->end(forever / 2) == Status::ok);
  kill_and_reap(late);
  CHECK(log.topic_log->end(forever / 2) == Status::ok);
  log.topic_log->look_for_lost();
  const std::vector<LostProducer> lost = log.topic_log->lost();
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].pid == static_cast<std::uint32_t>(early));
}

TEST_CASE("those who sleep wake when the last producer of a topic leaves") {
  Shared log;
  REQUIRE(log.topic_log->enter_producing(true, forever / 2) == Status::ok);
  const auto other = log.another();
  std::thread reader([&] {
    Slices slices;
    while (!other->ended()) other->wait_event(0, forever, slices);
  });
  while (!log.topic_log->header().not_empty.has_sleepers()) std::this_thread::yield();
  const Nanoseconds start = monotonic_now();
  log.topic_log->leave_producing(1'000'000'000);
  reader.join();
  CHECK(monotonic_now() - start < TopicLog::look_every / 2);
  CHECK(log.topic_log->lost().empty());
}

TEST_CASE("while a topic's producers are registered a wait is short, and one of all looks at a time") {
  Shared log;
  CHECK_FALSE(log.topic_log->look_is_due());
  REQUIRE(log.topic_log->expect_producers(1, forever / 2) == Status::ok);
  Slices slices;
  slices.first();
  while (slices.next() < TopicLog::look_every) {  // so that the next sleep might last longer
  }
  Nanoseconds shortest = forever;
  for (int tries = 0; tries < 5; ++tries) {  // the machine may be busy
    const Nanoseconds start = monotonic_now();
    CHECK(log.topic_log->wait_event(0, forever, slices) == Waited::again);
    shortest = std::min(shortest, monotonic_now() - start);
    if (shortest < TopicLog::look_every * 3 / 2) break;
  }
  CHECK(shortest >= TopicLog::look_every);
  CHECK(shortest < TopicLog::look_every * 3 / 2);
  const auto other = log.another();
  Atomic<Nanoseconds>& next = log.topic_log->header().next_census;
  next.store(0, relaxed);
  CHECK(log.topic_log->look_is_due());
  next.store(monotonic_now() + TopicLog::look_every / 4, relaxed);
  CHECK_FALSE(log.topic_log->look_is_due());
  CHECK_FALSE(other->look_is_due());
  next.store(monotonic_now() + forever / 4, relaxed);  // damage
  CHECK(other->look_is_due());
  next.store(0, relaxed);
  REQUIRE(log.topic_log->end(forever / 2) == Status::ok);
  CHECK_FALSE(log.topic_log->look_is_due());
}

TEST_CASE("who leaves a topic for ever waits for its lock, however long that is held") {
  Shared log;
  REQUIRE(log.topic_log->enter_producing(false, forever) == Status::ok);
  Lock& lock = log.topic_log->header().lock;
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
  CHECK(log.topic_log->ended());
}

TEST_CASE("threads that come and go as a topic's producers end it once, and not before") {
  Shared log;
  constexpr int threads = 4, rounds = 50;
  REQUIRE(log.topic_log->expect_producers(threads * rounds, forever / 2) == Status::ok);
  Subscriber subscriber(log.another(), {});
  REQUIRE(subscriber.join(SubscriberMode::block, From::fresh, 0, forever / 2) == Status::ok);
  std::atomic<int> published{0};
  std::vector<std::thread> producers;
  for (int i = 0; i < threads; ++i) {
    producers.emplace_back([&] {
      const auto topic_log = log.another();
      for (int round = 0; round < rounds; ++round) {
        if (topic_log->enter_producing(true, forever / 2) != Status::ok) return;
        if (publish(*topic_log) == Status::ok) ++published;
        topic_log->leave_producing(1'000'000'000);
      }
    });
  }
  std::uint64_t received = 0;
  for (Slices slices;;) {
    const bool ended = log.topic_log->ended();
    received += read_all(subscriber);
    if (ended) break;
    log.topic_log->wait_event(subscriber.position(), forever, slices);
  }
  for (auto& producer : producers) producer.join();
  CHECK(published == threads * rounds);
  CHECK(received == threads * rounds);
  CHECK(log.topic_log->lost().empty());
}
