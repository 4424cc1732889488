#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

struct Collect {
  std::vector<std::vector<std::byte>> items;
  std::vector<RunReference> taken;
  std::vector<std::vector<std::byte>> heads;
  bool message(std::uint8_t kind, const std::byte* data, std::size_t size) {
    CHECK(kind == 7);
    items.emplace_back(data, data + size);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* references, std::uint32_t count, const std::byte* head,
            std::size_t size) {
    taken.insert(taken.end(), references, references + count);
    heads.emplace_back(head, head + size);
    return true;
  }
};

std::vector<std::byte> content(std::size_t size, unsigned seed) {
  std::vector<std::byte> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(seed + i * 13);
  return data;
}

Status put(Stream& stream, const std::vector<std::byte>& data) {
  Outgoing item;
  item.data = data.data();
  item.size = data.size();
  item.kind = 7;
  std::size_t done = 0;
  return stream.put(&item, 1, done, forever);
}

Status put(Stream& stream, const RunReference& run) {
  Outgoing item;
  item.runs = &run;
  item.run_count = 1;
  std::size_t done = 0;
  return stream.put(&item, 1, done, forever);
}

Status put_run(Stream& stream, std::uint64_t size) {
  RunReference run;
  REQUIRE(stream.allocate_run(size, run).first != no_page);
  std::memset(stream.run_data(run), 5, size);
  const Status status = put(stream, run);
  if (status != Status::ok) stream.release(run);
  return status;
}

}  // namespace

TEST_CASE("every size goes through, over every page's end, in order") {
  Stream stream(Segment::create({}));
  for (std::size_t start = 0; start < 3; ++start) {
    std::deque<std::size_t> waiting;
    for (std::size_t size = start; size <= inline_limit; size += 37) {
      REQUIRE(put(stream, content(size, static_cast<unsigned>(size))) == Status::ok);
      waiting.push_back(size);
      if (waiting.size() < 9) continue;
      Collect sink;
      std::size_t done = 0;
      REQUIRE(stream.take(4, sink, done) == Status::ok);
      REQUIRE(done == 4);
      for (const auto& item : sink.items) {
        CHECK(item == content(waiting.front(), static_cast<unsigned>(waiting.front())));
        waiting.pop_front();
      }
    }
    CHECK(stream.depth() == waiting.size());
    Collect sink;
    std::size_t done = 0;
    REQUIRE(stream.take(100, sink, done) == Status::ok);
    CHECK(done == waiting.size());
    CHECK(stream.check() == "");
  }
}

TEST_CASE("a backlog grows, keeps its order, and gives its memory back") {
  Stream stream(Segment::create({}));
  constexpr unsigned count = 300'000;
  for (unsigned i = 0; i < count; ++i) REQUIRE(put(stream, content(40, i)) == Status::ok);
  CHECK(stream.depth() == count);
  CHECK(stream.statistics().peak_depth == count);
  const std::uint64_t held = stream.segment().memory_held();
  CHECK(held >= count * 48ULL);
  for (unsigned i = 0; i < count;) {
    Collect sink;
    std::size_t done = 0;
    REQUIRE(stream.take(1000, sink, done) == Status::ok);
    for (const auto& item : sink.items) REQUIRE(item == content(40, i++));
  }
  CHECK(stream.empty());
  CHECK(stream.segment().memory_held() < held / 3);
  CHECK(stream.check() == "");
}

TEST_CASE("empty and full, by items") {
  Stream stream(Segment::create({2}));
  Collect sink;
  std::size_t done = 0;
  CHECK(stream.take(1, sink, done) == Status::empty);
  CHECK(put(stream, content(8, 1)) == Status::ok);
  CHECK_FALSE(stream.full());
  CHECK(put(stream, content(8, 2)) == Status::ok);
  CHECK(stream.full());
  CHECK(put(stream, content(8, 3)) == Status::full);
  CHECK(stream.depth() == 2);
  CHECK(stream.take(1, sink, done) == Status::ok);
  CHECK(put(stream, content(8, 4)) == Status::ok);
}

TEST_CASE("a batch puts what fits and says how much") {
  Stream stream(Segment::create({5}));
  const auto data = content(8, 0);
  Outgoing item;
  item.data = data.data();
  item.size = 8;
  const std::vector<Outgoing> items(8, item);
  std::size_t done = 0;
  CHECK(stream.put(items.data(), 8, done, forever) == Status::full);
  CHECK(done == 5);
  CHECK(stream.depth() == 5);
}

TEST_CASE("bounds by bytes: hard and soft") {
  Stream hard(Segment::create({unbounded, 100, false, false}));
  CHECK(put(hard, content(101, 0)) == Status::too_large);
  CHECK(put(hard, content(60, 0)) == Status::ok);
  CHECK(put(hard, content(41, 0)) == Status::full);
  CHECK(put(hard, content(40, 0)) == Status::ok);
  CHECK(hard.full());
  Stream soft(Segment::create({unbounded, 100, true, false}));
  CHECK(put(soft, content(101, 0)) == Status::ok);
  CHECK(put(soft, content(1, 0)) == Status::full);
  CHECK_FALSE(soft.has_room(1));
}

TEST_CASE("what is lent counts, or not, against a soft bound") {
  for (const bool counts : {false, true}) {
    Bounds bounds{unbounded, 400'000, true};
    bounds.counts_lent = counts;
    Stream stream(Segment::create(bounds));
    REQUIRE(put_run(stream, 500'000) == Status::ok);
    Collect sink;
    std::size_t done = 0;
    REQUIRE(stream.take(1, sink, done) == Status::ok);
    REQUIRE(stream.lend(&sink.taken[0], 1));
    CHECK(put(stream, content(20, 1)) == Status::ok);  // into an empty queue always
    CHECK((put(stream, content(20, 1)) == Status::full) == counts);
    stream.release(sink.taken[0]);
    CHECK(put(stream, content(20, 1)) == Status::ok);
  }
}

TEST_CASE("large payloads go by runs, and their pages come back") {
  Stream stream(Segment::create({}));
  for (int round = 0; round < 200; ++round) {
    REQUIRE(put_run(stream, 300'000) == Status::ok);
    REQUIRE(put(stream, content(20, 1)) == Status::ok);
    Collect sink;
    std::size_t done = 0;
    REQUIRE(stream.take(10, sink, done) == Status::ok);
    REQUIRE(sink.taken.size() == 1);
    CHECK(sink.taken[0].size == 300'000);
    CHECK(stream.run_data(sink.taken[0])[299'999] == std::byte{5});
    stream.release(sink.taken[0]);
  }
  CHECK(stream.segment().memory_held() < 20 * 300'000);
  CHECK(stream.check() == "");
}

TEST_CASE("a sink that refuses leaves the item where it was") {
  struct Refuse {
    bool message(std::uint8_t, const std::byte*, std::size_t) { return false; }
    bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return false; }
  } refuse;
  Stream stream(Segment::create({}));
  put(stream, content(8, 1));
  std::size_t done = 9;
  CHECK(stream.take(1, refuse, done) == Status::refused);
  CHECK(done == 0);
  CHECK(stream.depth() == 1);
}

TEST_CASE("a damaged page is found, not followed") {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    Stream stream(Segment::create({}));
    for (unsigned i = 0; i < 30; ++i) put(stream, content(50, i));
    put_run(stream, 70'000);
    Header& header = stream.segment().header();
    // A few bytes anywhere in what the operations read: the sides' states, the pool, the messages.
    std::byte* const places[] = {
        reinterpret_cast<std::byte*>(&header.producers.state), reinterpret_cast<std::byte*>(&header.consumers.state),
        reinterpret_cast<std::byte*>(&header.pool.high_water),
        reinterpret_cast<std::byte*>(&stream.segment().descriptor(0)), stream.segment().page(0)};
    const std::size_t sizes[] = {sizeof header.producers.state, sizeof header.consumers.state, 32, 64, 2000};
    const std::size_t place = random() % 5;
    for (int i = 0; i < 3; ++i) places[place][random() % sizes[place]] = static_cast<std::byte>(random());
    for (int i = 0; i < 40; ++i) {
      Collect sink;
      std::size_t done = 0;
      struct Quiet {
        std::size_t bytes = 0;
        bool message(std::uint8_t, const std::byte* data, std::size_t size) {
          for (std::size_t at = 0; at < size; ++at) bytes += static_cast<std::size_t>(data[at]);
          return true;
        }
        bool runs(std::uint8_t, const RunReference* runs, std::uint32_t count, const std::byte* head,
                  std::size_t size) {
          for (std::uint32_t i = 0; i < count; ++i) bytes += runs[i].size;
          return message(0, head, size);
        }
      } quiet;
      if (stream.take(1, quiet, done) != Status::ok) break;
      put(stream, content(50, 1));
    }
    stream.check();
  }
}

TEST_CASE("an item may have a head and several runs") {
  Stream stream(Segment::create({}));
  RunReference runs[most_runs];
  for (std::uint32_t i = 0; i < most_runs; ++i) {
    REQUIRE(stream.allocate_run(1000 + 70'000 * i, runs[i]).first != no_page);
    std::memset(stream.run_data(runs[i]), static_cast<int>(i), runs[i].size);
  }
  const auto head = content(inline_limit, 3);
  Outgoing item;
  item.data = head.data();
  item.size = head.size();
  item.kind = 7;
  item.runs = runs;
  item.run_count = most_runs;
  std::size_t done = 0;
  REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
  CHECK(stream.statistics().bytes_in == item.payload());
  CHECK(stream.check() == "");
  Collect sink;
  REQUIRE(stream.take(1, sink, done) == Status::ok);
  REQUIRE(sink.taken.size() == most_runs);
  CHECK(sink.heads.at(0) == head);
  for (std::uint32_t i = 0; i < most_runs; ++i) {
    CHECK(sink.taken[i].size == runs[i].size);
    CHECK(stream.run_data(sink.taken[i])[sink.taken[i].size - 1] == static_cast<std::byte>(i));
    stream.release(sink.taken[i]);
  }
  CHECK(stream.statistics().bytes_out == item.payload());
  CHECK(stream.check() == "");
}

namespace {

RunReference taken_run(Stream& stream, std::uint64_t size) {
  REQUIRE(put_run(stream, size) == Status::ok);
  Collect sink;
  std::size_t done = 0;
  REQUIRE(stream.take(1, sink, done) == Status::ok);
  return sink.taken.at(0);
}

}  // namespace

TEST_CASE("what is lent takes room, and never more than half of it") {
  Stream stream(Segment::create({unbounded, 16 * page_size, false, false}));
  const RunReference first = taken_run(stream, 6 * page_size);
  const RunReference second = taken_run(stream, 2 * page_size);
  const RunReference third = taken_run(stream, page_size);
  CHECK(stream.lend(&first, 1));
  CHECK(stream.lend(&second, 1));
  CHECK_FALSE(stream.lend(&third, 1));
  CHECK(stream.statistics().memory_lent == 8 * page_size);
  stream.release(third);
  CHECK(stream.has_room(16 * page_size));  // into an empty queue
  REQUIRE(put_run(stream, 4 * page_size) == Status::ok);
  CHECK_FALSE(stream.has_room(4 * page_size + 1));
  CHECK(stream.has_room(4 * page_size));
  stream.release(first);
  CHECK(stream.has_room(10 * page_size));
  stream.release(second);
  CHECK(stream.statistics().memory_lent == 0);
  CHECK(stream.check() == "");
}

TEST_CASE("the first is lent whatever its size, and more when there is no other way") {
  Stream stream(Segment::create({unbounded, 4 * page_size, false, false}));
  const RunReference first = taken_run(stream, 4 * page_size);
  const RunReference second = taken_run(stream, 4 * page_size);
  CHECK(stream.lend(&first, 1));
  CHECK_FALSE(stream.lend(&second, 1));
  stream.lend_anyway(&second, 1);
  CHECK(stream.statistics().memory_lent == 8 * page_size);
  stream.release(second);
  stream.release(first);
  CHECK(stream.check() == "");
}

TEST_CASE("a run that its producer still looks at is free when both have let go") {
  for (const bool producer_first : {true, false}) {
    CAPTURE(producer_first);
    Stream stream(Segment::create({}));
    RunReference run;
    REQUIRE(stream.allocate_run(100'000, run).first != no_page);
    stream.begin_lending(run);
    REQUIRE(put(stream, run) == Status::ok);
    Collect sink;
    std::size_t done = 0;
    REQUIRE(stream.take(1, sink, done) == Status::ok);
    producer_first ? stream.end_lending(run) : stream.release(run);
    RunReference other;
    REQUIRE(stream.allocate_run(100'000, other).first != no_page);
    CHECK(other.first != run.first);
    CHECK(stream.check() == "");
    producer_first ? stream.release(run) : stream.end_lending(run);
    RunReference again;
    REQUIRE(stream.allocate_run(100'000, again).first != no_page);
    CHECK(again.first == run.first);
    stream.release(other);
    stream.release(again);
    CHECK(stream.check() == "");
  }
}

TEST_CASE("a run that another process has can be borrowed by one at a time, and only from its owner") {
  Stream stream(Segment::create({}));
  RunReference run = taken_run(stream, 100'000);
  CHECK_FALSE(stream.borrow(run, nobody));
  CHECK_FALSE(stream.borrow(run, self() + 2));
  CHECK_FALSE(stream.borrow({run.first, run.pages + 1, run.size}, self()));
  CHECK_FALSE(stream.borrow({stream.segment().page_count(), run.pages, run.size}, self()));
  REQUIRE(stream.borrow(run, self()));
  CHECK_FALSE(stream.borrow(run, self()));
  stream.release(run);
  CHECK_FALSE(stream.borrow(run, self()));
  RunReference other;
  REQUIRE(stream.allocate_run(100'000, other).first != no_page);
  CHECK(other.first != run.first);
  CHECK(stream.check() == "");
  stream.end_lending(run);
  RunReference again;
  REQUIRE(stream.allocate_run(100'000, again).first != no_page);
  CHECK(again.first == run.first);
  stream.release(other);
  stream.release(again);
  CHECK(stream.check() == "");
}

TEST_CASE("a borrower that died keeps nothing") {
  Stream stream(Segment::create({}));
  const RunReference run = taken_run(stream, 100'000);
  const pid_t child = fork();
  if (child == 0) _exit(stream.borrow(run, self()) ? 1 : 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);  // the run was not the child's own to lend
  const OwnerId owner = self();
  const pid_t borrower = fork();
  if (borrower == 0) _exit(stream.borrow(run, owner) ? 0 : 1);
  REQUIRE(waitpid(borrower, &status, 0) == borrower);
  REQUIRE(status == 0);
  stream.release(run);
  RunReference again;
  REQUIRE(stream.allocate_run(100'000, again).first != no_page);
  CHECK(again.first == run.first);
  stream.release(again);
  CHECK(stream.check() == "");
}

TEST_CASE("a run that was not put after all is its maker's as before") {
  Stream stream(Segment::create({1}));
  REQUIRE(put(stream, content(8, 1)) == Status::ok);
  RunReference run;
  REQUIRE(stream.allocate_run(100'000, run).first != no_page);
  stream.begin_lending(run);
  REQUIRE(put(stream, run) == Status::full);
  stream.cancel_lending(run);
  stream.release(run);
  CHECK(stream.check() == "");
}
