// A segment that is damaged, or whose locks are: what the core makes of it.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

struct Drop {
  std::uint32_t taken = 0;
  bool message(std::uint8_t, const std::byte*, std::size_t) { return ++taken, true; }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t count, const std::byte*, std::size_t) {
    for (std::uint32_t i = 0; i < count && kept < 4; ++i) at[kept++] = runs[i];
    return ++taken, true;
  }
  RunReference at[4];
  std::uint32_t kept = 0;
};

Status put(Stream& stream, std::size_t size) {
  std::byte data[4096]{};
  Outgoing item;
  item.data = data;
  item.size = size;
  std::size_t done = 0;
  return stream.put(&item, 1, done, 100'000'000);
}

RunReference put_run(Stream& stream, std::uint64_t size) {
  RunReference run;
  REQUIRE(stream.allocate_run(size, run).first != no_page);
  Outgoing item;
  item.runs = &run;
  item.run_count = 1;
  std::size_t done = 0;
  REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
  return run;
}

Status take(Stream& stream, Drop& sink) {
  std::size_t done = 0;
  return stream.take(1, sink, done);
}

void forge(Lock& lock, std::uint64_t word) {
  static_assert(sizeof(Lock) == sizeof word);
  std::memcpy(static_cast<void*>(&lock), &word, sizeof word);
}

// A process that lives, and another that had its pid before.
struct Neighbour {
  pid_t pid = fork();
  Neighbour() {
    if (pid == 0) {
      pause();
      _exit(0);
    }
  }
  ~Neighbour() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  OwnerId predecessor() const { return make_owner(static_cast<std::uint32_t>(pid), 12'345); }
  // Its start is not known here, so it passes for whoever has the pid.
  OwnerId itself() const { return make_owner(static_cast<std::uint32_t>(pid), 0); }
};

}  // namespace

TEST_CASE("whoever has a dead process's pid is not taken for it") {
  const Neighbour neighbour;
  CHECK(is_alive(neighbour.itself()));
  CHECK_FALSE(is_alive(neighbour.predecessor()));
  const auto segment = Segment::create({});
  Stream stream(segment);
  Header& header = segment->header();
  REQUIRE(put(stream, 100) == Status::ok);

  SUBCASE("its locks are taken over") {
    for (Lock* const lock : {&header.producers.lock, &header.consumers.lock, &header.pool.lock, &header.ready_lock}) {
      forge(*lock, neighbour.predecessor());
      CHECK(lock->acquire(monotonic_now() + 5'000'000'000) == Locked::recovered);
      lock->unlock();
    }
  }
  SUBCASE("its runs are swept") {
    const RunReference run = put_run(stream, 300'000);
    Drop sink;
    REQUIRE(take(stream, sink) == Status::ok);
    REQUIRE(take(stream, sink) == Status::ok);
    segment->descriptor(run.first).owner = neighbour.predecessor();
    header.sweep_wanted.store(1, relaxed);
    CHECK(stream.check() == "");
    CHECK(segment->descriptor(run.first).use == PageUse::none);
  }
  SUBCASE("it is struck from the users") {
    header.getting[5].store(neighbour.predecessor(), relaxed);
    header.putting[7].store(neighbour.itself(), relaxed);
    CHECK(segment->count_attached().getting == 0);
    CHECK(segment->count_attached().putting == 1);
  }
}

TEST_CASE("nobody is not alive, nor is a process without a pid") {
  CHECK_FALSE(is_alive(nobody));
  CHECK_FALSE(is_alive(make_owner(0, 99)));
  CHECK_FALSE(is_alive(make_owner(0x3fffff, 99)));
}

TEST_CASE("a pool whose lock is never free loses nothing for good") {
  const Neighbour neighbour;
  const auto segment = Segment::create({});
  Stream stream(segment);
  Header& header = segment->header();
  const RunReference queued = put_run(stream, 300'000);
  RunReference mine;
  REQUIRE(stream.allocate_run(200'000, mine).first != no_page);
  forge(header.pool.lock, neighbour.itself());

  const Nanoseconds start = monotonic_now();
  RunReference none;
  CHECK(stream.allocate_run(100'000, none).error == EBUSY);
  CHECK(put(stream, 100) == Status::ok);  // there is room in the page
  Drop sink;
  CHECK(take(stream, sink) == Status::ok);
  REQUIRE(sink.kept == 1);
  CHECK_FALSE(stream.lend(&sink.at[0], 1));
  stream.release(sink.at[0]);
  stream.release(mine);
  CHECK_FALSE(stream.begin_lending(queued));
  CHECK_FALSE(stream.check(10'000'000).has_value());
  CHECK(monotonic_now() - start < 3'000'000'000);

  forge(header.pool.lock, nobody);
  CHECK(stream.check() == "");
  CHECK(segment->descriptor(queued.first).use == PageUse::none);
  CHECK(segment->descriptor(mine.first).use == PageUse::none);
}

TEST_CASE("a producer that looks on lets go without the pool's lock") {
  for (const bool taker_first : {true, false}) {
    CAPTURE(taker_first);
    const Neighbour neighbour;
    const auto segment = Segment::create({});
    Stream stream(segment);
    RunReference run;
    REQUIRE(stream.allocate_run(200'000, run).first != no_page);
    REQUIRE(stream.begin_lending(run));
    Outgoing item;
    item.runs = &run;
    item.run_count = 1;
    std::size_t done = 0;
    REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
    Drop sink;
    REQUIRE(take(stream, sink) == Status::ok);
    if (taker_first) stream.release(sink.at[0]);
    forge(segment->header().pool.lock, neighbour.itself());
    stream.end_lending(run);
    forge(segment->header().pool.lock, nobody);
    if (!taker_first) stream.release(sink.at[0]);
    CHECK(stream.check() == "");
    CHECK(segment->descriptor(run.first).use == PageUse::none);
  }
}

TEST_CASE("a put that does not get the ready lock has done nothing") {
  const Neighbour neighbour;
  const auto segment = Segment::create({});
  Stream stream(segment);
  REQUIRE(stream.watch() == 0);
  forge(segment->header().ready_lock, neighbour.itself());
  CHECK(put(stream, 100) == Status::busy);
  CHECK(stream.empty());
  CHECK(stream.bytes_waiting() == 0);
  forge(segment->header().ready_lock, nobody);
  CHECK(put(stream, 100) == Status::ok);
  CHECK(stream.check() == "");
}

TEST_CASE("a sweep that does not get a lock stays wanted") {
  const Neighbour neighbour;
  const auto segment = Segment::create({});
  Stream stream(segment);
  Header& header = segment->header();
  REQUIRE(put(stream, 100) == Status::ok);
  header.sweep_wanted.store(1, relaxed);
  forge(header.producers.lock, neighbour.itself());
  Drop sink;
  CHECK(take(stream, sink) == Status::ok);  // the consumers go on
  CHECK(header.sweep_wanted.load(relaxed) == 1);
  CHECK(put(stream, 100) == Status::busy);
  forge(header.producers.lock, nobody);
  CHECK(put(stream, 100) == Status::ok);
  CHECK(header.sweep_wanted.load(relaxed) == 0);
}

TEST_CASE("numbers in a segment lead nowhere outside of it") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  Header& header = segment->header();
  const RunReference run = put_run(stream, 200'000);
  Drop sink;

  SUBCASE("a run of another length") { segment->descriptor(run.first).next += 1; }
  SUBCASE("a run that is another item's") { segment->descriptor(run.first).ticket = 7; }
  SUBCASE("a run that is free") { segment->descriptor(run.first).use = PageUse::none; }
  SUBCASE("a position past the page") { header.consumers.state[0].offset = page_size + 8; }
  SUBCASE("a position between two messages") { header.consumers.state[0].offset = 12; }
  SUBCASE("a page past the last") { header.consumers.state[0].page = segment->page_count(); }
  SUBCASE("a message longer than any") {
    auto* const message = reinterpret_cast<MessageHeader*>(segment->page(0));
    message->size = most_of_runs + 8;
  }
  CHECK(take(stream, sink) == Status::corrupt);
  CHECK(sink.taken == 0);
  CHECK(stream.check() != "");
}

TEST_CASE("pages that follow each other in a circle are found out") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  for (int i = 0; i < 100; ++i) REQUIRE(put(stream, 4000) == Status::ok);
  // Each second page leads back to the first, and the count of items is beyond all bounds.
  segment->descriptor(segment->descriptor(0).next).next = 0;
  auto& tail = segment->header().tail.word;
  tail.store(tail.load(relaxed) | std::uint64_t{1} << 62, relaxed);
  const Nanoseconds start = monotonic_now();
  CHECK(stream.check() != "");
  CHECK(monotonic_now() - start < 5'000'000'000);
}

TEST_CASE("a pool whose numbers are damaged hands out nothing outside of the segment") {
  const auto segment = Segment::create({});
  PoolState& state = segment->header().pool;
  Pool pool(*segment);
  const auto some = pool.allocate(3, PageUse::run);
  pool.free(some.first, 3);
  const auto work = [&] {
    for (int i = 0; i < 200; ++i) {
      const auto got = pool.allocate(1 + static_cast<std::uint32_t>(i) % 5, PageUse::run);
      if (got.first == no_page) continue;
      REQUIRE(got.first < segment->page_count());
      pool.free(got.first, 1 + static_cast<std::uint32_t>(i) % 5);
    }
  };
  SUBCASE("more warm runs than fit") { state.warm_count = UINT32_MAX; }
  SUBCASE("more missed than there is") { state.missed = state.least_warm = state.frees = UINT32_MAX; }
  SUBCASE("a warm run past the end") { state.warm[0] = {UINT32_MAX - 2, 3}; }
  SUBCASE("a warm run without end") { state.warm[0] = {1, UINT32_MAX}; }
  SUBCASE("a mark past the end") { state.high_water = UINT32_MAX; }
  SUBCASE("a hint past the end") {
    state.cold_hint = UINT32_MAX;
    state.cold_count = UINT32_MAX;
  }
  SUBCASE("counts past all") {
    state.warm_pages = UINT64_MAX;
    state.recent_peak = UINT32_MAX;
    state.recent_run = UINT32_MAX;
  }
  work();
}
