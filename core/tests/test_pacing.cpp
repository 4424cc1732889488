#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "conveyor/queue/pacing.hpp"
#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

struct Dropping {
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
};

// An unbounded queue, and the one who puts into it.
struct Paced {
  std::shared_ptr<Segment> segment = Segment::create({});
  Stream stream{segment};
  Pacing pacing{segment->header()};
  std::vector<std::byte> data = std::vector<std::byte>(inline_limit);

  // Whether a rest is due after it.
  bool put() {
    Outgoing item;
    item.data = data.data();
    item.size = data.size();
    return put(item);
  }
  bool put(const Outgoing& item) {
    std::size_t done = 0;
    REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
    return pacing.is_due(1, [&] { return item.payload(); });
  }
  bool put_large(std::uint64_t size) {
    RunReference run;
    REQUIRE(stream.allocate_run(size, run).error == 0);
    Outgoing item;
    item.run_count = 1;
    item.runs = &run;
    return put(item);
  }
  void take() {
    Dropping sink;
    std::size_t done = 0;
    REQUIRE(stream.take(1, sink, done) == Status::ok);
  }
  void fill() {
    while (stream.bytes_waiting() < Pacing::least_bytes) put();
  }
};

}  // namespace

TEST_CASE("pacing: who is not far ahead never rests") {
  Paced queue;
  int due = 0;
  while (queue.stream.bytes_waiting() < Pacing::least_bytes) due += queue.put();
  CHECK(due == 0);
  // However much goes through.
  for (int i = 0; i < 10'000; ++i) {
    queue.take();
    due += queue.put();
  }
  CHECK(due == 0);
}

TEST_CASE("pacing: of large items some may wait, whatever they take") {
  Paced queue;
  constexpr std::uint64_t size = 8 << 20;
  for (std::uint64_t i = 0; i < Pacing::least_items; ++i) CHECK_FALSE(queue.put_large(size));
  CHECK(queue.put_large(size));
}

TEST_CASE("pacing: who puts small items never rests, however many wait") {
  Paced queue;
  queue.data.resize(Pacing::least_item - 1);
  int due = 0;
  for (int i = 0; i < 10'000; ++i) due += queue.put();
  CHECK(queue.stream.bytes_waiting() > 2 * Pacing::least_bytes);
  CHECK(due == 0);
  queue.data.resize(Pacing::least_item);
  for (std::uint64_t i = 0; i <= Pacing::look_every / Pacing::least_item; ++i) due += queue.put();
  CHECK(due == 1);
}

TEST_CASE("pacing: where nobody takes, hardly anybody rests") {
  Paced queue;
  queue.fill();
  int looks = 0, rests = 0;
  // Each 64 KiB a look; a rest at the 1st, 3rd, 7th ... 1,023rd, and then each 1,024th.
  for (; looks < 4 * 2048; looks += 1) {
    for (std::size_t i = 0; i < Pacing::look_every / inline_limit; ++i) {
      if (!queue.put()) continue;
      ++rests;
      queue.pacing.rest([] {});
    }
  }
  CHECK(rests > 10);
  CHECK(rests <= 10 + 1 + looks / 1024);
}

TEST_CASE("pacing: where somebody takes, each look makes one rest") {
  Paced queue;
  queue.fill();
  queue.put();
  int rests = 0;
  for (int i = 0; i < 400; ++i) {
    if (!queue.put()) continue;
    ++rests;
    queue.pacing.rest([&] { queue.take(); });
  }
  CHECK(rests >= 99);
  CHECK(rests <= 101);
}

TEST_CASE("pacing: a consumer that comes back is waited for again") {
  Paced queue;
  queue.fill();
  for (int i = 0; i < 4096; ++i) {
    if (queue.put()) queue.pacing.rest([] {});
  }
  int until_found = 0, rests = 0;
  while (!queue.put()) ++until_found;
  CHECK(until_found <= 4 * 1024);
  queue.pacing.rest([&] { queue.take(); });
  for (int i = 0; i < 40; ++i) rests += queue.put();
  CHECK(rests >= 9);
}

TEST_CASE("pacing: what a damaged header says makes nobody rest") {
  Paced queue;
  queue.fill();
  queue.segment->header().head.bytes.store(UINT64_MAX, relaxed);
  int due = 0;
  for (int i = 0; i < 100; ++i) due += queue.put();
  CHECK(due == 0);
}

TEST_CASE("pacing: a rest ends by itself") {
  Paced queue;
  const Nanoseconds before = monotonic_now();
  queue.pacing.rest();
  CHECK(monotonic_now() - before < 2'000'000'000);
}
