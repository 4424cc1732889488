#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <thread>

#include "conveyor/base/patience.hpp"
#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

struct Drop {
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
};

// A bounded queue with somebody who sleeps on one side, or seems to.
struct Bounded {
  std::shared_ptr<Segment> segment;
  Stream stream;
  Header& header;

  explicit Bounded(std::uint64_t items) : Bounded(Segment::create(bounds(items))) {}
  explicit Bounded(std::shared_ptr<Segment> its_segment)
      : segment(its_segment), stream(its_segment), header(its_segment->header()) {}
  static Bounds bounds(std::uint64_t items) {
    Bounds bounds;
    bounds.items = items;
    return bounds;
  }
  void put() {
    const std::uint32_t value = 7;
    Outgoing item;
    item.data = reinterpret_cast<const std::byte*>(&value);
    item.size = sizeof value;
    std::size_t done = 0;
    REQUIRE(stream.put(&item, 1, done, forever) == Status::ok);
  }
  void take() {
    Drop sink;
    std::size_t done = 0;
    REQUIRE(stream.take(1, sink, done) == Status::ok);
  }
  // `act` is done while the sleeper is patient; again, if this process was held up for so long that it may not have been.
  template <class Act>
  static void while_patient(EventCount& event, WaitingSide& side, Act act) {
    for (;;) {
      if (!event.has_sleepers()) event.announce();
      const Nanoseconds until = monotonic_now() + Patience::most;
      side.patient_until.store(until, relaxed);
      act();
      if (monotonic_now() < until) return;
    }
  }
};

}  // namespace

TEST_CASE("only who was woken a moment ago is patient") {
  Patience patience;
  const Nanoseconds now = 1'000'000'000;
  CHECK_FALSE(patience.begin(now));
  patience.woken(now);
  CHECK(patience.begin(now + Patience::most));
  CHECK_FALSE(patience.begin(now + Patience::most + 1));
}

TEST_CASE("patience that found little is tried less and less often, and one success brings it back") {
  Patience patience;
  const Nanoseconds now = 1'000'000'000;
  patience.woken(now);
  const auto left_out = [&] {
    int sleeps = 0;
    while (!patience.begin(now)) ++sleeps;
    return sleeps;
  };
  for (const int expected : {1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1023}) {
    patience.learn(false);
    CHECK(left_out() == expected);
  }
  patience.learn(true);
  CHECK(left_out() == 0);
  CHECK(left_out() == 0);
}

TEST_CASE("items gather as long as several come, and otherwise less and less often") {
  Patience patience;
  int looks = 0;
  const auto calls_until_look = [&](bool several) {
    const int before = looks;
    int calls = 0;
    for (; looks == before; ++calls) {
      patience.gather([&] {
        ++looks;
        return several;
      });
    }
    return calls;
  };
  CHECK(calls_until_look(true) == 1);
  CHECK(calls_until_look(true) == 1);
  CHECK(calls_until_look(false) == 1);
  CHECK(calls_until_look(false) == 2);
  CHECK(calls_until_look(false) == 4);
  CHECK(calls_until_look(true) == 8);
  CHECK(calls_until_look(true) == 1);
}

TEST_CASE("items gather for longer as long as that is soon over, and then for less again") {
  Patience patience;
  Nanoseconds now = 1'000'000'000;
  const auto next = [&](Nanoseconds since_last) {
    now += since_last;
    const Nanoseconds time = patience.next_gathering(now);
    patience.gathered(now += time, time);
    return time;
  };
  CHECK(next(0) == Patience::least_gathering);
  for (const Nanoseconds expected : {1'000, 2'000, 4'000, 8'000, 10'000, 10'000}) CHECK(next(300) == expected);
  for (const Nanoseconds expected : {5'000, 2'500, 1'250, 625, 500, 500}) CHECK(next(1'000'000) == expected);
}

TEST_CASE("a patient sleeper's time counts only if it can be one") {
  WaitingSide side{};
  const Nanoseconds now = 1'000'000'000;
  CHECK_FALSE(side.is_patient(now));
  for (const Nanoseconds until : {now + 1, now + Patience::most, now + Patience::most_for_room}) {
    side.patient_until.store(until, relaxed);
    CHECK(side.is_patient(now));
  }
  for (const Nanoseconds until :
       {now, now - 1, now + Patience::most_for_room + 1, std::numeric_limits<Nanoseconds>::max(), Nanoseconds{-1},
        std::numeric_limits<Nanoseconds>::min()}) {
    side.patient_until.store(until, relaxed);
    CHECK_FALSE(side.is_patient(now));
  }
}

TEST_CASE("a patient consumer is woken when the queue is full, an impatient one by the first item") {
  Bounded queue(4);
  EventCount& event = queue.header.not_empty;
  Bounded::while_patient(event, queue.header.waiting_consumers, [&] {
    while (queue.stream.depth() != 0) queue.take();
    if (!event.has_sleepers()) event.announce();
    for (int i = 0; i < 3; ++i) queue.put();
  });
  CHECK(event.has_sleepers());
  queue.put();
  CHECK_FALSE(event.has_sleepers());

  while (queue.stream.depth() != 0) queue.take();
  event.announce();
  queue.header.waiting_consumers.patient_until.store(monotonic_now() - 1, relaxed);  // it died, or is about to look
  queue.put();
  CHECK_FALSE(event.has_sleepers());
}

TEST_CASE(
    "a patient producer on this processor is woken when the queue is empty, an impatient one by the first place") {
  Bounded queue(4);
  EventCount& event = queue.header.not_full;
  WaitingSide& side = queue.header.waiting_producers;
  Bounded::while_patient(event, side, [&] {
    while (queue.stream.depth() < 4) queue.put();
    if (!event.has_sleepers()) event.announce();
    for (int i = 0; i < 3; ++i) {
      side.note_processor();
      queue.take();
    }
  });
  CHECK(event.has_sleepers());
  queue.take();
  CHECK_FALSE(event.has_sleepers());

  for (int i = 0; i < 4; ++i) queue.put();
  event.announce();
  side.patient_until.store(0, relaxed);
  queue.take();
  CHECK_FALSE(event.has_sleepers());
}

TEST_CASE("a patient producer on another processor is woken when half is free") {
  Bounded queue(5);
  EventCount& event = queue.header.not_full;
  WaitingSide& side = queue.header.waiting_producers;
  side.processor.store(current_processor() + 1'000'000, relaxed);
  Bounded::while_patient(event, side, [&] {
    while (queue.stream.depth() < 5) queue.put();
    if (!event.has_sleepers()) event.announce();
    for (int i = 0; i < 2; ++i) queue.take();
  });
  CHECK(event.has_sleepers());
  queue.take();
  CHECK(queue.stream.depth() == 2);
  CHECK_FALSE(event.has_sleepers());
}

TEST_CASE("who waits lets nobody sleep on the other side") {
  Bounded queue(4);
  Slices slices;
  EventCount& consumers = queue.header.not_empty;
  Bounded::while_patient(consumers, queue.header.waiting_consumers, [&] {
    while (queue.stream.depth() != 0) queue.take();
    if (!consumers.has_sleepers()) consumers.announce();
    queue.put();
  });
  CHECK(consumers.has_sleepers());
  queue.stream.wait_not_full(4, monotonic_now(), slices);
  CHECK_FALSE(consumers.has_sleepers());

  EventCount& producers = queue.header.not_full;
  Bounded::while_patient(producers, queue.header.waiting_producers, [&] {
    while (queue.stream.depth() < 4) queue.put();
    if (!producers.has_sleepers()) producers.announce();
    queue.take();
  });
  CHECK(producers.has_sleepers());
  queue.stream.wait_not_empty(monotonic_now(), slices);
  CHECK_FALSE(producers.has_sleepers());
}

TEST_CASE("who takes what came back tells of the items that it leaves") {
  Bounded queue(8);
  EventCount& event = queue.header.not_empty;
  Bounded::while_patient(event, queue.header.waiting_consumers, [&] {
    while (queue.stream.depth() != 0) queue.take();
    queue.put();
    Drop sink;
    std::size_t done = 0;
    LeaseId lease;
    REQUIRE(queue.stream.take(1, sink, done, &lease) == Status::ok);
    REQUIRE(queue.stream.give_back(lease, "", 0) == Status::ok);
    if (!event.has_sleepers()) event.announce();
    queue.put();
  });
  CHECK(event.has_sleepers());
  queue.take();
  CHECK(queue.stream.depth() == 1);
  CHECK_FALSE(event.has_sleepers());
}

TEST_CASE("who waits for what no item and no place brings sleeps in long slices") {
  const auto sleeps = [](auto wait) {
    Slices slices;
    int count = 0;
    for (const Nanoseconds end = monotonic_now() + 300'000'000; monotonic_now() < end; ++count) wait(slices);
    return count;
  };
  SUBCASE("for bytes") {
    Bounds bounds;
    bounds.bytes = 16;
    Bounded queue(Segment::create(bounds));
    for (int i = 0; i < 4; ++i) queue.put();
    CHECK(sleeps([&](Slices& slices) { queue.stream.wait_not_full(4, forever, slices); }) < 50);
  }
  SUBCASE("for the end of a pause") {
    Bounded queue(8);
    for (int i = 0; i < 4; ++i) queue.put();
    queue.stream.pause();
    CHECK(sleeps([&](Slices& slices) { queue.stream.wait_not_empty(forever, slices); }) < 50);
  }
}

TEST_CASE("who waited for several tells the next before it does anything else") {
  bool was_patient = false;
  for (int tries = 0; tries < 1'000 && !was_patient; ++tries) {
    Bounded queue(64);
    EventCount& event = queue.header.not_full;
    WaitingSide& side = queue.header.waiting_producers;
    while (queue.stream.depth() < 64) queue.put();
    std::thread producer([&] {
      Slices slices;
      for (int puts = 0; puts < 2; ++puts) {  // the second time it was woken a moment ago
        while (!queue.stream.has_room(4)) queue.stream.wait_not_full(4, forever, slices);
        if (puts == 0) queue.put();
      }
    });
    while (!event.has_sleepers()) std::this_thread::yield();
    queue.take();
    const Nanoseconds end = monotonic_now() + 1'000'000;
    while (!side.is_patient(monotonic_now()) && monotonic_now() < end) {
    }
    for (int i = 0; i < 3; ++i) queue.take();
    was_patient = side.is_patient(monotonic_now());  // else it was told of them
    producer.join();
    if (was_patient) CHECK_FALSE(event.has_sleepers());
  }
  CHECK(was_patient);
}
