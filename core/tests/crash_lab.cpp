#include "crash_lab.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <new>
#include <random>

#include "conveyor/kill_point.hpp"

namespace {

// The fate of this process; set in a forked child only.
std::string doomed_point;
int passages_left = 0;
std::atomic<std::uint32_t>* deaths = nullptr;

}  // namespace

namespace conveyor {

void kill_point(const char* name) {
  if (passages_left == 0 || doomed_point != name) return;
  if (--passages_left != 0) return;
  if (deaths != nullptr) ++*deaths;
  kill(getpid(), SIGKILL);
}

}  // namespace conveyor

namespace crash {
namespace {

using namespace conveyor;

struct Item {
  std::uint32_t producer, number, size, sum;
};

// Sizes that pass through every path: tiny, several to a page, over a page's end, and runs.
std::uint32_t size_of(std::uint32_t number) {
  if (number % 11 == 3) return 150'000;
  if (number % 7 == 5) return 9'000;
  return static_cast<std::uint32_t>(sizeof(Item)) + number % 50;
}

std::byte filler(std::uint32_t producer, std::uint32_t number) {
  return static_cast<std::byte>(producer * 31 + number * 7 + 1);
}

void fill(std::byte* at, std::uint32_t producer, std::uint32_t number) {
  const std::uint32_t size = size_of(number);
  const Item item{producer, number, size, producer ^ number ^ size ^ 0x5eed};
  std::memcpy(at, &item, sizeof item);
  std::memset(at + sizeof item, static_cast<int>(filler(producer, number)), size - sizeof item);
}

bool intact(const std::byte* at, std::size_t size, Item& item) {
  if (size < sizeof item) return false;
  std::memcpy(&item, at, sizeof item);
  if (item.producer >= max_producers || item.number >= items_each || item.size != size) return false;
  if (item.sum != (item.producer ^ item.number ^ item.size ^ 0x5eed)) return false;
  for (std::size_t i = sizeof item; i < size; i += 97) {
    if (at[i] != filler(item.producer, item.number)) return false;
  }
  return true;
}

struct Sink {
  std::vector<std::byte> data;
  std::vector<RunReference> taken;
  bool message(std::uint8_t, const std::byte* from, std::size_t size) {
    data.assign(from, from + size);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t count, const std::byte* head, std::size_t size) {
    taken.assign(runs, runs + count);
    return message(0, head, size);
  }
};

// An item as it is put: small ones from memory of our own; large ones in a run, or in two and a head,
// or in a run that the producer goes on looking at until its next item.
class Parcel {
 public:
  Parcel(Stream& stream, std::uint32_t producer, std::uint32_t number) : stream_(stream), data_(size_of(number)) {
    fill(data_.data(), producer, number);
    item.data = data_.data();
    item.size = data_.size();
    if (item.size <= inline_limit) return;
    std::size_t head = 0, first = item.size;
    if (number % 3 == 1) {
      head = 40;
      first = 70'000;
    }
    fine = add(head, first) && (head == 0 || add(head + first, item.size - head - first));
    item.size = head;
    item.runs = runs_;
    lends_ = fine && number % 3 == 2;
    if (lends_) stream_.begin_lending(runs_[0]);
  }
  Parcel(const Parcel&) = delete;
  ~Parcel() {
    if (lends_) stream_.end_lending(runs_[0]);
  }

  Outgoing item;
  bool fine = true;

 private:
  bool add(std::size_t from, std::size_t size) {
    RunReference& run = runs_[item.run_count];
    if (stream_.allocate_run(size, run).first == no_page) return false;
    std::memcpy(stream_.run_data(run), data_.data() + from, size);
    ++item.run_count;
    return true;
  }

  Stream& stream_;
  std::vector<std::byte> data_;
  RunReference runs_[2];
  bool lends_ = false;
};

void produce(const std::shared_ptr<Segment>& segment, Ledger& ledger, int producer) {
  Stream stream(segment);
  segment->note_putting();
  std::unique_ptr<Parcel> before;
  for (std::uint32_t number = ledger.returned[producer]; number < items_each; ++number) {
    auto parcel = std::make_unique<Parcel>(stream, static_cast<std::uint32_t>(producer), number);
    const Outgoing& item = parcel->item;
    if (!parcel->fine) {
      ++ledger.failed;
      return;
    }
    Slices slices;
    for (;;) {
      std::size_t done = 0;
      const Status status = stream.put(&item, 1, done, forever);
      if (done == 1) break;
      if (status == Status::full) {
        stream.wait_not_full(item.payload(), forever, slices);
      } else if (status != Status::busy && status != Status::interrupted) {
        ++ledger.failed;
        return;
      }
    }
    ledger.returned[producer].store(number + 1);
    before = std::move(parcel);
  }
}

bool intact(Stream& stream, const Sink& sink, Item& item) {
  std::vector<std::byte> all = sink.data;
  for (const RunReference& run : sink.taken)
    all.insert(all.end(), stream.run_data(run), stream.run_data(run) + run.size);
  return intact(all.data(), all.size(), item);
}

void consume(const std::shared_ptr<Segment>& segment, Ledger& ledger, bool watched) {
  Stream stream(segment);
  segment->note_getting();
  std::int64_t last[max_producers];
  for (std::int64_t& each : last) each = -1;
  std::deque<Sink> kept;
  Slices slices;
  for (;;) {
    Sink sink;
    std::size_t done = 0;
    const Status status = stream.take(1, sink, done);
    if (done == 1) {
      slices = Slices();
      Item item{};
      bool fine = intact(stream, sink, item);
      // Some are kept for a while, and must not change meanwhile.
      if (kept.size() > item.number % 4) {
        Item old{};
        fine &= intact(stream, kept.front(), old);
        for (const RunReference& run : kept.front().taken) stream.release(run);
        kept.pop_front();
      }
      const auto count = static_cast<std::uint32_t>(sink.taken.size());
      if (count != 0 && item.number % 2 == 0 && stream.lend(sink.taken.data(), count)) {
        kept.push_back(sink);
      } else {
        for (const RunReference& run : sink.taken) stream.release(run);
      }
      if (!fine) {
        ++ledger.damaged;
        continue;
      }
      if (last[item.producer] >= item.number) ++ledger.disorder;
      last[item.producer] = item.number;
      ++ledger.received[item.producer][item.number];
      continue;
    }
    switch (status) {
      case Status::busy: stream.await_consumers_lock(forever); break;
      case Status::empty:
        if (!stream.settled_empty()) break;
        if (ledger.stop) {
          for (const Sink& old : kept) {
            for (const RunReference& run : old.taken) stream.release(run);
          }
          return;
        }
        if (watched) {
          // As a user of select would wait. A killed producer may leave the token, never take it.
          pollfd look{stream.segment().ready_fd(), POLLIN, 0};
          poll(&look, 1, 20);
        } else {
          stream.wait_not_empty(monotonic_now() + 20'000'000, slices);
        }
        break;
      default: ++ledger.failed; return;
    }
  }
}

template <class Work>
pid_t spawn(Ledger& ledger, const Fate& fate, Work work) {
  const pid_t child = fork();
  if (child != 0) return child;
  doomed_point = fate.point;
  passages_left = fate.point.empty() ? 0 : fate.hit;
  deaths = fate.counts ? &ledger.deaths : nullptr;
  work();
  _exit(0);
}

// True if it was killed.
bool reap(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
  }
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

Ledger* new_ledger() {
  void* const at = mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return new (at) Ledger{};
}

// What must hold once everybody is done: `lost_allowed` items may have died with their consumers.
std::string audit(const Ledger& ledger, Stream& stream, int producers, int lost_allowed) {
  if (ledger.failed != 0) return std::to_string(ledger.failed) + " operations failed";
  if (ledger.damaged != 0) return std::to_string(ledger.damaged) + " items were damaged";
  if (ledger.disorder != 0) return std::to_string(ledger.disorder) + " items out of order";
  int lost = 0;
  for (int producer = 0; producer < producers; ++producer) {
    const std::uint32_t returned = ledger.returned[producer];
    for (std::uint32_t number = 0; number < items_each; ++number) {
      const int times = ledger.received[producer][number];
      const std::string item = "item " + std::to_string(number) + " of producer " + std::to_string(producer);
      if (times > 1) return item + " came " + std::to_string(times) + " times";
      if (times == 0 && number < returned) ++lost;
      // The one item whose put had not returned may be in; no later one can be.
      if (times == 1 && number > returned) return item + " came, but was never put";
    }
  }
  if (lost > lost_allowed) return std::to_string(lost) + " items lost, " + std::to_string(lost_allowed) + " allowed";
  stream.segment().count_attached();  // notices the dead, and asks for the sweep that check does first
  return stream.check().value_or("a lock was not to be had");
}

}  // namespace

Outcome run(const Plan& plan) {
  const auto segment = Segment::create(plan.bounds);
  Ledger& ledger = *new_ledger();
  Stream stream(segment);
  if (plan.watched) stream.watch();
  Outcome outcome;
  std::vector<pid_t> producers, consumers;
  const auto start_consumers = [&] {
    for (const Fate& fate : plan.consumers) {
      consumers.push_back(spawn(ledger, fate, [&] { consume(segment, ledger, plan.watched); }));
    }
  };
  if (!plan.backlog) start_consumers();
  for (std::size_t i = 0; i < plan.producers.size(); ++i) {
    producers.push_back(spawn(ledger, plan.producers[i], [&] { produce(segment, ledger, static_cast<int>(i)); }));
  }
  int dead_consumers = 0;
  for (const pid_t child : producers) reap(child);
  if (plan.backlog) start_consumers();
  ledger.stop = true;
  for (const pid_t child : consumers) {
    if (reap(child)) ++dead_consumers;
  }
  outcome.killed = ledger.deaths != 0;
  consume(segment, ledger, plan.watched);  // what the dead left
  outcome.trouble = audit(ledger, stream, static_cast<int>(plan.producers.size()), dead_consumers);
  if (outcome.trouble.empty() && plan.watched) {
    pollfd look{segment->ready_fd(), POLLIN, 0};
    if (poll(&look, 1, 0) != 0) outcome.trouble = "empty, but the ready descriptor is readable";
  }
  munmap(&ledger, sizeof(Ledger));
  return outcome;
}

std::string run_random(unsigned seed, int kills) {
  std::mt19937 random(seed);
  const auto segment = Segment::create({random() % 2 == 0 ? unbounded : 16});
  Ledger& ledger = *new_ledger();
  Stream stream(segment);
  constexpr int roles = 4;  // 0, 1: producers; 2, 3: consumers
  const auto start = [&](int role) {
    return spawn(ledger, {}, [&] { role < 2 ? produce(segment, ledger, role) : consume(segment, ledger, false); });
  };
  pid_t alive[roles];
  for (int role = 0; role < roles; ++role) alive[role] = start(role);
  int dead_consumers = 0;
  for (int i = 0; i < kills && (ledger.returned[0] < items_each || ledger.returned[1] < items_each); ++i) {
    usleep(static_cast<useconds_t>(random() % 3000));  // the random moment itself, not a wait for something
    const int role = static_cast<int>(random() % roles);
    kill(alive[role], SIGKILL);
    const bool killed = reap(alive[role]);
    if (killed && role >= 2) ++dead_consumers;
    // A producer's successor goes on behind the last item whose put returned; the one in flight may be
    // in, so that the successor must not put it again: it gives it up.
    if (killed && role < 2 && ledger.returned[role] < items_each) {
      ++ledger.returned[role];
      ++dead_consumers;  // that item may count as lost
    }
    alive[role] = start(role);
  }
  for (int role = 0; role < 2; ++role) reap(alive[role]);
  ledger.stop = true;
  for (int role = 2; role < roles; ++role) reap(alive[role]);
  consume(segment, ledger, false);
  std::string trouble = audit(ledger, stream, 2, dead_consumers);
  munmap(&ledger, sizeof(Ledger));
  return trouble;
}

}  // namespace crash
