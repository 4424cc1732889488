// Many threads, and many processes, on one stream: each item arrives once, and each producer's in order.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

constexpr int sides = 3;

struct Item {
  std::uint32_t producer, number;
};

struct Tally {
  Atomic<std::uint64_t> received, sum, disorder, failures;
};

struct Sink {
  Stream& stream;
  std::vector<Item> items;
  std::vector<RunReference> taken;
  bool message(std::uint8_t, const std::byte* data, std::size_t size) {
    Item item;
    if (size < sizeof item) return false;
    std::memcpy(&item, data, sizeof item);
    items.push_back(item);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t, const std::byte*, std::size_t) {
    Item item;
    std::memcpy(&item, stream.run_data(runs[0]), sizeof item);
    items.push_back(item);
    taken.push_back(runs[0]);
    return true;
  }
};

void produce(Stream& stream, Tally& tally, std::uint32_t producer, std::uint32_t count) {
  std::vector<std::byte> data(3000);
  for (std::uint32_t number = 0; number < count; ++number) {
    const Item content{producer, number};
    Outgoing item;
    RunReference run;
    if (number % 50 == 7) {
      if (stream.allocate_run(100'000, run).first == no_page) {
        tally.failures.fetch_add(1, relaxed);
        return;
      }
      std::memcpy(stream.run_data(run), &content, sizeof content);
      item.runs = &run;
      item.run_count = 1;
    } else {
      std::memcpy(data.data(), &content, sizeof content);
      item.data = data.data();
      item.size = number % 20 == 3 ? 3000 : 24;
    }
    Slices slices;
    for (std::size_t done = 0; done == 0;) {
      const Status status = stream.put(&item, 1, done, forever);
      if (status == Status::full) stream.wait_not_full(item.payload(), forever, slices);
      if (status == Status::corrupt || status == Status::no_memory) {
        tally.failures.fetch_add(1, relaxed);
        return;
      }
    }
  }
}

void consume(Stream& stream, Tally& tally, std::uint64_t total) {
  std::int64_t last[sides];
  for (std::int64_t& each : last) each = -1;
  RunReference kept{no_page, 0, 0};
  Slices slices;
  while (tally.received.load(relaxed) < total) {
    Sink sink{stream, {}, {}};
    std::size_t done = 0;
    const Status status = stream.take(1 + tally.received.load(relaxed) % 7, sink, done);
    if (status == Status::busy) stream.await_consumers_lock(10'000'000);
    if (status == Status::empty) stream.wait_not_empty(monotonic_now() + 10'000'000, slices);
    if (status == Status::corrupt) {
      tally.failures.fetch_add(1, relaxed);
      return;
    }
    for (const Item& item : sink.items) {
      if (last[item.producer] >= item.number) tally.disorder.fetch_add(1, relaxed);
      last[item.producer] = item.number;
      tally.sum.fetch_add(item.number, relaxed);
    }
    for (const RunReference& run : sink.taken) {
      // Every other one is kept while the next is taken.
      if (kept.first == no_page && stream.lend(&run, 1)) {
        kept = run;
        continue;
      }
      if (kept.first != no_page) stream.release(std::exchange(kept, {no_page, 0, 0}));
      stream.release(run);
    }
    tally.received.fetch_add(done, relaxed);
  }
  if (kept.first != no_page) stream.release(kept);
}

void verify(const Tally& tally, Stream& stream, std::uint64_t count) {
  CHECK(tally.failures.load(relaxed) == 0);
  CHECK(tally.disorder.load(relaxed) == 0);
  CHECK(tally.received.load(relaxed) == sides * count);
  CHECK(tally.sum.load(relaxed) == sides * (count * (count - 1) / 2));
  CHECK(stream.empty());
  CHECK(stream.check() == "");
}

}  // namespace

TEST_CASE("threads") {
  for (const std::uint64_t bound : {unbounded, std::uint64_t{5}}) {
    CAPTURE(bound);
    const std::uint32_t count = bound == unbounded ? 20'000 : 4'000;
    const auto segment = Segment::create({bound});
    Stream whole(segment);
    Tally tally{};
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < sides; ++i) {
      threads.emplace_back([&, i] {
        Stream own(segment);  // a handle of its own, and one that all share
        produce(i == 0 ? whole : own, tally, i, count);
      });
      threads.emplace_back([&, i] {
        Stream own(segment);
        consume(i == 0 ? whole : own, tally, std::uint64_t{sides} * count);
      });
    }
    for (std::thread& thread : threads) thread.join();
    verify(tally, whole, count);
  }
}

TEST_CASE("processes") {
  for (const std::uint64_t bound : {unbounded, std::uint64_t{5}}) {
    CAPTURE(bound);
    const std::uint32_t count = bound == unbounded ? 20'000 : 4'000;
    const auto segment = Segment::create({bound});
    Stream stream(segment);
    auto& tally =
        *new (mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Tally{};
    std::vector<pid_t> children;
    for (std::uint32_t i = 0; i < 2 * sides; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        i < sides ? produce(stream, tally, i, count) : consume(stream, tally, std::uint64_t{sides} * count);
        _exit(0);
      }
      children.push_back(child);
    }
    for (const pid_t child : children) waitpid(child, nullptr, 0);
    verify(tally, stream, count);
  }
}
