#include <algorithm>
#include <cstdlib>

#include "inner.hpp"

namespace explorer {
namespace {

constexpr std::size_t stack_size = 256 * 1024;
constexpr std::uint64_t most_steps = 20'000;

}  // namespace

World* world = nullptr;
unsigned processors = 1;

int choose(int of) {
  if (of < 2) return 0;
  if (world->position == world->choices.size()) world->choices.push_back({0, of});
  return world->choices[world->position++].taken;
}

static void say(const std::string& what) {
  if (world->trouble.empty()) world->trouble = what;
}

void tell(const std::string& what) { world->schedule += what + " "; }

std::uint64_t raw(const void* at, unsigned size) {
  std::uint64_t value = 0;
  copy(&value, at, size);
  return value;
}

// -- who runs

static void go_home() {
  const std::size_t from = world->running;
  world->running = 0;
  swapcontext(&world->processes[from].context, &world->home);
}

static void run(std::size_t next) {
  const std::size_t from = world->running;
  if (next == from) return;
  world->running = next;
  if (from == 0) {
    swapcontext(&world->home, &world->processes[next].context);
  } else {
    swapcontext(&world->processes[from].context, &world->processes[next].context);
  }
}

static std::vector<std::size_t> ready_ones(std::size_t but) {
  std::vector<std::size_t> found;
  for (std::size_t i = 1; i < world->processes.size(); ++i) {
    if (i != but && world->processes[i].state == State::ready) found.push_back(i);
  }
  return found;
}

// No other sleep on that word is as short.
static bool is_patient(const Process& sleeper) {
  const auto& words = world->patient;
  return sleeper.until - world->now <= conveyor::Patience::most_for_room &&
         std::find(words.begin(), words.end(), sleeper.sleeps_on) != words.end();
}

// The one that runs cannot: picks another, lets time pass, or goes home when all are done.
void yield_for_good() {
  std::vector<std::size_t> ready = ready_ones(0);
  if (ready.empty() && world->trouble.empty()) {
    std::size_t first = 0;
    for (std::size_t i = 1; i < world->processes.size(); ++i) {
      if (world->processes[i].state != State::asleep) continue;
      if (first == 0 || world->processes[i].until < world->processes[first].until) first = i;
    }
    const bool by_itself = first != 0 && is_patient(world->processes[first]);
    if (first != 0 && !world->died && !by_itself) say("all sleep, and nobody will wake them");
    if (first != 0 && (world->died || by_itself)) {
      Process& sleeper = world->processes[first];
      world->now = std::max(world->now, sleeper.until);
      sleeper.woken = conveyor::FutexWait::timed_out;
      sleeper.state = State::ready;
      ready.push_back(first);
    }
  }
  if (ready.empty() || !world->trouble.empty()) return go_home();
  const std::size_t next = ready[static_cast<std::size_t>(choose(static_cast<int>(ready.size())))];
  tell("->" + std::to_string(next));
  run(next);
}

static void die() {
  --world->left.deaths;
  ++world->deaths;
  world->died = true;
  tell(std::to_string(world->steps) + ":" + std::to_string(world->running) + " dies");
  flush(me());  // what it has stored is on its way, whatever becomes of it
  me().state = State::dead;
  yield_for_good();
}

// Before each step of a process.
void step() {
  if (world->running == 0) return;
  ++world->total_steps;
  if (++world->steps > most_steps) say("it never ends");
  if (!world->trouble.empty()) return go_home();
  const std::vector<std::size_t> others =
      world->left.preemptions > 0 ? ready_ones(world->running) : std::vector<std::size_t>{};
  const int deaths = world->left.deaths > 0 ? 1 : 0;
  const int choice = choose(1 + static_cast<int>(others.size()) + deaths);
  if (choice == 0) return;
  if (choice <= static_cast<int>(others.size())) {
    --world->left.preemptions;
    tell(std::to_string(world->steps) + ":" + std::to_string(world->running) + "->" +
         std::to_string(others[static_cast<std::size_t>(choice) - 1]));
    return run(others[static_cast<std::size_t>(choice) - 1]);
  }
  die();
}

// After a store: between it and what is written next without atomics is a place to die, too.
void after_store() {
  if (world->running == 0 || world->left.deaths == 0 || choose(2) == 0) return;
  die();
}

static void enter() {
  me().work();
  flush(me());
  me().state = State::done;
  yield_for_good();
}

// -- what is not atomic

void check(std::uintptr_t at, std::size_t size, bool writes) {
  if (world == nullptr || !world->watching || world->running == 0 || at < world->begin || at >= world->end) return;
  Process& process = me();
  for (std::uintptr_t word = at / 4; word <= (at + size - 1) / 4; ++word) {
    Access& access = world->accesses[word];
    const bool ordered = access.written <= process.known.happened[access.writer];
    bool readers_ordered = true;
    for (std::size_t i = 1; i < access.read.size(); ++i) readers_ordered &= access.read[i] <= process.known.happened[i];
    if (!ordered || (writes && !readers_ordered)) {
      say("a data race at offset " + std::to_string(at - world->begin) + (writes ? ", written" : ", read") + " by " +
          std::to_string(world->running));
    }
    const std::uint32_t now = process.known.happened[world->running];
    if (writes) {
      access.writer = static_cast<std::uint8_t>(world->running);
      access.written = now;
    } else {
      access.read[world->running] = now;
    }
  }
}

namespace {

std::string execute(const std::function<Program()>& make, const Bounds& bounds) {
  World& w = *world;
  w.left = bounds;
  w.processes.clear();
  w.running = 0;
  w.now = 1'000'000'000;
  w.locations.clear();
  w.fences = {};
  w.accesses.clear();
  w.begin = w.end = 0;
  w.position = w.steps = 0;
  w.died = w.watching = false;
  w.trouble.clear();
  w.schedule.clear();
  w.processes.emplace_back();
  Program program = make();
  w.patient = program.patient;
  for (auto& work : program.processes) {
    Process& process = w.processes.emplace_back();
    process.work = std::move(work);
    process.stack = std::make_unique_for_overwrite<char[]>(stack_size);
  }
  for (std::size_t i = 1; i < w.processes.size(); ++i) {
    Process& process = w.processes[i];
    process.known.happened[i] = process.known.coherent[i] = 1;
    getcontext(&process.context);
    process.context.uc_stack.ss_sp = process.stack.get();
    process.context.uc_stack.ss_size = stack_size;
    process.context.uc_link = nullptr;
    makecontext(&process.context, enter, 0);
  }
  w.watching = true;
  yield_for_good();
  w.watching = false;
  if (w.trouble.empty()) w.trouble = program.audit();
  return w.trouble;
}

// To the next order; false: that was the last.
bool advance(std::vector<Choice>& choices) {
  while (!choices.empty() && choices.back().taken + 1 == choices.back().of) choices.pop_back();
  if (choices.empty()) return false;
  ++choices.back().taken;
  return true;
}

}  // namespace

Memory memory() {
  const char* const asked = std::getenv("CONVEYOR_MODEL_MEMORY");
  return asked != nullptr && std::string(asked) == "x86" ? Memory::x86 : Memory::weak;
}

Result explore(const Bounds& bounds, const std::function<Program()>& make) {
  World fresh;
  fresh.memory = memory();
  world = &fresh;
  Result result;
  do {
    ++result.executions;
    result.trouble = execute(make, bounds);
  } while (result.trouble.empty() && advance(fresh.choices));
  result.steps = fresh.total_steps;
  result.deaths = fresh.deaths;
  result.schedule = fresh.schedule;
  world = nullptr;
  return result;
}

void share(const void* begin, std::size_t size) {
  world->begin = reinterpret_cast<std::uintptr_t>(begin);
  world->end = world->begin + size;
}

void fail(const std::string& what) { say(what); }
bool somebody_died() { return world->died; }
void pass(std::int64_t nanoseconds) {
  if (world != nullptr) world->now += nanoseconds;
}

}  // namespace explorer
