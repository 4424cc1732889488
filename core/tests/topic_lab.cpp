#include "topic_lab.hpp"

#include <optional>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <memory>
#include <new>

#include "conveyor/topic/subscriber.hpp"

namespace crash {
namespace {

using namespace conveyor;

constexpr std::uint64_t capacity = least_capacity;
constexpr std::uint32_t events_each = 250;
constexpr int most = 6;

struct TopicLedger {
  std::atomic<std::uint32_t> deaths, failed, damaged, disorder;
  std::atomic<std::uint32_t> returned[most];                        // events of a publisher whose publish returned
  std::atomic<std::uint32_t> joined[most], finished[most];          // subscribers
  std::atomic<std::uint64_t> received[most], missed[most], order[most];
  std::atomic<std::uint8_t> got[most][most][events_each];           // by subscriber, publisher and number
};

struct Event {
  std::uint32_t publisher, number;
};

// Small ones are copied out, large ones pinned.
std::size_t size_of(const Event& event) { return event.number % 3 == 0 ? 6000 + event.number : 8 + event.number % 90; }

struct World {
  std::byte* base;
  TopicLedger* ledger;
  std::shared_ptr<TopicLog> topic_log() const {
    return std::make_shared<TopicLog>(base, TopicLog::size_for(capacity),
                                      [](std::uint64_t, std::uint64_t) { return 0; });
  }
};

void publish_all(const World& world, std::uint32_t publisher, TopicLog& topic_log) {
  std::vector<std::byte> payload;
  for (std::uint32_t number = 0; number < events_each; ++number) {
    const Event event{publisher, number};
    payload.assign(size_of(event), static_cast<std::byte>(number * 7 + publisher));
    std::memcpy(payload.data(), &event, sizeof event);
    const EventPiece piece{payload.data(), 0, payload.size()};
    const Publication publication{number % 2 == 0 ? "even.x" : "odd", 1, payload.size(), &piece, 1};
    for (int tries = 0;;) {
      std::size_t done = 0;
      const std::uint64_t gate = topic_log.gate();
      const Status status = topic_log.publish(&publication, 1, done, forever / 2);
      if (done == 1) break;
      if (status != Status::full && status != Status::interrupted) {
        ++world.ledger->failed;
        return;
      }
      Slices slices;
      topic_log.wait_room(gate, forever, slices);
      if (++tries % 3 == 0) topic_log.look_for_dead(forever / 2);
    }
    world.ledger->returned[publisher] = number + 1;
  }
}

struct Catch {
  std::vector<std::byte> bytes;
  const std::byte* data = nullptr;
  std::size_t size = 0;
  PinId pin;
  void message(const RecordView& record) {
    bytes.assign(record.payload, record.payload + record.size);
    data = bytes.data();
    size = record.size;
  }
  bool large(const RecordView& record, PinId pinned) {
    message(record);
    pin = pinned;
    if (pin.valid()) data = record.payload;
    return true;
  }
  bool intact(Event& event) const {
    if (size < sizeof event) return false;
    std::memcpy(&event, data, sizeof event);
    if (event.publisher >= most || event.number >= events_each || size != size_of(event)) return false;
    for (std::size_t i = sizeof event; i < size; ++i) {
      if (data[i] != static_cast<std::byte>(event.number * 7 + event.publisher)) return false;
    }
    return true;
  }
};

void publish(const World& world, std::uint32_t publisher, bool registered) {
  const auto topic_log = world.topic_log();
  if (registered && topic_log->enter_producing(true, forever / 2) != Status::ok) ++world.ledger->failed;
  publish_all(world, publisher, *topic_log);
  if (registered) topic_log->leave_producing(forever);
}

void receive_all(const World& world, std::uint32_t index, SubscriberMode mode) {
  TopicLedger& ledger = *world.ledger;
  const auto topic_log = world.topic_log();
  Subscriber subscriber(topic_log, {KeyPattern("#")});
  if (subscriber.join(mode, From::fresh, 0, forever / 2) != Status::ok) {
    ++ledger.failed;
    return;
  }
  ledger.joined[index] = 1;
  std::int64_t last[most];
  for (std::int64_t& each : last) each = -1;
  std::deque<Catch> kept;
  const auto look_at = [&](const Catch& caught) {
    Event event{};
    if (!caught.intact(event)) ++ledger.damaged;
    return event;
  };
  std::optional<Slices> slices(std::in_place);
  for (;;) {
    Catch caught;
    const bool ended = topic_log->ended();
    const Status status = subscriber.read(caught);
    if (status == Status::ok) {
      slices.emplace();
      const Event event = look_at(caught);
      if (last[event.publisher] >= event.number) ++ledger.disorder;
      last[event.publisher] = event.number;
      ++ledger.got[index][event.publisher][event.number];
      ++ledger.received[index];
      ledger.order[index] = ledger.order[index] * 1'000'003 + event.publisher * 1000 + event.number;
      if (caught.pin.valid()) kept.push_back(std::move(caught));
      // Some are kept for a while, and must not change meanwhile.
      if (kept.size() > event.number % 4) {
        look_at(kept.front());
        topic_log->unpin(kept.front().pin);
        kept.pop_front();
      }
      continue;
    }
    if (status == Status::lost || (status == Status::empty && ended)) break;
    if (status != Status::empty) {
      ++ledger.failed;
      break;
    }
    if (topic_log->look_is_due()) {
      topic_log->look_for_lost();
      continue;
    }
    subscriber.settle();
    topic_log->wait_event(subscriber.position(), forever, *slices);
  }
  for (const Catch& each : kept) {
    look_at(each);
    topic_log->unpin(each.pin);
  }
  ledger.missed[index] = subscriber.missed();
  subscriber.leave();
  ledger.finished[index] = 1;
}

template <class Work>
pid_t spawn(const World& world, const Fate& fate, Work work) {
  const pid_t child = fork();
  if (child != 0) return child;
  meet(fate, world.ledger->deaths);
  work();
  _exit(0);
}

bool has_ended(pid_t child) {
  siginfo_t found{};
  return waitid(P_PID, static_cast<id_t>(child), &found, WEXITED | WNOHANG | WNOWAIT) == 0 && found.si_pid != 0;
}

struct Fallen {
  pid_t pid;
  bool killed;
};

// Whether what the log says of the lost is so.
std::string audit_lost(const TopicPlan& plan, const World& world, const std::vector<Fallen>& publishers) {
  const TopicLedger& ledger = *world.ledger;
  const auto topic_log = world.topic_log();
  if (!topic_log->ended()) return "it has not ended";
  const std::vector<LostProducer> lost = topic_log->lost();
  std::size_t found = 0;
  for (std::size_t i = 0; i < publishers.size(); ++i) {
    const std::string name = "publisher " + std::to_string(i);
    const LostProducer* loss = nullptr;
    for (const LostProducer& each : lost) {
      if (each.pid == static_cast<std::uint32_t>(publishers[i].pid)) loss = &each;
    }
    if (loss == nullptr) {
      const std::uint32_t returned = ledger.returned[i];
      if (publishers[i].killed && returned > 0 && returned < events_each) return name + " was lost in silence";
      continue;
    }
    ++found;
    if (!publishers[i].killed) return name + " is said to be lost, and was not";
    if (loss->signal != 0 && loss->signal != SIGKILL) return name + " was killed by another signal";
    for (std::size_t reader = 0; reader < plan.subscribers.size(); ++reader) {
      if (ledger.finished[reader] == 0 || plan.subscribers[reader].mode != SubscriberMode::block) continue;
      std::uint64_t came = 0;
      for (const auto& times : ledger.got[reader][i]) came += times;
      if (loss->items != came)
        return name + " is said to have published " + std::to_string(loss->items) + " events, and " +
               std::to_string(came) + " came";
    }
  }
  return found == lost.size() ? "" : "somebody is lost whom nobody knows";
}

std::string audit(const TopicPlan& plan, const World& world) {
  const TopicLedger& ledger = *world.ledger;
  if (ledger.failed != 0) return std::to_string(ledger.failed) + " operations failed";
  if (ledger.damaged != 0) return std::to_string(ledger.damaged) + " events were damaged";
  if (ledger.disorder != 0) return std::to_string(ledger.disorder) + " events out of order";
  const auto topic_log = world.topic_log();
  if (!topic_log->look_for_dead(forever / 2)) return "the lock was not to be had";
  const TopicFigures figures = topic_log->figures();
  if (!figures.slots.empty()) return "a subscriber is still there";
  if (figures.pinned_bytes != 0) return "something is still pinned";
  std::int64_t first = -1;
  for (std::size_t i = 0; i < plan.subscribers.size(); ++i) {
    if (ledger.finished[i] == 0) continue;
    const std::string name = "subscriber " + std::to_string(i);
    if (plan.subscribers[i].mode == SubscriberMode::drop_oldest) {
      if (ledger.received[i] + ledger.missed[i] != figures.published) return name + " lost events in silence";
      continue;
    }
    if (plan.subscribers[i].mode != SubscriberMode::block) continue;
    if (ledger.missed[i] != 0) return name + " blocks, and was overrun";
    if (ledger.received[i] != figures.published) return name + " has not got all";
    if (first >= 0 && ledger.order[static_cast<std::size_t>(first)] != ledger.order[i])
      return name + " saw another order";
    first = static_cast<std::int64_t>(i);
    for (std::size_t publisher = 0; publisher < plan.publishers.size(); ++publisher) {
      for (std::uint32_t number = 0; number < events_each; ++number) {
        const int times = ledger.got[i][publisher][number];
        const std::uint32_t returned = ledger.returned[publisher];
        // The one event whose publish had not returned may be out; no later one can be.
        if (times > 1 || (times == 0 && number < returned) || (times == 1 && number > returned))
          return name + " got event " + std::to_string(number) + " " + std::to_string(times) + " times";
      }
    }
  }
  return topic_log->check(forever / 2).value_or("the lock was not to be had");
}

}  // namespace

Outcome run(const TopicPlan& plan) {
  const std::size_t size = TopicLog::size_for(capacity);
  World world{};
  world.base = static_cast<std::byte*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  world.ledger =
      new (mmap(nullptr, sizeof(TopicLedger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) TopicLedger{};
  TopicLedger& ledger = *world.ledger;
  const auto make = [&] {
    TopicLog::initialise(world.base, capacity, UINT64_MAX, [](std::uint64_t, std::uint64_t) { return 0; });
  };
  for (const Fate& fate : plan.makers) reap(spawn(world, fate, make));
  make();
  std::vector<Fallen> publishers;
  std::vector<pid_t> subscribers;
  for (std::uint32_t i = 0; i < plan.subscribers.size(); ++i) {
    const Listener& listener = plan.subscribers[i];
    subscribers.push_back(spawn(world, listener.fate, [&] { receive_all(world, i, listener.mode); }));
    while (ledger.joined[i] == 0 && !has_ended(subscribers.back())) usleep(100);
  }
  const auto close = [&] {
    const auto count = static_cast<std::uint32_t>(plan.publishers.size());
    const auto work = [&] {
      plan.by_producers ? world.topic_log()->expect_producers(count, forever / 2) : world.topic_log()->end(forever / 2);
    };
    for (const Fate& fate : plan.closers) reap(spawn(world, fate, work));
    work();
  };
  if (plan.by_producers) close();
  for (std::uint32_t i = 0; i < plan.publishers.size(); ++i)
    publishers.push_back({spawn(world, plan.publishers[i], [&] { publish(world, i, plan.by_producers); }), false});
  for (Fallen& each : publishers) each.killed = reap(each.pid);
  Outcome outcome;
  if (plan.by_producers) {
    // One may have died before it had come: only its program can know that it will not.
    std::uint32_t may_be_missing = 0;
    for (std::size_t i = 0; i < publishers.size(); ++i) {
      if (publishers[i].killed && ledger.returned[i] == 0) ++may_be_missing;
    }
    const auto topic_log = world.topic_log();
    for (const Fate& fate : plan.lookers) reap(spawn(world, fate, [&] { world.topic_log()->look_for_lost(); }));
    topic_log->look_for_lost();
    outcome.missing = topic_log->header().ending.expected.load() & ~producers_armed;
    if (outcome.missing > may_be_missing) outcome.trouble = "still expects producers";
    if (outcome.missing != 0) topic_log->expect_producers(0, forever / 2);
  } else {
    close();
  }
  for (const pid_t child : subscribers) reap(child);
  outcome.killed = ledger.deaths != 0;
  outcome.lost = world.topic_log()->lost();
  if (outcome.trouble.empty() && plan.by_producers) outcome.trouble = audit_lost(plan, world, publishers);
  if (outcome.trouble.empty()) outcome.trouble = audit(plan, world);
  munmap(world.base, size);
  munmap(world.ledger, sizeof(TopicLedger));
  return outcome;
}

}  // namespace crash
