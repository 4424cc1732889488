// The seam's other side: what the core calls in the place of atomics, futexes, /proc and the compiler's marks.
#include "inner.hpp"

// The linker puts ours in the place of memcpy (--wrap); this is libc's.
extern "C" void* __real_memcpy(void* to, const void* from, std::size_t size);

namespace explorer {
void copy(void* to, const void* from, std::size_t size) { __real_memcpy(to, from, size); }
}  // namespace explorer

namespace conveyor {

namespace model {

using explorer::copy;

std::uint64_t load(const void* at, unsigned size, std::memory_order order) {
  namespace m = explorer;
  if (m::world == nullptr) return m::raw(at, size);
  m::step();
  m::Process& process = m::me();
  for (auto store = process.buffer.rbegin(); store != process.buffer.rend(); ++store) {
    if (store->at == at && store->size == size) return store->value;
  }
  m::learn(process, at, order);
  return m::raw(at, size);
}

void store(void* at, unsigned size, std::uint64_t value, std::memory_order order) {
  namespace m = explorer;
  if (m::world == nullptr) {
    copy(at, &value, size);
    return;
  }
  m::step();
  m::Process& process = m::me();
  if (!process.delaying && m::world->running != 0 && m::world->left.delays > 0 && m::choose(2) == 1) {
    --m::world->left.delays;
    process.delaying = true;
    m::tell(std::to_string(m::world->steps) + ":" + std::to_string(m::world->running) + " delays");
  }
  process.buffer.push_back({at, size, value, m::published(process, order)});
  if (!process.delaying || order == std::memory_order_seq_cst) m::flush(process);
  m::after_store();
}

std::uint64_t modify(void* at, unsigned size, Change change, std::uint64_t operand, std::uint64_t wanted,
                     std::memory_order success, std::memory_order failure) {
  namespace m = explorer;
  std::uint64_t next = 0;
  if (m::world == nullptr) {
    const std::uint64_t seen = m::raw(at, size);
    if (change(seen, operand, wanted, next)) copy(at, &next, size);
    return seen;
  }
  m::step();
  m::Process& process = m::me();
  m::flush(process);
  const std::uint64_t seen = m::raw(at, size);
  if (!change(seen, operand, wanted, next)) {
    m::learn(process, at, failure);
    return seen;
  }
  m::learn(process, at, success);
  copy(at, &next, size);
  m::Clock told = m::published(process, success);
  m::join(told, m::world->released[at]);  // it goes on a release sequence
  m::world->released[at] = told;
  m::after_store();
  return seen;
}

void fence() {
  namespace m = explorer;
  if (m::world == nullptr) return;
  m::step();
  m::Process& process = m::me();
  m::flush(process);
  m::join(process.clock, process.glimpsed);
  process.fenced = process.clock;
  ++process.clock[m::world->running];
}

}  // namespace model

Nanoseconds monotonic_now() { return explorer::world == nullptr ? 1 : explorer::world->now; }
Nanoseconds monotonic_coarse() { return monotonic_now(); }
unsigned usable_cpus() { return 1; }  // no spinning: it would be waiting in the dark
int futex_error() { return 0; }

FutexWait futex_wait(Atomic<std::uint32_t>* word, std::uint32_t expected, Nanoseconds at_most) {
  namespace m = explorer;
  m::step();
  m::Process& process = m::me();
  m::flush(process);
  if (m::raw(word, 4) != expected) return FutexWait::changed;
  if (m::world->running == 0) {  // the auditor is alone
    m::world->now += at_most == forever ? 0 : at_most;
    return FutexWait::timed_out;
  }
  process.state = m::State::asleep;
  process.sleeps_on = word;
  process.until = at_most > forever - m::world->now ? forever : m::world->now + at_most;
  process.woken = FutexWait::woken;
  m::yield_for_good();
  return process.woken;
}

int futex_wake(Atomic<std::uint32_t>* word, int count) {
  namespace m = explorer;
  if (m::world == nullptr) return 0;
  m::step();
  m::flush(m::me());
  int woken = 0;
  for (m::Process& each : m::world->processes) {
    if (woken == count || each.state != m::State::asleep || each.sleeps_on != word) continue;
    each.state = m::State::ready;
    ++woken;
  }
  return woken;
}

// Who is who: process i has pid 1000 + i.
OwnerId make_owner(std::uint32_t pid, std::uint64_t start_ticks) { return start_ticks << 23 | OwnerId{pid} << 1; }
OwnerId self() {
  return make_owner(1000 + static_cast<std::uint32_t>(explorer::world == nullptr ? 0 : explorer::world->running), 7);
}

bool is_alive(OwnerId owner) {
  namespace m = explorer;
  const std::uint32_t number = owner_pid(owner) - 1000;
  if (number >= m::world->processes.size()) return false;
  m::Process& other = m::world->processes[number];
  if (other.state != m::State::dead) return true;
  m::join(m::me().clock, other.clock);  // the kernel has ended it before it says so
  return false;
}

std::uint32_t killing_signal(OwnerId) { return 0; }
bool has_exited(OwnerId) { return false; }
// Nobody leaves anything behind: here a process ends by its death alone.
OwnerId known_self() { return nobody; }
std::uint32_t generation_of_forks = 1;
std::uint64_t pid_namespace() { return 1; }

}  // namespace conveyor

// -- what the compiler calls at each access, as for ThreadSanitizer (-fsanitize=thread), whose run-time this takes the place of

extern "C" {
#define WATCH(size)                                                                                                  \
  void __tsan_read##size(void* at) { explorer::check(reinterpret_cast<std::uintptr_t>(at), size, false); }           \
  void __tsan_write##size(void* at) { explorer::check(reinterpret_cast<std::uintptr_t>(at), size, true); }           \
  void __tsan_unaligned_read##size(void* at) { explorer::check(reinterpret_cast<std::uintptr_t>(at), size, false); } \
  void __tsan_unaligned_write##size(void* at) { explorer::check(reinterpret_cast<std::uintptr_t>(at), size, true); } \
  void __tsan_volatile_read##size(void* at) { explorer::check(reinterpret_cast<std::uintptr_t>(at), size, false); }  \
  void __tsan_volatile_write##size(void* at) { explorer::check(reinterpret_cast<std::uintptr_t>(at), size, true); }
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)
void __tsan_read_range(void* at, std::size_t size) {
  if (size != 0) explorer::check(reinterpret_cast<std::uintptr_t>(at), size, false);
}
void __tsan_write_range(void* at, std::size_t size) {
  if (size != 0) explorer::check(reinterpret_cast<std::uintptr_t>(at), size, true);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void* __wrap_memcpy(void* to, const void* from, std::size_t size) {
  __tsan_read_range(const_cast<void*>(from), size);
  __tsan_write_range(to, size);
  return __real_memcpy(to, from, size);
}
// The library's own atomics (counts of shared_ptr, guards of statics): one thread, nothing to explore.
std::uint8_t __tsan_atomic8_load(const volatile std::uint8_t* at, int) { return *at; }
std::uint32_t __tsan_atomic32_load(const volatile std::uint32_t* at, int) { return *at; }
std::uint32_t __tsan_atomic32_fetch_add(volatile std::uint32_t* at, std::uint32_t by, int) {
  const std::uint32_t seen = *at;
  *at = seen + by;
  return seen;
}
bool __tsan_atomic32_compare_exchange_weak(volatile std::uint32_t* at, std::uint32_t* expected, std::uint32_t wanted,
                                           int, int) {
  const std::uint32_t seen = *at;
  if (seen == *expected) *at = wanted;
  const bool same = seen == *expected;
  *expected = seen;
  return same;
}
}
