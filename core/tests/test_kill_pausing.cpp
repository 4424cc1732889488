// A process is killed at every named step of a resumption, with consumers that wait for it.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/mman.h>

#include <string>

#include "conveyor/queue/stream.hpp"
#include "crash_lab.hpp"
#include "state_lab.hpp"

using namespace conveyor;
using state::reap;
using state::second;
using state::start;

namespace {

struct Count {
  int items = 0;
  bool message(std::uint8_t, const std::byte*, std::size_t) { return ++items > 0; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return ++items > 0; }
};

void put(Stream& stream, int count) {
  const std::byte payload[8]{};
  Outgoing item;
  item.data = payload;
  item.size = sizeof payload;
  for (int i = 0; i < count; ++i) {
    std::size_t done = 0;
    REQUIRE(stream.put(&item, 1, done, second) == Status::ok);
  }
}

int take_all(Stream& stream) {
  Count sink;
  for (;;) {
    std::size_t done = 0;
    const Status status = stream.take(100, sink, done, nullptr);
    if (status == Status::busy) {
      stream.await_consumers_lock(second);
    } else if (done == 0) {
      return sink.items;
    }
  }
}

bool is_readable(Segment& segment) {
  pollfd look{segment.ready_fd(), POLLIN, 0};
  return poll(&look, 1, 0) == 1;
}

std::atomic<std::uint32_t>& deaths() {
  static auto* const shared = new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
      std::atomic<std::uint32_t>(0);
  return *shared;
}

}  // namespace

TEST_CASE("a stream that is paused looks empty to those who take, and is none the poorer") {
  for (const bool watched : {false, true}) {
    CAPTURE(watched);
    const auto segment = Segment::create({});
    Stream stream(segment);
    if (watched) REQUIRE(stream.watch() == 0);
    put(stream, 3);
    stream.pause();
    CHECK(take_all(stream) == 0);
    CHECK(stream.nothing_to_take());
    CHECK_FALSE(stream.empty());
    if (watched) CHECK_FALSE(is_readable(*segment));
    put(stream, 2);
    CHECK(stream.nothing_to_take());
    if (watched) CHECK_FALSE(is_readable(*segment));
    CHECK(stream.depth() == 5);
    Slices slices;
    while (stream.wait_not_empty(monotonic_now() + 30'000'000, slices) != Waited::timed_out) {
    }
    CHECK(stream.shutdown(false, second) == Status::ok);
    CHECK(take_all(stream) == 0);
    CHECK_FALSE(stream.over());
    REQUIRE(stream.resume());
    if (watched) CHECK(is_readable(*segment));
    CHECK(take_all(stream) == 5);
    CHECK(stream.over());
    CHECK(stream.check() == std::string());
  }
}

TEST_CASE("what is to be dropped is dropped, paused or not") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  put(stream, 3);
  stream.pause();
  CHECK(stream.shutdown(true, second) == Status::ok);
  CHECK(stream.depth() == 0);
  CHECK(stream.over());
}

TEST_CASE("a process killed while it resumes a stream leaves it paused or resumed, and nobody asleep for ever") {
  for (const std::string point : {"resume.before-commit", "resume.committed"}) {
    for (const bool watched : {false, true}) {
      CAPTURE(point);
      CAPTURE(watched);
      const auto segment = Segment::create({});
      Stream stream(segment);
      if (watched) REQUIRE(stream.watch() == 0);
      put(stream, 4);
      stream.pause();
      const std::uint32_t before = deaths().load();
      const pid_t consumer = start([&] {
        Slices slices;
        int taken = 0;
        while ((taken += take_all(stream)) < 4) stream.wait_not_empty(monotonic_now() + 30 * second, slices);
      });
      reap(start([&] {
        crash::meet({point, 1}, deaths());
        stream.resume();
      }));
      CHECK(deaths().load() == before + 1);
      if (point == "resume.before-commit") {
        CHECK(stream.paused());
        CHECK(stream.nothing_to_take());
        if (watched) CHECK_FALSE(is_readable(*segment));
        REQUIRE(stream.resume());
      }
      reap(consumer);
      CHECK(stream.depth() == 0);
      CHECK(stream.nothing_to_take());
      if (watched) CHECK_FALSE(is_readable(*segment));
      CHECK(stream.check() == std::string());
    }
  }
}
