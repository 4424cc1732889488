// Every order of steps, within bounds, of the real lock, event count, stream and pool; see world.hpp.
#include <doctest/doctest.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <set>

#include "conveyor/base/lock.hpp"
#include "conveyor/queue/stream.hpp"
#include "world.hpp"

namespace {

using namespace conveyor;
using explorer::Program;

// CONVEYOR_MODEL_DEEP=1: minutes instead of seconds.
int deeper(int preemptions) { return preemptions + (std::getenv("CONVEYOR_MODEL_DEEP") != nullptr ? 1 : 0); }

void passes(const char* name, const explorer::Bounds& bounds, const std::function<Program()>& make) {
  const explorer::Result result = explorer::explore(bounds, make);
  MESSAGE(std::string(name) << ", at most " << bounds.preemptions << " preemptions, " << bounds.deaths << " deaths, "
                            << bounds.late << " late stores: " << result.executions << " executions, " << result.steps
                            << " steps, " << result.deaths << " deaths");
  INFO(result.schedule);
  CHECK(result.trouble == "");
}

// -- the lock

struct Guarded {
  alignas(64) Lock lock;
  int inside = 0, begun = 0, ended = 0;
};

Program contenders(int count) {
  auto shared = std::make_shared<Guarded>();
  explorer::share(shared.get(), sizeof(Guarded));
  Program program;
  for (int i = 0; i < count; ++i) {
    program.processes.emplace_back([shared = shared.get()] {
      const Locked got = shared->lock.acquire(forever);
      if (got == Locked::recovered) shared->inside = 0;
      if (got == Locked::recovered && !explorer::somebody_died()) explorer::fail("taken from the living");
      if (got != Locked::clean && got != Locked::recovered) explorer::fail("not locked");
      ++shared->begun;
      if (++shared->inside != 1) explorer::fail("two are inside");
      --shared->inside;
      ++shared->ended;
      shared->lock.unlock();
    });
  }
  program.audit = [shared, count]() -> std::string {
    const int missing = explorer::somebody_died() ? 1 : 0;
    if (shared->ended < count - missing) return "not all came through";
    return "";
  };
  return program;
}

// -- the event count

struct Awaited {
  alignas(64) EventCount event;
  Atomic<std::uint32_t> state;
  int data = 0;
};

// Its counters as they are just before they wrap: epoch, sleepers and served are its first three words.
std::shared_ptr<Awaited> about_to_wrap() {
  auto shared = std::make_shared<Awaited>();
  std::memset(static_cast<void*>(&shared->event), 0, sizeof(EventCount));
  std::memset(static_cast<void*>(&shared->event), 0xff, 12);
  explorer::share(shared.get(), sizeof(Awaited));
  return shared;
}

Program waiters(int count, bool one_by_one) {
  auto shared = about_to_wrap();
  Program program;
  for (int i = 0; i < count; ++i) {
    program.processes.emplace_back([shared = shared.get(), one_by_one] {
      Slices slices;
      for (;;) {
        // One by one: each takes one of what is there, as from a queue.
        std::uint32_t seen = shared->state.load(acquire);
        while (seen != 0 && one_by_one && !shared->state.compare_exchange_strong(seen, seen - 1, acquire, acquire)) {
        }
        if (seen != 0) break;
        const std::uint32_t epoch = shared->event.announce();
        if (shared->state.load(acquire) != 0) continue;
        shared->event.sleep(epoch, forever, slices);
        if (explorer::somebody_died() && shared->state.load(acquire) == 0) return;  // nobody may be left to tell
      }
      if (shared->data != 1) explorer::fail("woken, and nothing is there");
    });
  }
  program.processes.emplace_back([shared = shared.get(), count, one_by_one] {
    shared->data = 1;
    for (int i = 0; i < (one_by_one ? count : 1); ++i) {
      // As a commit does: a plain release store where only one stores, a locked operation where more do.
      if (one_by_one) {
        shared->state.fetch_add(1, release);
      } else {
        shared->state.store(1, release);
      }
      shared->event.notify(one_by_one ? 1 : count);
    }
  });
  program.audit = [shared] { return std::string(); };
  return program;
}

// One spins, and one sleeps: a notifier leaves both of what there is to the spinner, who tells the sleeper.
Program spinner_and_sleeper() {
  auto shared = about_to_wrap();
  Program program;
  for (int i = 0; i < 2; ++i) {
    program.processes.emplace_back([shared = shared.get(), i] {
      Spin learned;
      Slices slices;
      const auto ready = [shared] { return shared->state.load(acquire) != 0; };
      for (bool first = true;; first = false) {
        std::uint32_t seen = shared->state.load(acquire);
        while (seen != 0 && !shared->state.compare_exchange_strong(seen, seen - 1, acquire, acquire)) {
        }
        if (seen != 0) break;
        if (first && i == 0) {
          shared->event.spin(learned, ready);
          continue;
        }
        const std::uint32_t epoch = shared->event.announce();
        if (!ready()) shared->event.sleep(epoch, forever, slices);
      }
      if (shared->data != 1) explorer::fail("woken, and nothing is there");
      if (shared->event.has_sleepers() && ready()) shared->event.notify(1);
    });
  }
  program.processes.emplace_back([shared = shared.get()] {
    shared->data = 1;
    for (int i = 0; i < 2; ++i) {
      shared->state.fetch_add(1, release);
      shared->event.notify(1);
    }
  });
  program.audit = [shared] { return std::string(); };
  return program;
}

// One spins, and then leaves: if there is something, which a notifier may have left to it, it passes the wake-up on.
Program spinner_that_leaves() {
  auto shared = about_to_wrap();
  Program program;
  program.processes.emplace_back([shared = shared.get()] {
    Spin learned;
    const auto ready = [shared] { return shared->state.load(acquire) != 0; };
    shared->event.spin(learned, ready);
    if (ready()) shared->event.notify(1);
  });
  program.processes.emplace_back([shared = shared.get()] {
    for (Slices slices; shared->state.load(acquire) == 0;) {
      const std::uint32_t epoch = shared->event.announce();
      if (shared->state.load(acquire) == 0) shared->event.sleep(epoch, forever, slices);
    }
  });
  program.processes.emplace_back([shared = shared.get()] {
    shared->state.store(1, release);
    shared->event.notify(1);
  });
  program.audit = [shared] { return std::string(); };
  return program;
}

// -- the stream

constexpr int most_items = 6;

struct Belt {
  std::shared_ptr<Segment> segment;
  std::vector<std::unique_ptr<Stream>> streams;  // one for each process, made before they run
  int producers, consumers, items;
  bool runs;
  int returned[4] = {};
  int received[4][most_items] = {};
  int newest[4][4] = {};  // of each producer, by each consumer: the last number + 1
  int finished = 0;  // producers
  int stops_after =
      INT_MAX;  // items; a consumer that has had so many takes no more, and there is no end that wakes anybody
};

struct Catch {
  std::uint32_t value = 0;
  RunReference run{};
  bool has_run = false;
  bool message(std::uint8_t, const std::byte* data, std::size_t size) {
    if (size != sizeof value) return explorer::fail("an item of another size"), false;
    std::memcpy(&value, data, sizeof value);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* all, std::uint32_t count, const std::byte*, std::size_t) {
    if (count != 1) explorer::fail("an item of another form");
    run = all[0];
    has_run = true;
    return true;
  }
};

void produce(Belt& belt, Stream& stream, int producer) {
  for (int number = 0; number < belt.items; ++number) {
    const auto value = static_cast<std::uint32_t>(producer * 16 + number);
    RunReference run{};
    Outgoing item{reinterpret_cast<const std::byte*>(&value), sizeof value};
    if (belt.runs) {
      if (stream.allocate_run(100'000, run).first == no_page) return explorer::fail("no memory");
      std::memcpy(stream.run_data(run), &value, sizeof value);
      item = {nullptr, 0, 0, 1, &run};
    }
    for (Slices slices;;) {
      std::size_t done = 0;
      const Status status = stream.put(&item, 1, done, forever);
      if (status == Status::ok) break;
      if (status != Status::full) return explorer::fail("put fails");
      if (explorer::somebody_died()) return;  // perhaps the consumer
      stream.wait_not_full(sizeof value, forever, slices);
    }
    belt.returned[producer] = number + 1;
  }
  if (++belt.finished == belt.producers && belt.stops_after == INT_MAX) stream.shutdown(false, forever);
}

void consume(Belt& belt, Stream& stream, int consumer) {
  Slices slices;
  for (int taken = 0; taken < belt.stops_after;) {
    Catch caught;
    std::size_t done = 0;
    const bool ended = stream.ended();
    const Status status = stream.take(1, caught, done);
    if (status == Status::busy) {
      stream.await_consumers_lock(forever);
      continue;
    }
    if (status == Status::empty) {
      if (ended || explorer::somebody_died()) return;
      stream.wait_not_empty(forever, slices);
      continue;
    }
    if (status != Status::ok) return explorer::fail("take fails");
    if (caught.has_run) {
      std::memcpy(&caught.value, stream.run_data(caught.run), sizeof caught.value);
      stream.release(caught.run);
    }
    const auto producer = caught.value / 16, number = caught.value % 16;
    if (producer >= 4 || number >= most_items) return explorer::fail("an item that nobody put");
    if (belt.newest[consumer][producer] > static_cast<int>(number)) explorer::fail("out of order");
    belt.newest[consumer][producer] = static_cast<int>(number) + 1;
    if (++belt.received[producer][number] > 1) explorer::fail("an item twice");
    ++taken;
  }
}

Program belt(int producers, int consumers, int items, std::uint64_t bound, bool runs, int stops_after = INT_MAX) {
  auto shared = std::make_shared<Belt>();
  conveyor::Bounds bounds;
  bounds.items = bound;
  shared->segment = Segment::create(bounds);
  shared->producers = producers;
  shared->consumers = consumers;
  shared->items = items;
  shared->runs = runs;
  shared->stops_after = stops_after;
  Header& header = shared->segment->header();
  for (EventCount* event : {&header.not_empty, &header.not_full}) std::memset(static_cast<void*>(event), 0xff, 12);
  for (int i = 0; i <= producers + consumers; ++i) shared->streams.push_back(std::make_unique<Stream>(shared->segment));
  explorer::share(&header, header.pages_offset + (pages_in_front - 1) * page_size);
  Program program;
  program.patient = {&header.not_empty, &header.not_full};  // an event count begins with the word that is slept on
  Belt* const all = shared.get();
  for (int i = 0; i < producers; ++i) {
    program.processes.emplace_back([all, i] { produce(*all, *all->streams[static_cast<std::size_t>(i)], i); });
  }
  for (int i = 0; i < consumers; ++i) {
    const auto index = static_cast<std::size_t>(producers + i);
    program.processes.emplace_back([all, i, index] { consume(*all, *all->streams[index], i); });
  }
  program.audit = [shared]() -> std::string {
    Belt& b = *shared;
    Stream& stream = *b.streams.back();
    // What is left, by one who comes later. Who sees the end and then nothing has had all: none, then.
    b.consumers = 1;
    for (;;) {
      Catch caught;
      std::size_t done = 0;
      const Status status = stream.take(1, caught, done);
      if (status == Status::busy) {
        stream.await_consumers_lock(forever);
        continue;
      }
      if (status == Status::empty) break;
      if (status != Status::ok) return "what is left cannot be taken";
      if (caught.has_run) {
        std::memcpy(&caught.value, stream.run_data(caught.run), sizeof caught.value);
        stream.release(caught.run);
      }
      ++b.received[caught.value / 16 % 4][caught.value % 16 % most_items];
      if (!explorer::somebody_died() && b.stops_after == INT_MAX) return "an item was left behind at the end";
    }
    int lost = 0;
    for (int producer = 0; producer < b.producers; ++producer) {
      for (int number = 0; number < b.items; ++number) {
        const int times = b.received[producer][number];
        if (times > 1) return "an item came twice";
        if (times == 0 && number < b.returned[producer]) ++lost;
        if (times == 1 && number > b.returned[producer]) return "an item came before its turn";
      }
    }
    if (lost > (explorer::somebody_died() ? 1 : 0)) return std::to_string(lost) + " items lost";
    shared->segment->header().sweep_wanted.store(1, relaxed);
    return stream.check().value_or("a lock was not to be had");
  };
  return program;
}

// -- when leases are due

struct Ignored {
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
};

// The time of one lease is set by its holder, without the lock, while another process gives the other lease back,
// whose time is over.
Program due() {
  constexpr Nanoseconds moment = 1'000'000'000;
  auto segment = Segment::create(conveyor::Bounds{});
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(std::make_shared<Stream>(segment));
  const std::uint32_t value = 7;
  const Outgoing items[2] = {{reinterpret_cast<const std::byte*>(&value), sizeof value},
                             {reinterpret_cast<const std::byte*>(&value), sizeof value}};
  std::size_t done = 0;
  LeaseId leases[2];
  Ignored sink;
  if (streams[0]->put(items, 2, done, forever) != Status::ok || streams[0]->take(2, sink, done, leases) != Status::ok)
    explorer::fail("no leases");
  streams[0]->set_due(leases[0], monotonic_now() + moment);
  explorer::pass(2 * moment);
  const Nanoseconds later = monotonic_now() + moment;
  Header& header = segment->header();
  explorer::share(&header, header.pages_offset + (pages_in_front - 1) * page_size);
  Program program;
  program.processes.emplace_back(
      [stream = streams[0].get(), second = leases[1], later] { stream->set_due(second, later); });
  program.processes.emplace_back([stream = streams[1].get()] { stream->look_after_leases(); });
  program.audit = [segment, stream = streams[2]]() -> std::string {
    if (stream->depth() != 1) return "what was due is not there";
    const Nanoseconds next = segment->header().leases.next_due.load(relaxed);
    return next == forever ? "nobody will look when the other is due" : "";
  };
  return program;
}

}  // namespace

TEST_CASE("the lock") {
  passes("two", {20, 0, 2}, [] { return contenders(2); });
  passes("two, one dies", {6, 1, 1}, [] { return contenders(2); });
  passes("three", {3, 0, 1}, [] { return contenders(3); });
  passes("three, one dies", {2, 1, 0}, [] { return contenders(3); });
}

TEST_CASE("the event count") {
  passes("one waits", {4, 0, 2}, [] { return waiters(1, false); });
  passes("two wait for the same", {2, 0, 1}, [] { return waiters(2, false); });
  passes("two wait for one each", {deeper(1), 0, 1}, [] { return waiters(2, true); });
  passes("two wait, one dies", {1, 1, 0}, [] { return waiters(2, true); });
}

TEST_CASE("the spinner") {
  explorer::processors = 2;
  passes("it takes", {deeper(1), 0, 1}, spinner_and_sleeper);
  passes("it leaves", {deeper(1), 0, 1}, spinner_that_leaves);
  explorer::processors = 1;
}

TEST_CASE("the stream") {
  passes("1:1, unbounded", {1, 0, 1}, [] { return belt(1, 1, 2, unbounded, false); });
  passes("1:1, one at a time", {deeper(1), 0, 1}, [] { return belt(1, 1, 2, 1, false); });
  passes("1:1, four at a time", {deeper(1), 0, 1}, [] { return belt(1, 1, 2, 4, false); });  // who was woken is patient
  // Nobody tells a patient one of what is less than it hopes for: not of the last item, not of the last place.
  passes("1:1, four at a time, who waits for the last item", {deeper(1), 0, 1},
         [] { return belt(1, 1, 2, 4, false, 2); });
  passes("1:1, four at a time, who waits for the last place", {deeper(1), 0, 1},
         [] { return belt(1, 1, 6, 4, false, 2); });
  passes("2:1, one at a time", {deeper(1), 0, 1}, [] { return belt(2, 1, 1, 1, false); });
  passes("1:2", {deeper(1), 0, 0}, [] { return belt(1, 2, 2, unbounded, false); });
  passes("1:2, late", {deeper(0), 0, 2}, [] { return belt(1, 2, 2, unbounded, false); });
  passes("1:1, one dies", {1, 1, 0}, [] { return belt(1, 1, 1, 1, false); });
  passes("2:1, one dies", {deeper(0), 1, 0}, [] { return belt(2, 1, 1, unbounded, false); });
  passes("1:2, one dies", {deeper(0), 1, 0}, [] { return belt(1, 2, 2, unbounded, false); });
}

TEST_CASE("the leases' time") { passes("one is set, one is due", {2, 0, 1}, due); }

TEST_CASE("the pool, under the stream") {
  passes("1:1, runs", {deeper(1), 0, 1}, [] { return belt(1, 1, 1, unbounded, true); });
  passes("1:1, runs, one dies", {deeper(0), 1, 0}, [] { return belt(1, 1, 2, 1, true); });
  passes("2:1, runs", {deeper(1), 0, 1}, [] { return belt(2, 1, 1, unbounded, true); });
  passes("2:1, runs, one dies", {deeper(0), 1, 0}, [] { return belt(2, 1, 1, unbounded, true); });
}
