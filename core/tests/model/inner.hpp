// Inside the world: what the scheduler (world.cpp) and the seam (seam.cpp) share.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <ucontext.h>
#include <unordered_map>

#include "conveyor/base/owner.hpp"
#include "conveyor/base/wait.hpp"
#include "world.hpp"

namespace explorer {

constexpr std::size_t most_processes = 5;  // and the one that prepares and audits

using Clock = std::array<std::uint32_t, most_processes>;

inline void join(Clock& into, const Clock& other) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], other[i]);
}

enum class State { ready, asleep, done, dead };

struct Store {
  void* at;
  unsigned size;
  std::uint64_t value;
  Clock clock;
};

struct Process {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  std::function<void()> work;
  State state = State::ready;
  Clock clock{};     // what it knows
  Clock fenced{};    // what it knew at its last fence
  Clock glimpsed{};  // of what it read relaxed: known at the next fence
  std::deque<Store> buffer;
  bool delaying = false;
  const void* sleeps_on = nullptr;
  conveyor::Nanoseconds until = 0;
  conveyor::FutexWait woken = conveyor::FutexWait::woken;
};

struct Access {
  std::uint8_t writer = 0;
  std::uint32_t written = 0;
  Clock read{};
};

struct Choice {
  int taken, of;
};

struct World {
  Bounds left;
  std::vector<Process> processes;
  std::size_t running = 0;  // 0: the one that prepares and audits
  ucontext_t home{};
  conveyor::Nanoseconds now = 1'000'000'000;
  std::unordered_map<const void*, Clock> released;
  std::unordered_map<std::uintptr_t, Access> accesses;
  std::uintptr_t begin = 0, end = 0;
  std::vector<Choice> choices;
  std::size_t position = 0;
  std::uint64_t steps = 0, total_steps = 0, deaths = 0;
  bool died = false, watching = false;
  std::string trouble, schedule;
};

extern World* world;

inline Process& me() { return world->processes[world->running]; }
// libc's memcpy, which nobody watches.
void copy(void* to, const void* from, std::size_t size);
std::uint64_t raw(const void* at, unsigned size);
// One of so many ways to go on.
int choose(int of);
void tell(const std::string& what);
// Before each step of a process, and after each of its stores.
void step();
void after_store();
// The process that runs cannot go on: another does.
void yield_for_good();
// Everybody sees what the process has stored.
void flush(Process& process);
// What a load or a store of that order makes known.
void learn(Process& process, const void* at, std::memory_order order);
Clock published(Process& process, std::memory_order order);
// An access that is not atomic.
void check(std::uintptr_t at, std::size_t size, bool writes);

}  // namespace explorer
