// Every order of steps, within bounds, of the log behind a topic; see world.hpp.
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "conveyor/topic/subscriber.hpp"
#include "world.hpp"

namespace {

using namespace conveyor;
using explorer::Program;

int deeper(int preemptions) { return preemptions + (std::getenv("CONVEYOR_MODEL_DEEP") != nullptr ? 1 : 0); }

void passes(const char* name, const explorer::Bounds& bounds, const std::function<Program()>& make) {
  const explorer::Result result = explorer::explore(bounds, make);
  MESSAGE(std::string(name) << ", at most " << bounds.preemptions << " preemptions, " << bounds.deaths << " deaths, "
                            << bounds.late << " late stores: " << result.executions << " executions, " << result.steps
                            << " steps, " << result.deaths << " deaths");
  INFO(result.schedule);
  CHECK(result.trouble == "");
}

constexpr std::uint64_t capacity = least_capacity;

struct Plan {
  int publishers = 1, events = 1;
  std::vector<SubscriberMode> subscribers;
  std::size_t size = 8;    // of an event; 6000 is one that is pinned
  std::uint64_t before = 0;  // events of `size` that were published before, so that the log is full
  std::size_t most = 100;    // a subscriber reads no more than this, and leaves
  bool ends = true;          // false: nobody tells of an end, which would wake all
};

// Memory that the next execution finds as new: zeroing all of it each time would take longer than the execution.
std::byte* fresh_memory() {
  static std::byte* const memory =
      static_cast<std::byte*>(std::aligned_alloc(4096, (TopicLog::size_for(capacity) + 4095) / 4096 * 4096));
  std::memset(memory, 0, offsetof(TopicHeader, producers));
  std::memset(memory + offsetof(TopicHeader, slots), 0, 16 * sizeof(SubscriberSlot));
  return memory;
}

struct Forum {
  Plan plan;
  std::byte* base = nullptr;
  std::vector<std::shared_ptr<TopicLog>> topic_logs;
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  int returned[4] = {};
  std::vector<std::uint64_t> got[4];
  bool done[4] = {};
  int finished = 0;
};

struct Catch {
  std::uint64_t value = 0;
  bool torn = false;
  PinId pin;
  const std::byte* payload = nullptr;
  std::size_t size = 0;
  void take(const RecordView& record) {
    size = record.size;
    std::memcpy(&value, record.payload, 8);
    std::uint64_t last = 0;
    std::memcpy(&last, record.payload + record.size - 8, 8);
    torn = last != value;
  }
  void message(const RecordView& record) { take(record); }
  bool large(const RecordView& record, PinId pinned) {
    take(record);
    payload = record.payload;
    pin = pinned;
    return true;
  }
};

bool publish(TopicLog& topic_log, std::uint64_t value, std::size_t size) {
  // The middle is left as it is: only both ends are written, so that an execution stays short.
  const EventPiece pieces[] = {{&value, 0, 8}, {&value, size - 8, 8}};
  const Publication event{{}, 0, size, pieces, 2};
  for (;;) {
    std::size_t done = 0;
    const std::uint64_t gate = topic_log.gate();
    const Status status = topic_log.publish(&event, 1, done, forever / 2);
    if (done == 1) return true;
    if (status != Status::full) return explorer::fail("publish fails"), false;
    if (explorer::somebody_died()) topic_log.look_for_dead(forever / 2);
    Slices slices;
    topic_log.wait_room(gate, forever, slices);
  }
}

void receive(Forum& forum, int index) {
  TopicLog& topic_log = *forum.topic_logs[static_cast<std::size_t>(forum.plan.publishers + index)];
  Subscriber& subscriber = *forum.subscribers[static_cast<std::size_t>(index)];
  auto& got = forum.got[index];
  std::uint64_t before = subscriber.number();
  for (Slices slices;;) {
    Catch caught;
    const bool ended = topic_log.ended();
    const Status status = subscriber.read(caught);
    if (status == Status::empty) {
      if (ended || explorer::somebody_died()) break;
      subscriber.settle();
      topic_log.wait_event(subscriber.position(), forever, slices);
      continue;
    }
    if (status != Status::ok) return explorer::fail("read fails");
    if (caught.torn) explorer::fail("half of one event and half of another");
    if (caught.pin.valid()) {
      // Looked at again after the cursor has gone on: it must still be there.
      std::uint64_t again = 0;
      std::memcpy(&again, caught.payload + caught.size - 8, 8);
      if (again != caught.value) explorer::fail("a pinned event was overwritten");
      topic_log.unpin(caught.pin);
    }
    const std::uint64_t missed = subscriber.number() - before - 1;
    if (forum.plan.subscribers[static_cast<std::size_t>(index)] == SubscriberMode::block && missed != 0)
      explorer::fail("one that blocks was overrun");
    before = subscriber.number();
    got.push_back(caught.value);
    if (got.size() == forum.plan.most) return subscriber.leave();
  }
  forum.done[index] = true;
}

Program forum(const Plan& plan) {
  auto shared = std::make_shared<Forum>();
  shared->plan = plan;
  shared->base = fresh_memory();
  const auto reserve = [](std::uint64_t, std::uint64_t) { return 0; };
  TopicLog::initialise(shared->base, capacity, UINT64_MAX, reserve);
  const int count = plan.publishers + static_cast<int>(plan.subscribers.size());
  for (int i = 0; i <= count; ++i)
    shared->topic_logs.push_back(std::make_shared<TopicLog>(shared->base, TopicLog::size_for(capacity), reserve));
  for (std::uint64_t i = 0; i < plan.before; ++i) publish(*shared->topic_logs[0], 77, plan.size);
  for (std::size_t i = 0; i < plan.subscribers.size(); ++i) {
    shared->subscribers.push_back(std::make_unique<Subscriber>(
        shared->topic_logs[static_cast<std::size_t>(plan.publishers) + i], std::vector<KeyPattern>{}));
    shared->subscribers[i]->join(plan.subscribers[i], plan.before == 0 ? From::fresh : From::oldest, 0, 0);
    // The slot is the process's that will run, not ours.
    shared->topic_logs[0]->header().slots[i].owner.store(
        make_owner(1000 + static_cast<std::uint32_t>(plan.publishers + static_cast<int>(i)) + 1, 7), relaxed);
  }
  for (EventCount* event : {&shared->topic_logs[0]->header().not_empty, &shared->topic_logs[0]->header().not_full})
    std::memset(static_cast<void*>(event), 0xff, 12);
  explorer::share(shared->base, TopicLog::size_for(capacity));
  Program program;
  Forum* const all = shared.get();
  for (int i = 0; i < plan.publishers; ++i) {
    program.processes.emplace_back([all, i] {
      TopicLog& topic_log = *all->topic_logs[static_cast<std::size_t>(i)];
      for (int number = 0; number < all->plan.events; ++number) {
        if (!publish(topic_log, static_cast<std::uint64_t>(i * 16 + number), all->plan.size)) return;
        all->returned[i] = number + 1;
      }
      if (++all->finished == all->plan.publishers && all->plan.ends) topic_log.end(forever / 2);
    });
  }
  for (int i = 0; i < static_cast<int>(plan.subscribers.size()); ++i)
    program.processes.emplace_back([all, i] { receive(*all, i); });
  program.audit = [shared]() -> std::string {
    Forum& f = *shared;
    const std::string trouble = f.topic_logs.back()->check(forever / 2).value_or("the lock was not to be had");
    if (!trouble.empty()) return trouble;
    const std::vector<std::uint64_t>* first = nullptr;
    for (std::size_t i = 0; i < f.plan.subscribers.size(); ++i) {
      if (!f.done[i] || f.plan.subscribers[i] != SubscriberMode::block) continue;
      std::vector<std::uint64_t> got;
      for (const std::uint64_t value : f.got[i]) {
        if (value != 77) got.push_back(value);
      }
      int published = 0;
      for (const int each : f.returned) published += each;
      // Without a death, all; with one, whoever stopped reading then may lack some at the end.
      if (!explorer::somebody_died() && static_cast<int>(got.size()) != published) return "an event was lost";
      for (int publisher = 0; publisher < f.plan.publishers; ++publisher) {
        std::uint64_t next = static_cast<std::uint64_t>(publisher) * 16;
        for (const std::uint64_t value : got) {
          if (value / 16 != static_cast<std::uint64_t>(publisher)) continue;
          if (value != next++) return "out of order, or twice";
        }
      }
      if (!explorer::somebody_died() && first != nullptr && *first != f.got[i]) return "two orders";
      first = &f.got[i];
    }
    // Who comes later can go on, whoever died.
    f.topic_logs.back()->look_for_dead(forever / 2);
    for (auto& subscriber : f.subscribers) subscriber.reset();
    return "";
  };
  return program;
}

constexpr SubscriberMode block = SubscriberMode::block, drops = SubscriberMode::drop_oldest;
// So many events fill the log: the next one overwrites the first. The larger ones are pinned.
constexpr std::uint64_t small = 4056, lap = 15, large = 6000, large_lap = 10;
// Two of these are read before publishers are told of the cursor, and with that comes a fence.
constexpr std::uint64_t half = 2008, half_lap = 31;

}  // namespace

TEST_CASE("the topic") {
  passes("1:1", {2, 0, 1}, [] { return forum({1, 2, {block}}); });
  passes("1:2", {deeper(1), 0, 1}, [] { return forum({1, 1, {block, block}}); });
  passes("1:2, each is woken", {deeper(2), 0, 0}, [] { return forum({1, 1, {block, block}, 8, 0, 1, false}); });
  passes("2:1", {deeper(1), 0, 2}, [] { return forum({2, 1, {block}}); });
  passes("1:1, one dies", {deeper(0), 1, 0}, [] { return forum({1, 2, {block}}); });
  passes("1:2, one dies", {deeper(0), 1, 0}, [] { return forum({1, 1, {block, block}}); });
  passes("2:1, one dies", {deeper(0), 1, 0}, [] { return forum({2, 1, {block}}); });
}

TEST_CASE("the topic, full") {
  passes("1:1, it drops", {deeper(2), 0, 0}, [] { return forum({1, 2, {drops}, small, lap, 2}); });
  passes("1:1, it drops, delayed", {deeper(1), 0, 1}, [] { return forum({1, 2, {drops}, small, lap, 1}); });
  passes("1:1, it blocks", {deeper(1), 0, 0}, [] { return forum({1, 1, {block}, small, lap, 2}); });
  passes("1:1, it blocks, told later", {deeper(1), 0, 0}, [] { return forum({1, 2, {block}, half, half_lap, 4}); });
  passes("1:2, drops and blocks", {deeper(1), 0, 0}, [] { return forum({1, 1, {drops, block}, small, lap, 1}); });
  passes("1:1, it drops, one dies", {deeper(0), 1, 0}, [] { return forum({1, 2, {drops}, small, lap, 2}); });
  passes("1:1, it blocks, one dies", {deeper(0), 1, 0}, [] { return forum({1, 2, {block}, small, lap, 2}); });
}

TEST_CASE("the topic, pinned") {
  passes("1:1, it drops", {deeper(1), 0, 1}, [] { return forum({1, 2, {drops}, large, large_lap, 1}); });
  passes("1:1, it blocks", {deeper(1), 0, 0}, [] { return forum({1, 2, {block}, large, large_lap, 2}); });
  passes("1:1, it drops, one dies", {deeper(0), 1, 0}, [] { return forum({1, 2, {drops}, large, large_lap, 1}); });
}
