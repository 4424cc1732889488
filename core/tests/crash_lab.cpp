#include "crash_lab.hpp"

#include "crash_items.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <deque>
#include <new>
#include <optional>
#include <random>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/queue/pacing.hpp"

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

void release_runs(Stream& stream, const Outgoing& item) {
  for (std::uint32_t i = 0; i < item.run_count; ++i) stream.release(item.runs[i]);
}

void put_all(Stream& stream, Ledger& ledger, int producer) {
  std::unique_ptr<Parcel> before;
  Pacing pacing(stream.segment().header());
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
      if (status == Status::shut_down) return release_runs(stream, item);
      if (status == Status::full) {
        stream.wait_not_full(item.payload(), forever, slices);
      } else if (status != Status::busy && status != Status::interrupted) {
        ++ledger.failed;
        return;
      }
    }
    ledger.returned[producer].store(number + 1);
    if (pacing.is_due(1, [&] { return item.payload(); })) pacing.rest();
    before = std::move(parcel);
  }
}

void produce(const std::shared_ptr<Segment>& segment, Ledger& ledger, int producer, Ending ending) {
  Stream stream(segment);
  segment->note_putting();
  if (ending == Ending::by_producers && stream.enter_producing(true, forever) != Status::ok) ++ledger.failed;
  put_all(stream, ledger, producer);
  if (ending == Ending::by_producers) stream.leave_producing(forever);
}

void consume(const std::shared_ptr<Segment>& segment, Ledger& ledger, bool watched, Ending ending) {
  Stream stream(segment);
  segment->note_getting();
  std::int64_t last[max_producers];
  for (std::int64_t& each : last) each = -1;
  std::deque<Sink> kept;
  std::optional<Slices> slices(std::in_place);
  for (;;) {
    Sink sink;
    std::size_t done = 0;
    const Status status = stream.take(1, sink, done);
    if (done == 1) {
      slices.emplace();
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
        // As if somebody else looked at one of them for a moment.
        if (item.number % 4 == 0 && stream.borrow(sink.taken[0], self())) stream.end_lending(sink.taken[0]);
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
      // What a killed process had to do is settled; what one left that has ended normally is not, if its end is seen.
      while (ending != Ending::told && stream.task_done() == Status::busy) stream.await_consumers_lock(forever);
      continue;
    }
    switch (status) {
      case Status::busy: stream.await_consumers_lock(forever); break;
      case Status::empty: {
        const bool ended = stream.ended();
        if (!stream.settled_empty()) break;
        if (stream.look_is_due()) {
          stream.look_for_lost();
          break;
        }
        if (ending == Ending::told ? ledger.stop.load() : ended) {
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
          stream.wait_not_empty(monotonic_now() + 20'000'000, *slices);
        }
        break;
      }
      default: ++ledger.failed; return;
    }
  }
}

struct Fallen {
  pid_t pid;
  bool killed;
};

template <class Work>
pid_t spawn(Ledger& ledger, const Fate& fate, Work work) {
  const pid_t child = fork();
  if (child != 0) return child;
  meet(fate, ledger.deaths);
  work();
  _exit(0);
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

// Says how the queue will end, or ends it, in processes of their own; if all died before it was done, we do it.
void close(const Plan& plan, Ledger& ledger, const std::shared_ptr<Segment>& segment) {
  const auto work = [&] {
    Stream stream(segment);
    if (plan.ending == Ending::by_producers) {
      stream.expect_producers(static_cast<std::uint32_t>(plan.producers.size()), forever);
      return;
    }
    while (ledger.returned[0] < 50 && ledger.deaths == 0) usleep(100);
    stream.shutdown(plan.ending == Ending::immediate, forever);
  };
  for (const Fate& fate : plan.closers) reap(spawn(ledger, fate, work));
  if (!Stream(segment).ended()) work();
}

// How the queue ended, and whether what it says of that is so.
std::string audit_ending(const Plan& plan, const Ledger& ledger, Stream& stream, const std::vector<Fallen>& producers,
                         int dead_consumers) {
  if (!stream.ended()) return "it has not ended";
  // Of what was dropped nothing is to be done, and what the consumers had went with them.
  const Nanoseconds deadline = monotonic_now() + 60'000'000'000;  // a guard: who is killed under load is found late
  std::uint64_t unfinished = 0;
  Slices slices;
  stream.segment().header().leases.next_look.store(0);  // at once: this is no test of how soon
  while (!stream.all_tasks_done(forever) && monotonic_now() < deadline) stream.wait_all_tasks_done(deadline, slices);
  if (stream.count_unfinished(unfinished, forever) != Status::ok || unfinished != 0)
    return std::to_string(unfinished) + " tasks unfinished";
  if (plan.ending != Ending::by_producers) return "";
  const std::vector<LostProducer> lost = stream.lost();
  std::size_t found = 0;
  for (std::size_t i = 0; i < producers.size(); ++i) {
    const std::uint32_t returned = ledger.returned[i];
    const std::string name = "producer " + std::to_string(i);
    const LostProducer* loss = nullptr;
    for (const LostProducer& each : lost) {
      if (each.pid == static_cast<std::uint32_t>(producers[i].pid)) loss = &each;
    }
    if (loss == nullptr) {
      if (producers[i].killed && returned > 0 && returned < items_each) return name + " was lost in silence";
      continue;
    }
    ++found;
    if (!producers[i].killed) return name + " is said to be lost, and was not";
    std::uint64_t came = 0;
    for (const auto& times : ledger.received[i]) came += times;
    if (loss->items < came || loss->items > came + static_cast<std::uint64_t>(dead_consumers))
      return name + " is said to have put " + std::to_string(loss->items) + " items, and " + std::to_string(came) +
             " came";
    if (loss->signal != 0 && loss->signal != SIGKILL) return name + " was killed by another signal";
  }
  return found == lost.size() ? "" : "somebody is lost whom nobody knows";
}

}  // namespace

void meet(const Fate& fate, std::atomic<std::uint32_t>& counted) {
  doomed_point = fate.point;
  passages_left = fate.point.empty() ? 0 : fate.hit;
  deaths = fate.counts ? &counted : nullptr;
}

bool reap(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
  }
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

Outcome run(const Plan& plan) {
  Bounds bounds = plan.bounds;
  bounds.counts_tasks = plan.ending != Ending::told;
  const auto segment = Segment::create(bounds);
  Ledger& ledger = *new_ledger();
  Stream stream(segment);
  if (plan.watched) stream.watch();
  Outcome outcome;
  std::vector<Fallen> producers;
  std::vector<pid_t> consumers;
  const auto start_consumers = [&] {
    for (const Fate& fate : plan.consumers) {
      consumers.push_back(spawn(ledger, fate, [&] { consume(segment, ledger, plan.watched, plan.ending); }));
    }
  };
  if (plan.ending == Ending::by_producers) close(plan, ledger, segment);
  if (!plan.backlog) start_consumers();
  for (std::size_t i = 0; i < plan.producers.size(); ++i) {
    const auto work = [&] { produce(segment, ledger, static_cast<int>(i), plan.ending); };
    producers.push_back({spawn(ledger, plan.producers[i], work), false});
  }
  if (plan.ending == Ending::shutdown || plan.ending == Ending::immediate) close(plan, ledger, segment);
  int dead_consumers = 0;
  for (Fallen& each : producers) each.killed = reap(each.pid);
  if (plan.ending == Ending::by_producers) {
    // One may have died before it had come: only its program can know that it will not.
    std::uint32_t may_be_missing = 0;
    for (std::size_t i = 0; i < producers.size(); ++i) {
      if (producers[i].killed && ledger.returned[i] == 0) ++may_be_missing;
    }
    for (const Fate& fate : plan.lookers) reap(spawn(ledger, fate, [&] { Stream(segment).look_for_lost(); }));
    stream.look_for_lost();
    outcome.missing = segment->header().ending.expected.load() & ~producers_armed;
    if (outcome.missing > may_be_missing) outcome.trouble = "still expects producers";
    if (outcome.missing != 0) stream.expect_producers(0, forever);
  }
  if (plan.backlog) start_consumers();
  ledger.stop = true;
  for (const pid_t child : consumers) {
    if (reap(child)) ++dead_consumers;
  }
  outcome.killed = ledger.deaths != 0;
  // What the dead left.
  reap(spawn(ledger, {}, [&] { consume(segment, ledger, plan.watched, plan.ending); }));
  const int lost_allowed = plan.ending == Ending::immediate ? INT_MAX : dead_consumers;
  outcome.lost = stream.lost();
  if (outcome.trouble.empty() && plan.ending != Ending::told)
    outcome.trouble = audit_ending(plan, ledger, stream, producers, dead_consumers);
  if (outcome.trouble.empty())
    outcome.trouble = audit(ledger, stream, static_cast<int>(plan.producers.size()), lost_allowed);
  if (outcome.trouble.empty() && plan.watched) {
    pollfd look{segment->ready_fd(), POLLIN, 0};
    const bool readable = poll(&look, 1, 0) != 0;
    if (readable != (plan.ending != Ending::told))
      outcome.trouble = readable ? "empty, but the ready descriptor is readable" : "the end cannot be read";
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
    return spawn(ledger, {}, [&] {
      role < 2 ? produce(segment, ledger, role, Ending::told) : consume(segment, ledger, false, Ending::told);
    });
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
  consume(segment, ledger, false, Ending::told);
  std::string trouble = audit(ledger, stream, 2, dead_consumers);
  munmap(&ledger, sizeof(Ledger));
  return trouble;
}

}  // namespace crash
