// Inside the world: what the scheduler (world.cpp), memory (ordering.cpp) and the seam (seam.cpp) share.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <ucontext.h>
#include <unordered_map>
#include <vector>

#include "conveyor/base/owner.hpp"
#include "conveyor/base/patience.hpp"
#include "conveyor/base/wait.hpp"
#include "world.hpp"

namespace explorer {

constexpr std::size_t most_processes = 5;  // and the one that prepares and audits

using Clock = std::array<std::uint32_t, most_processes>;

inline void join(Clock& into, const Clock& other) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], other[i]);
}

// Of each process, up to which of its own times (they grow at each release and fence) it is known.
struct Knowledge {
  Clock happened{};  // what happens before: it orders accesses without atomics
  Clock coherent{};  // and what full fences add: nothing older than what was seen by then can be read
};

inline void join(Knowledge& into, const Knowledge& other) {
  join(into.happened, other.happened);
  join(into.coherent, other.coherent);
}

enum class State { ready, asleep, done, dead };

// A store that is still in its processor's buffer.
struct Store {
  void* at;
  unsigned size;
  std::uint64_t value;
  Knowledge told;
};

// One value that an atomic has had.
struct Version {
  std::uint64_t value = 0;
  Knowledge told{};  // to whoever acquires it
  Clock observed{};  // when each process first wrote or read it, by its own time; 0: not yet
  bool in_one_order = false;  // written or read by a seq_cst operation: no later one of those reads anything older
};

// An atomic: its values in modification order, which is the order in which they were written.
struct Location {
  unsigned size = 0;
  std::vector<Version> versions;
};

struct Process {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  std::function<void()> work;
  State state = State::ready;
  Knowledge known;
  Knowledge fenced;    // what it knew at its last fence
  Knowledge glimpsed;  // of what it read relaxed: known at the next fence
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
  Memory memory = Memory::weak;
  std::unordered_map<const void*, Location> locations;
  Clock fences{};  // what was known at any full fence so far
  std::unordered_map<std::uintptr_t, Access> accesses;
  std::uintptr_t begin = 0, end = 0;
  std::vector<Choice> choices;
  std::size_t position = 0;
  std::uint64_t steps = 0, total_steps = 0, deaths = 0;
  bool died = false, watching = false;
  std::vector<const void*> patient;
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
// An access that is not atomic.
void check(std::uintptr_t at, std::size_t size, bool writes);

// -- ordering.cpp

// Everybody sees what the process has stored.
void flush(Process& process);
std::uint64_t read(Process& process, const void* at, unsigned size, std::memory_order order);
void write(Process& process, void* at, unsigned size, std::uint64_t value, std::memory_order order);
std::uint64_t modify(Process& process, void* at, unsigned size, conveyor::model::Change change, std::uint64_t operand,
                     std::uint64_t wanted, std::memory_order success, std::memory_order failure);
void fence(Process& process);
// The order that a futex call brings with it.
void enter_kernel(Process& process);

}  // namespace explorer
