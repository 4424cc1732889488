#include "lease_lab.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <random>

namespace crash {
namespace {

using namespace conveyor;

constexpr std::uint32_t items = 240;
constexpr std::size_t most_held = 3;
constexpr Nanoseconds long_enough = 20'000'000'000;

struct Record {
  std::atomic<std::uint8_t> seen, gave_back, settling, settled, plain;
};

struct LeaseLedger {
  Record of[items];
  std::atomic<std::uint32_t> failed;  // operations with an unexpected status
  std::atomic<std::uint32_t> damaged;
  std::atomic<std::uint32_t> deaths;
  std::atomic<std::uint32_t> late;    // somebody waited too long
};

std::size_t size_of(std::uint32_t number) {
  if (number % 13 == 4) return 140'000;
  return number % 7 == 5 ? 9'000 : 8 + number % 40;
}

std::byte filler(std::uint32_t number) { return static_cast<std::byte>(number * 7 + 1); }

void put(Stream& stream, std::uint32_t number) {
  std::vector<std::byte> data(size_of(number), filler(number));
  std::memcpy(data.data(), &number, sizeof number);
  Outgoing item;
  item.data = data.data();
  item.size = data.size();
  RunReference run;
  if (data.size() > inline_limit) {
    stream.allocate_run(data.size(), run);
    std::memcpy(stream.run_data(run), data.data(), data.size());
    item.size = 0;
    item.runs = &run;
    item.run_count = 1;
  }
  std::size_t done = 0;
  stream.put(&item, 1, done, forever);
}

struct Sink {
  struct One {
    std::vector<std::byte> data;
    std::vector<RunReference> runs;
  };
  std::vector<One> all;
  bool message(std::uint8_t, const std::byte* from, std::size_t size) {
    all.push_back({{from, from + size}, {}});
    return true;
  }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t count, const std::byte*, std::size_t) {
    all.push_back({{}, {runs, runs + count}});
    return true;
  }
};

// The number of an item, or `items` if it is damaged.
std::uint32_t number_of(Stream& stream, const Sink::One& one) {
  std::vector<std::byte> data = one.data;
  for (const RunReference& run : one.runs)
    data.insert(data.end(), stream.run_data(run), stream.run_data(run) + run.size);
  std::uint32_t number = items;
  if (data.size() >= sizeof number) std::memcpy(&number, data.data(), sizeof number);
  if (number >= items || data.size() != size_of(number)) return items;
  for (std::size_t i = sizeof number; i < data.size(); i += 31) {
    if (data[i] != filler(number)) return items;
  }
  return number;
}

// Copies of items that stay where they are.
struct Looker {
  const Stream& stream;
  std::vector<Sink::One> all;
  bool message(std::uint8_t, const std::byte* from, std::size_t size) {
    all.push_back({{from, from + size}, {}});
    return true;
  }
  bool runs(std::uint8_t kind, const RunReference* runs, std::uint32_t, const std::byte*, std::size_t) {
    return message(kind, stream.run_data(runs[0]), runs[0].size);
  }
};

class Consumer {
 public:
  Consumer(const std::shared_ptr<Segment>& segment, LeaseLedger& ledger, bool tasks)
      : stream_(segment), ledger_(ledger), tasks_(tasks) {
    segment->note_getting();
  }

  // Until nothing waits and nobody holds anything.
  void work() {
    const Nanoseconds end = monotonic_now() + long_enough;
    Slices slices;
    for (unsigned turn = 0;; ++turn) {
      if (monotonic_now() > end) {
        ++ledger_.late;
        return;
      }
      if (turn % 4 == 1) look();
      if (tasks_ && turn % 3 == 2) {
        if (plain()) continue;
      } else if (lease(1 + turn % most_held)) {
        continue;
      }
      if (move_failed() || !stream_.settled_empty()) continue;
      const StreamStatistics now = stream_.statistics();
      if (now.leased + now.returned + now.dead == 0) return;
      stream_.wait_not_empty(monotonic_now() + 20'000'000, slices);
    }
  }

 private:
  // What waits is whole, and in order, as long as nobody interferes.
  void look() {
    Stream::Place place;
    for (Status status = Status::ok; status == Status::ok;) {
      Looker sink{stream_, {}};
      std::size_t done = 0;
      status = stream_.look(place, 5, sink, done, forever);
      if (status != Status::ok && status != Status::empty) ++ledger_.failed;
      std::uint32_t before = 0;
      for (const Sink::One& one : sink.all) {
        const std::uint32_t number = number_of(stream_, one);
        if (number == items || (&one != &sink.all.front() && number <= before)) ++ledger_.damaged;
        before = number;
      }
    }
  }
  bool lease(std::size_t count) {
    Sink sink;
    LeaseId leases[most_held];
    std::size_t done = 0;
    if (!fine(stream_.take(count, sink, done, leases))) return false;
    for (std::size_t i = 0; i < done; ++i) {
      const std::uint32_t number = number_of(stream_, sink.all[i]);
      if (number == items) {
        ++ledger_.damaged;
        continue;
      }
      Record& record = ledger_.of[number];
      ++record.seen;
      const bool first = leases[i].attempts == 0;
      if (first && number % 9 == 3) {
        ++record.gave_back;
        settle([&] { return stream_.give_back(leases[i], "not now", number % 2 == 0 ? 1'000'000 : 0); });
      } else if (number % 10 == 7) {
        ++record.gave_back;  // the mover sees it once more
        settle([&] { return stream_.reject(leases[i], "bad"); });
      } else {
        acknowledge(record, leases[i]);
      }
    }
    return done > 0;
  }

  void acknowledge(Record& record, const LeaseId& lease) {
    ++record.settling;
    settle([&] { return stream_.acknowledge(lease); });
    ++record.settled;
  }

  bool plain() {
    Sink sink;
    std::size_t done = 0;
    if (!fine(stream_.take(1, sink, done)) || done == 0) return false;
    const std::uint32_t number = number_of(stream_, sink.all[0]);
    for (const RunReference& run : sink.all[0].runs) stream_.release(run);
    if (number == items) {
      ++ledger_.damaged;
    } else {
      ++ledger_.of[number].plain;
    }
    settle([&] { return stream_.task_done(); });
    return true;
  }

  bool move_failed() {
    if (stream_.failed() == 0) return false;
    Sink sink;
    LeaseId lease;
    Failure failure;
    if (!fine(stream_.take_failed(sink, lease, failure)) || sink.all.empty()) return false;
    const std::uint32_t number = number_of(stream_, sink.all[0]);
    if (number == items || failure.error != "bad") {
      ++ledger_.damaged;
      return true;
    }
    if (number % 20 == 7 && !skipped_) {
      skipped_ = true;
      settle([&] { return stream_.put_back_failed(lease, false); });
      return true;
    }
    acknowledge(ledger_.of[number], lease);
    return true;
  }

  bool fine(Status status) {
    if (status == Status::busy) stream_.await_consumers_lock(forever);
    if (status != Status::ok && status != Status::empty && status != Status::busy) ++ledger_.failed;
    return status == Status::ok;
  }

  template <class Operation>
  void settle(Operation operation) {
    Status status;
    while ((status = operation()) == Status::busy) stream_.await_consumers_lock(forever);
    if (status != Status::ok) ++ledger_.failed;
  }

  Stream stream_;
  LeaseLedger& ledger_;
  bool tasks_;
  bool skipped_ = false;
};

// `lost_allowed`: what the dead had taken by plain gets.
std::string audit(const LeaseLedger& ledger, int dead, int lost_allowed) {
  if (ledger.failed != 0) return std::to_string(ledger.failed) + " operations failed";
  if (ledger.damaged != 0) return std::to_string(ledger.damaged) + " items were damaged";
  if (ledger.late != 0) return "somebody waits for ever";
  int again = 0, lost = 0;
  for (std::uint32_t number = 0; number < items; ++number) {
    const Record& record = ledger.of[number];
    const std::string item = "item " + std::to_string(number);
    const int settled = record.settled + record.plain;
    if (settled > 1) return item + " was settled " + std::to_string(settled) + " times";
    if (settled + record.settling == 0) ++lost;
    if (record.seen > record.gave_back + 1) again += record.seen - record.gave_back - 1;
  }
  const int held = dead * static_cast<int>(most_held);
  if (lost > lost_allowed) return std::to_string(lost) + " items lost";
  if (again > held)
    return std::to_string(again) + " items came again, and the dead held at most " + std::to_string(held);
  return {};
}

LeaseLedger* new_ledger() {
  void* const at = mmap(nullptr, sizeof(LeaseLedger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return new (at) LeaseLedger{};
}

pid_t start(const std::shared_ptr<Segment>& segment, LeaseLedger& ledger, bool tasks, const Fate& fate) {
  const pid_t child = fork();
  if (child != 0) return child;
  meet(fate, ledger.deaths);
  Consumer(segment, ledger, tasks).work();
  _exit(0);
}

// What the dead left, and whether it all adds up.
std::string finish(const std::shared_ptr<Segment>& segment, LeaseLedger& ledger, bool watched, bool tasks, int dead) {
  Stream stream(segment);
  Consumer(segment, ledger, tasks).work();
  std::string trouble = audit(ledger, dead, tasks ? dead : 0);
  if (tasks) {
    const Nanoseconds end = monotonic_now() + long_enough;
    Slices slices;
    while (!stream.all_tasks_done() && monotonic_now() < end) stream.wait_all_tasks_done(end, slices);
    if (trouble.empty() && !stream.all_tasks_done(forever)) trouble = "join waits for the dead";
    if (trouble.empty() && stream.task_done() != Status::empty) trouble = "a task is done too often";
  }
  stream.segment().count_attached();
  if (trouble.empty()) trouble = stream.check().value_or("its locks were not to be had");
  if (trouble.empty() && watched) {
    stream.settled_empty();
    pollfd look{segment->ready_fd(), POLLIN, 0};
    if (poll(&look, 1, 0) != 0) trouble = "empty, but the ready descriptor is readable";
  }
  munmap(&ledger, sizeof(LeaseLedger));
  return trouble;
}

std::shared_ptr<Segment> filled(bool watched, bool tasks) {
  Bounds bounds;
  bounds.counts_tasks = tasks;
  auto segment = Segment::create(bounds);
  Stream stream(segment);
  if (watched) stream.watch();
  for (std::uint32_t number = 0; number < items; ++number) put(stream, number);
  return segment;
}

}  // namespace

Outcome run(const LeasePlan& plan) {
  const auto segment = filled(plan.watched, plan.tasks);
  LeaseLedger& ledger = *new_ledger();
  std::vector<pid_t> children;
  for (const Fate& fate : plan.consumers) children.push_back(start(segment, ledger, plan.tasks, fate));
  int dead = 0;
  for (const pid_t child : children) dead += reap(child) ? 1 : 0;
  Outcome outcome;
  outcome.killed = ledger.deaths != 0;
  outcome.trouble = finish(segment, ledger, plan.watched, plan.tasks, dead);
  return outcome;
}

std::string run_random_leases(unsigned seed, int kills, int& killed) {
  std::mt19937 random(seed);
  const bool tasks = seed % 2 == 0, watched = seed % 3 == 0;
  const auto segment = filled(watched, tasks);
  LeaseLedger& ledger = *new_ledger();
  pid_t alive[3];
  for (pid_t& each : alive) each = start(segment, ledger, tasks, {});
  int dead = 0;
  for (int i = 0; i < kills; ++i) {
    usleep(static_cast<useconds_t>(random() % 1000));  // the random moment itself, not a wait for something
    pid_t& victim = alive[random() % 3];
    kill(victim, SIGKILL);
    if (reap(victim)) ++dead;
    victim = start(segment, ledger, tasks, {});
  }
  for (const pid_t each : alive) reap(each);
  killed += dead;
  return finish(segment, ledger, watched, tasks, dead);
}

}  // namespace crash
