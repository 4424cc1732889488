// Leases in one process, and with one that dies.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

struct Collect {
  std::vector<std::uint32_t> numbers;
  std::vector<RunReference> taken;
  bool message(std::uint8_t, const std::byte* data, std::size_t) {
    std::memcpy(&numbers.emplace_back(), data, sizeof numbers[0]);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* references, std::uint32_t count, const std::byte* head, std::size_t) {
    taken.insert(taken.end(), references, references + count);
    return message(0, head, 0);
  }
};

// Items of `size` bytes that begin with a number.
void put(Stream& stream, std::uint32_t first, std::uint32_t count, std::size_t size = 4) {
  std::vector<std::byte> data(size);
  for (std::uint32_t number = first; number < first + count; ++number) {
    std::memcpy(data.data(), &number, sizeof number);
    Outgoing item;
    item.data = data.data();
    item.size = size;
    std::size_t done = 0;
    REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
  }
}

void put_run(Stream& stream, std::uint32_t number, std::uint64_t size) {
  RunReference run;
  REQUIRE(stream.allocate_run(size, run).first != no_page);
  std::memset(stream.run_data(run), static_cast<int>(number), size);
  Outgoing item;
  item.data = reinterpret_cast<const std::byte*>(&number);
  item.size = sizeof number;
  item.runs = &run;
  item.run_count = 1;
  std::size_t done = 0;
  REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
}

std::vector<LeaseId> lease(Stream& stream, std::size_t count, std::vector<std::uint32_t> expected) {
  std::vector<LeaseId> leases(count);
  Collect sink;
  std::size_t done = 0;
  stream.take(count, sink, done, leases.data());
  leases.resize(done);
  CHECK(sink.numbers == expected);
  return leases;
}

std::vector<std::uint32_t> take(Stream& stream, std::size_t count) {
  Collect sink;
  std::size_t done = 0;
  stream.take(count, sink, done);
  for (const RunReference& run : sink.taken) stream.release(run);
  return sink.numbers;
}

using Numbers = std::vector<std::uint32_t>;

// Runs `work` in a child that is gone, without a word, when this returns.
template <class Work>
void in_a_child_that_dies(Work work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
}

}  // namespace

TEST_CASE("a leased item comes back to the front, or never") {
  Stream stream(Segment::create({}));
  put(stream, 0, 5);
  const auto leases = lease(stream, 3, {0, 1, 2});
  CHECK(stream.depth() == 2);
  CHECK(stream.check() == "");
  CHECK(stream.acknowledge(leases[1]) == Status::ok);
  CHECK(stream.acknowledge(leases[1]) == Status::lost);
  CHECK(stream.give_back(leases[2], "two", 0) == Status::ok);
  CHECK(stream.give_back(leases[0], "zero", 0) == Status::ok);
  CHECK(stream.acknowledge(leases[0]) == Status::lost);
  CHECK(stream.depth() == 4);
  CHECK(stream.check() == "");
  const auto again = lease(stream, 1, {0});
  CHECK(again[0].attempts == 1);
  CHECK(take(stream, 10) == Numbers{2, 3, 4});
  CHECK(stream.acknowledge(again[0]) == Status::ok);
  CHECK(stream.empty());
  CHECK(stream.check() == "");
}

TEST_CASE("pages and runs stay as long as somebody may need them") {
  Stream stream(Segment::create({}));
  std::vector<LeaseId> kept;
  constexpr std::uint32_t count = 300;
  for (std::uint32_t number = 0; number < count; ++number) {
    if (number % 10 == 0) {
      put_run(stream, number, 100'000);
    } else {
      put(stream, number, 1, 3000);
    }
  }
  for (std::uint32_t number = 0; number < count; ++number) {
    if (number % 37 == 0 || number % 50 == 0) {
      kept.push_back(lease(stream, 1, {number})[0]);
    } else {
      CHECK(take(stream, 1) == Numbers{number});
    }
    if (number % 20 == 0) CHECK(stream.check() == "");
  }
  // Others use the pages that are free.
  put(stream, 1000, 100, 9000);
  for (int i = 0; i < 5; ++i) put_run(stream, 1100, 150'000);
  CHECK(take(stream, 200).size() == 105);
  Numbers expected;
  for (std::uint32_t number = 0; number < count; ++number) {
    if (number % 37 == 0 || number % 50 == 0) expected.push_back(number);
  }
  for (auto each = kept.rbegin(); each != kept.rend(); ++each) CHECK(stream.give_back(*each, "", 0) == Status::ok);
  CHECK(stream.check() == "");
  Collect sink;
  std::size_t done = 0;
  std::vector<LeaseId> leases(100);
  CHECK(stream.take(100, sink, done, leases.data()) == Status::ok);
  CHECK(sink.numbers == expected);
  for (const RunReference& run : sink.taken) {
    const auto byte = static_cast<unsigned>(stream.run_data(run)[run.size - 1]);
    CHECK((byte % 10 == 0 || byte == 300 - 256));
  }
  for (std::size_t i = 0; i < done; ++i) CHECK(stream.acknowledge(leases[i]) == Status::ok);
  CHECK(stream.check() == "");
}

TEST_CASE("what the dead had under lease comes back, and is intact") {
  Stream stream(Segment::create({}));
  put_run(stream, 7, 200'000);
  put(stream, 8, 3);
  in_a_child_that_dies([&] { lease(stream, 3, {7, 8, 9}); });
  CHECK(stream.depth() == 1);
  const Nanoseconds start = monotonic_now();
  while (stream.depth() < 4 && monotonic_now() < start + 5'000'000'000) stream.look_after_leases();
  CHECK(monotonic_now() < start + 1'000'000'000);
  CHECK(stream.check() == "");
  Collect sink;
  std::size_t done = 0;
  LeaseId id;
  CHECK(stream.take(1, sink, done, &id) == Status::ok);
  CHECK(sink.numbers == Numbers{7});
  CHECK(id.attempts == 1);
  CHECK(stream.run_data(sink.taken[0])[199'999] == std::byte{7});
  CHECK(stream.acknowledge(id) == Status::ok);
  CHECK(take(stream, 2) == Numbers{8, 9});
  stream.segment().count_attached();
  CHECK(stream.check() == "");
}

TEST_CASE("a lease ends when its time is over, and a delay is kept") {
  Stream stream(Segment::create({}));
  put(stream, 0, 1);
  const LeaseId id = lease(stream, 1, {0})[0];
  stream.set_due(id, monotonic_now() + 30'000'000);
  CHECK(stream.settled_empty());
  Slices slices;
  const Nanoseconds start = monotonic_now();
  while (stream.settled_empty() && monotonic_now() < start + 5'000'000'000) stream.wait_not_empty(forever, slices);
  CHECK(monotonic_now() < start + 1'000'000'000);
  CHECK(stream.acknowledge(id) == Status::lost);
  const LeaseId again = lease(stream, 1, {0})[0];
  CHECK(again.attempts == 1);
  const Nanoseconds given_back = monotonic_now();
  CHECK(stream.give_back(again, "", 50'000'000) == Status::ok);
  Slices more;
  while (stream.settled_empty()) stream.wait_not_empty(forever, more);
  CHECK(monotonic_now() >= given_back + 50'000'000);
  CHECK(monotonic_now() < given_back + 1'000'000'000);
  CHECK(lease(stream, 1, {0})[0].attempts == 2);
  CHECK(stream.check() == "");
}

TEST_CASE("what fails too often, or is rejected, is set aside") {
  Bounds bounds;
  bounds.attempts = 2;
  Stream stream(Segment::create(bounds));
  put(stream, 0, 2);
  CHECK(stream.reject(lease(stream, 1, {0})[0], "ValueError: bad") == Status::ok);
  CHECK(stream.give_back(lease(stream, 1, {1})[0], "first", 0) == Status::ok);
  CHECK(stream.failed() == 1);
  CHECK(stream.give_back(lease(stream, 1, {1})[0], "second", 0) == Status::ok);
  CHECK(stream.failed() == 2);
  CHECK(stream.empty());
  CHECK(stream.statistics().dead == 2);
  CHECK(stream.statistics().redelivered == 1);
  Collect sink;
  LeaseId id;
  Failure failure;
  REQUIRE(stream.take_failed(sink, id, failure) == Status::ok);
  CHECK(stream.put_back_failed(id, false) == Status::ok);
  REQUIRE(stream.take_failed(sink, id, failure) == Status::ok);
  CHECK(sink.numbers == Numbers{0, 0});
  CHECK(failure.error == "ValueError: bad");
  CHECK(failure.attempts == 1);
  CHECK(failure.pid == static_cast<std::uint32_t>(getpid()));
  CHECK(stream.acknowledge(id) == Status::ok);
  REQUIRE(stream.take_failed(sink, id, failure) == Status::ok);
  CHECK(failure.error == "second");
  CHECK(failure.attempts == 2);
  CHECK(stream.put_back_failed(id, true) == Status::ok);
  CHECK(stream.take_failed(sink, id, failure) == Status::empty);
  CHECK(stream.statistics().dead == 1);
  CHECK(stream.check() == "");
}

TEST_CASE("as many as the table holds, all given back, in order") {
  Stream stream(Segment::create({}));
  const std::uint32_t capacity = lease_capacity(stream.segment().page_count());
  put(stream, 0, capacity + 1);
  std::vector<LeaseId> leases(capacity + 1);
  Collect sink;
  std::size_t done = 0;
  stream.take(capacity + 1, sink, done, leases.data());
  CHECK(done == capacity);
  std::size_t more = 0;
  CHECK(stream.take(1, sink, more, leases.data()) == Status::too_many);
  CHECK(stream.check() == "");
  for (std::size_t i = done; i-- > 0;) REQUIRE(stream.give_back(leases[i], "", 0) == Status::ok);
  for (std::uint32_t number = 0; number <= capacity;) {
    const Numbers some = take(stream, 1000);
    REQUIRE(!some.empty());
    for (const std::uint32_t each : some) REQUIRE(each == number++);
  }
  CHECK(stream.check() == "");
}

TEST_CASE("tasks: as many done as were put, and no more") {
  Bounds bounds;
  bounds.counts_tasks = true;
  Stream stream(Segment::create(bounds));
  CHECK(stream.all_tasks_done());
  CHECK(stream.task_done() == Status::empty);
  put(stream, 0, 1);
  CHECK_FALSE(stream.all_tasks_done());
  CHECK(stream.task_done() == Status::ok);  // before it is even taken
  CHECK(stream.task_done() == Status::empty);
  CHECK(stream.all_tasks_done());
  CHECK(take(stream, 1) == Numbers{0});
  CHECK(stream.all_tasks_done());
  put(stream, 1, 4);
  CHECK(take(stream, 2) == Numbers{1, 2});
  const auto leases = lease(stream, 2, {3, 4});
  CHECK(stream.acknowledge(leases[0]) == Status::ok);
  CHECK(stream.give_back(leases[1], "", 0) == Status::ok);
  CHECK(take(stream, 1) == Numbers{4});
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(stream.all_tasks_done());
    CHECK(stream.task_done() == Status::ok);
  }
  CHECK(stream.all_tasks_done());
  CHECK(stream.task_done() == Status::empty);
  CHECK(stream.check() == "");
}

TEST_CASE("tasks: the dead finish nothing, and nobody waits for them") {
  Bounds bounds;
  bounds.counts_tasks = true;
  Stream stream(Segment::create(bounds));
  put(stream, 0, 5);
  in_a_child_that_dies([&] { CHECK(take(stream, 2) == Numbers{0, 1}); });
  CHECK(take(stream, 3) == Numbers{2, 3, 4});
  for (int i = 0; i < 3; ++i) CHECK(stream.task_done() == Status::ok);
  const Nanoseconds start = monotonic_now();
  Slices slices;
  while (!stream.all_tasks_done() && monotonic_now() < start + 5'000'000'000) {
    stream.wait_all_tasks_done(forever, slices);
  }
  CHECK(monotonic_now() < start + 1'000'000'000);
  CHECK(stream.check() == "");
}

namespace {

// Copies what it is shown, and takes a few at a time.
struct Look {
  const Stream& stream;
  Numbers numbers;
  std::vector<std::byte> content;
  std::size_t most = 3, shown = 0;
  bool message(std::uint8_t, const std::byte* data, std::size_t) {
    if (shown == most) return false;
    ++shown;
    std::memcpy(&numbers.emplace_back(), data, sizeof numbers[0]);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t, const std::byte* head, std::size_t) {
    if (!message(0, head, 0)) return false;
    content.assign(stream.run_data(runs[0]), stream.run_data(runs[0]) + runs[0].size);
    return true;
  }
};

Status look(Stream& stream, Stream::Place& place, std::size_t count, Numbers expected) {
  Look sink{stream, {}, {}};
  std::size_t done = 0;
  const Status status = stream.look(place, count, sink, done, 0);
  CHECK(done == expected.size());
  CHECK(sink.numbers == expected);
  return status;
}

}  // namespace

TEST_CASE("a look shows what waits, in order, and changes nothing") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  Stream::Place start;
  CHECK(look(stream, start, 5, {}) == Status::empty);
  put(stream, 0, 6, 12'000);  // over the end of a page
  put_run(stream, 6, 100'000);
  const auto leases = lease(stream, 3, {0, 1, 2});
  CHECK(stream.give_back(leases[1], "", 0) == Status::ok);
  CHECK(stream.give_back(leases[0], "", 0) == Status::ok);
  const StreamStatistics before = stream.statistics();
  Stream::Place place;
  CHECK(look(stream, place, 2, {0, 1}) == Status::ok);
  CHECK(look(stream, place, 9, {3, 4, 5}) == Status::ok);  // the sink has had enough
  CHECK(look(stream, place, 9, {6}) == Status::ok);
  CHECK(look(stream, place, 9, {}) == Status::empty);
  put(stream, 7, 1);
  CHECK(look(stream, place, 9, {7}) == Status::ok);
  const StreamStatistics after = stream.statistics();
  CHECK(after.items_out == before.items_out);
  CHECK(after.returned == 2);
  CHECK(after.leased == 1);
  CHECK(stream.check() == "");
  CHECK(take(stream, 9) == Numbers{0, 1, 3, 4, 5, 6, 7});
  stream.acknowledge(leases[2]);
  CHECK(stream.check() == "");
}

TEST_CASE("a look goes on where it was, whatever was taken, put or given back meanwhile") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  put(stream, 0, 40, 9'000);
  Stream::Place place;
  CHECK(look(stream, place, 2, {0, 1}) == Status::ok);
  CHECK(take(stream, 2) == Numbers{0, 1});
  CHECK(look(stream, place, 2, {2, 3}) == Status::ok);
  CHECK(take(stream, 10).size() == 10);  // past the place, and its page
  CHECK(look(stream, place, 1, {12}) == Status::ok);
  const auto leases = lease(stream, 4, {12, 13, 14, 15});
  for (const LeaseId& each : leases) CHECK(stream.give_back(each, "", 0) == Status::ok);
  CHECK(look(stream, place, 3, {13, 14, 15}) == Status::ok);
  CHECK(look(stream, place, 1, {16}) == Status::ok);
  CHECK(stream.shutdown(true, forever) == Status::ok);
  CHECK(look(stream, place, 1, {}) == Status::empty);
}

TEST_CASE("a look shows more of what came back than one walk finds") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  put(stream, 0, 100);
  Numbers numbers;
  for (std::uint32_t number = 0; number < 80; ++number) numbers.push_back(number);
  auto leases = lease(stream, 80, numbers);
  for (auto each = leases.rbegin(); each != leases.rend(); ++each) CHECK(stream.give_back(*each, "", 0) == Status::ok);
  Stream::Place place;
  Numbers seen;
  for (Status status = Status::ok; status == Status::ok;) {
    Look sink{stream, {}, {}, 1000};
    std::size_t done = 0;
    status = stream.look(place, 1000, sink, done, 0);
    seen.insert(seen.end(), sink.numbers.begin(), sink.numbers.end());
  }
  CHECK(seen.size() == 100);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
}

TEST_CASE("a purge drops what waits and what is delayed, in one step, and leaves what is leased") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  put(stream, 0, 10, 12'000);
  put_run(stream, 10, 100'000);
  const auto leases = lease(stream, 3, {0, 1, 2});
  CHECK(stream.give_back(leases[0], "", 0) == Status::ok);
  CHECK(stream.give_back(leases[1], "", 60'000'000'000) == Status::ok);
  std::uint64_t count = 0;
  CHECK(stream.purge(count, 0) == Status::ok);
  CHECK(count == 10);
  CHECK(stream.empty());
  CHECK(stream.check() == "");
  put(stream, 11, 1);
  CHECK(stream.give_back(leases[2], "", 0) == Status::ok);
  CHECK(take(stream, 9) == Numbers{2, 11});
  CHECK(stream.purge(count, 0) == Status::ok);
  CHECK(count == 0);
  CHECK(stream.check() == "");
}
