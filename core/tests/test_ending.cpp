#include "conveyor/memory/ending.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

struct Ignore {
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
};

Status put(Stream& stream) {
  Outgoing item;
  std::size_t done = 0;
  return stream.put(&item, 1, done, forever);
}

Status take(Stream& stream) {
  Ignore sink;
  std::size_t done = 0;
  for (;;) {
    const Status status = stream.take(1, sink, done);
    if (status != Status::busy) return status;
    stream.await_consumers_lock(forever);
  }
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

void set_ended(Stream& stream, End how) {
  stream.segment().header().ended.store(static_cast<std::uint32_t>(how), release);
}

Bounds with_tasks() {
  Bounds bounds;
  bounds.counts_tasks = true;
  return bounds;
}

std::uint64_t unfinished(Stream& stream) {
  std::uint64_t count = 0;
  REQUIRE(stream.count_unfinished(count, forever) == Status::ok);
  return count;
}

}  // namespace

TEST_CASE("what was to be dropped is dropped by whoever comes") {
  for (int who = 0; who < 3; ++who) {
    CAPTURE(who);
    Stream stream(Segment::create(with_tasks()));
    for (int i = 0; i < 5; ++i) REQUIRE(put(stream) == Status::ok);
    REQUIRE(take(stream) == Status::ok);
    set_ended(stream, End::drop);  // and dies
    CHECK(stream.depth() == 4);
    if (who == 0) CHECK(take(stream) == Status::empty);
    if (who == 1) CHECK(unfinished(stream) == 1);
    if (who == 2) CHECK(stream.task_done() == Status::ok);
    CHECK(stream.empty());
    CHECK(unfinished(stream) == (who == 2 ? 0 : 1));
    CHECK(put(stream) == Status::shut_down);
    CHECK(stream.check() == "");
  }
}

TEST_CASE("a drop is one step for those who take at the same time") {
  for (int turn = 0; turn < 20; ++turn) {
    Stream stream(Segment::create(with_tasks()));
    constexpr std::uint64_t items = 2000;
    for (std::uint64_t i = 0; i < items; ++i) REQUIRE(put(stream) == Status::ok);
    std::atomic<std::uint64_t> taken{0};
    std::vector<std::thread> takers;
    for (int i = 0; i < 2; ++i) {
      takers.emplace_back([&] {
        while (take(stream) == Status::ok) ++taken;
      });
    }
    while (taken < 100) std::this_thread::yield();
    CHECK(stream.shutdown(true, forever) == Status::ok);
    for (auto& taker : takers) taker.join();
    CHECK(unfinished(stream) == taken);
    CHECK(stream.empty());
  }
}

TEST_CASE("those who sleep wake at the end, and the descriptor tells of it") {
  Stream stream(Segment::create({1}));
  REQUIRE(stream.watch() == 0);
  std::thread getter([&] {
    Slices slices;
    while (!stream.ended()) stream.wait_not_empty(forever, slices);
  });
  pollfd look{stream.segment().ready_fd(), POLLIN, 0};
  CHECK(poll(&look, 1, 0) == 0);
  while (!stream.segment().header().not_empty.has_sleepers()) std::this_thread::yield();
  const Nanoseconds start = monotonic_now();
  CHECK(stream.shutdown(false, forever) == Status::ok);
  getter.join();
  CHECK(monotonic_now() - start < Slices::shortest / 2);
  CHECK(poll(&look, 1, 0) == 1);
  CHECK(take(stream) == Status::empty);
  CHECK(stream.settled_empty());
  CHECK(poll(&look, 1, 0) == 1);
}

TEST_CASE("threads that come and go as producers end the stream once, and not before") {
  Stream stream(Segment::create({16}));
  constexpr int threads = 4, rounds = 50;
  REQUIRE(stream.expect_producers(threads * rounds, forever) == Status::ok);
  std::atomic<int> puts{0};
  std::vector<std::thread> producers;
  for (int i = 0; i < threads; ++i) {
    producers.emplace_back([&] {
      for (int round = 0; round < rounds; ++round) {
        if (stream.enter_producing(true, forever) != Status::ok) return;
        Slices slices;
        Status status;
        while ((status = put(stream)) == Status::full) stream.wait_not_full(0, forever, slices);
        if (status == Status::ok) ++puts;
        stream.leave_producing(forever);
      }
    });
  }
  int taken = 0;
  Slices slices;
  for (;;) {
    const bool ended = stream.ended();
    if (take(stream) == Status::ok) {
      ++taken;
    } else if (ended) {
      break;
    } else {
      stream.wait_not_empty(forever, slices);
    }
  }
  for (auto& producer : producers) producer.join();
  CHECK(puts == threads * rounds);
  CHECK(taken == threads * rounds);
  CHECK(stream.lost().empty());
}

TEST_CASE("the lost are known by what they put and by what killed them") {
  Stream stream(Segment::create({}));
  const auto work = [&] {
    stream.enter_producing(true, forever);
    for (int i = 0; i < 3; ++i) put(stream);
    const pid_t below = fork();
    if (below == 0) _exit(put(stream) == Status::ok ? 0 : 1);  // inherits the slot's number, not the slot
    waitpid(below, nullptr, 0);
  };
  REQUIRE(stream.enter_producing(true, forever) == Status::ok);
  const pid_t seen = child(work), reaped = child(work);
  for (int i = 0; i < 4; ++i) REQUIRE(put(stream) == Status::ok);  // count for nobody else
  kill_only(seen);
  kill_and_reap(reaped);
  stream.look_for_lost();
  CHECK_FALSE(stream.ended());
  stream.leave_producing(forever);
  CHECK(stream.ended());
  const std::vector<LostProducer> lost = stream.lost();
  REQUIRE(lost.size() == 2);
  for (const LostProducer& one : lost) {
    CHECK(one.items == 3);
    CHECK(one.pid == static_cast<std::uint32_t>(one.signal != 0 ? seen : reaped));
    CHECK((one.signal == SIGKILL || one.signal == 0));
  }
  CHECK(lost[0].signal + lost[1].signal == SIGKILL);
  waitpid(seen, nullptr, 0);
}

TEST_CASE("a shutdown does not cover up a loss that nobody had noticed") {
  Stream stream(Segment::create({}));
  kill_and_reap(child([&] { stream.enter_producing(true, forever); }));
  CHECK(stream.shutdown(false, forever) == Status::ok);
  CHECK(stream.lost().size() == 1);
}

TEST_CASE("a full table: the living are not turned out, the dead make room but for one") {
  Stream stream(Segment::create({}));
  Segment& segment = stream.segment();
  EndingState& state = segment.header().ending;
  REQUIRE(stream.enter_producing(true, forever) == Status::ok);
  const auto fill = [&](std::uint32_t first, OwnerId owner) {
    for (std::uint32_t i = first; i < producer_capacity; ++i) {
      REQUIRE((i < producers_in_front || segment.reserve_producer(i)));
      ProducerSlot& slot = i < producers_in_front ? state.producers[i] : *segment.producer(i);
      slot.blocks.store(1, relaxed);
      slot.owner.store(owner, relaxed);
    }
    state.high.store(producer_capacity, relaxed);
  };
  const OwnerId gone = make_owner(0x3fffff, 1);
  fill(1, gone);
  const auto enters = [&] {
    Status status = Status::ok;
    const pid_t pid = fork();
    if (pid == 0) _exit(stream.enter_producing(true, forever) == Status::crowded ? 7 : 0);
    int exit = 0;
    waitpid(pid, &exit, 0);
    if (WEXITSTATUS(exit) == 7) status = Status::crowded;
    return status;
  };
  CHECK(enters() == Status::crowded);
  CHECK(stream.enter_producing(true, forever) == Status::ok);  // we have a slot
  stream.look_for_lost();
  CHECK(stream.lost().size() == producer_capacity - 1);
  for (std::uint32_t i = 0; i < 20; ++i) {
    CHECK(enters() == Status::ok);
    stream.look_for_lost();
  }
  CHECK(stream.lost().size() == producer_capacity - 1);
  CHECK(stream.lost()[0].pid == owner_pid(gone));
  // The first of them stays even when there is no other place.
  fill(2, make_owner(1, 0));  // lives, whenever it began
  CHECK(enters() == Status::crowded);
  CHECK(stream.lost().size() == 1);
}

TEST_CASE("two thousand processes are producers at a time, and afterwards nothing is gone through for them") {
  constexpr std::uint32_t many = 2000;
  Stream stream(Segment::create({}));
  EndingState& state = stream.segment().header().ending;
  REQUIRE(stream.expect_producers(many, forever) == Status::ok);
  int go[2], in[2];
  REQUIRE(pipe(go) == 0);
  REQUIRE(pipe(in) == 0);
  std::vector<pid_t> all;
  for (std::uint32_t i = 0; i < many; ++i) {
    const pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid != 0) {
      all.push_back(pid);
      continue;
    }
    close(go[1]);
    char byte = stream.enter_producing(true, forever) == Status::ok ? 1 : 0;
    if (write(in[1], &byte, 1) != 1) _exit(1);
    while (read(go[0], &byte, 1) < 0) {
    }
    if (put(stream) != Status::ok) _exit(2);
    if (i % 500 == 0) raise(SIGKILL);
    _exit(stream.leave_producing(forever) == Status::ok ? 0 : 3);
  }
  std::uint32_t entered = 0;
  for (std::uint32_t i = 0; i < many; ++i) {
    char byte = 0;
    REQUIRE(read(in[0], &byte, 1) == 1);
    entered += static_cast<std::uint32_t>(byte);
  }
  CHECK(entered == many);
  CHECK(state.high.load() == many);
  CHECK_FALSE(stream.ended());
  for (const int fd : {go[0], go[1], in[0], in[1]}) close(fd);
  std::uint32_t killed = 0;
  for (const pid_t pid : all) {
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) {
      ++killed;
    } else {
      CHECK(WEXITSTATUS(status) == 0);
    }
  }
  CHECK(killed == many / 500);
  stream.look_for_lost();
  CHECK(stream.ended());
  CHECK(stream.lost().size() == killed);
  for (const LostProducer& one : stream.lost()) CHECK(one.items == 1);
}

TEST_CASE("the table is as long as those who are in it need") {
  Stream stream(Segment::create({}));
  EndingState& state = stream.segment().header().ending;
  CHECK(state.high.load() == 0);
  REQUIRE(stream.expect_producers(100, forever) == Status::ok);
  REQUIRE(stream.enter_producing(true, forever) == Status::ok);
  for (int i = 0; i < 3; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      const bool fine = stream.enter_producing(true, forever) == Status::ok && state.high.load() == 2 &&
                        stream.leave_producing(forever) == Status::ok;
      _exit(fine ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(status == 0);
    CHECK(state.high.load() == 1);
  }
  CHECK(stream.leave_producing(forever) == Status::ok);
  CHECK(state.high.load() == 0);
}

TEST_CASE("a damaged table leads nowhere") {
  Stream stream(Segment::create({}));
  EndingState& state = stream.segment().header().ending;
  ProducerPlace place;
  Producers producers(state, place, &stream.segment());
  for (const std::uint32_t high : {0U, 3U, producer_capacity, UINT32_MAX}) {
    for (const std::uint64_t intent : {UINT64_MAX, std::uint64_t{producer_capacity - 1} << 47, std::uint64_t{1}}) {
      state.high.store(high, relaxed);
      state.intent.store(intent, relaxed);
      producers.recover(0);
      CHECK(state.intent.load(relaxed) == 0);
      CHECK(producers.lost(0).empty());
    }
  }
}
