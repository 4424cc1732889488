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
  return m::read(m::me(), at, size, order);
}

void store(void* at, unsigned size, std::uint64_t value, std::memory_order order) {
  namespace m = explorer;
  if (m::world == nullptr) {
    copy(at, &value, size);
    return;
  }
  m::step();
  m::write(m::me(), at, size, value, order);
  m::after_store();
}

std::uint64_t modify(void* at, unsigned size, Change change, std::uint64_t operand, std::uint64_t wanted,
                     std::memory_order success, std::memory_order failure) {
  namespace m = explorer;
  if (m::world == nullptr) {
    std::uint64_t next = 0;
    const std::uint64_t seen = m::raw(at, size);
    if (change(seen, operand, wanted, next)) copy(at, &next, size);
    return seen;
  }
  m::step();
  const std::uint64_t seen = m::modify(m::me(), at, size, change, operand, wanted, success, failure);
  std::uint64_t next = 0;
  if (change(seen, operand, wanted, next)) m::after_store();
  return seen;
}

void fence() {
  namespace m = explorer;
  if (m::world == nullptr) return;
  m::step();
  m::fence(m::me());
}

void fence_after_exchange() {
  if (explorer::memory() == explorer::Memory::weak) fence();
}

void pause() { explorer::pass(5'000); }

}  // namespace model

Nanoseconds monotonic_now() { return explorer::world == nullptr ? 1 : explorer::world->now; }
Nanoseconds monotonic_coarse() { return monotonic_now(); }
unsigned usable_cpus() { return explorer::processors; }
int futex_error() { return 0; }
// Each process has one of its own.
std::uint32_t current_processor() {
  return 1 + static_cast<std::uint32_t>(explorer::world == nullptr ? 0 : explorer::world->running);
}

FutexWait futex_wait(Atomic<std::uint32_t>* word, std::uint32_t expected, Nanoseconds at_most) {
  namespace m = explorer;
  m::step();
  m::Process& process = m::me();
  m::enter_kernel(process);
  if (m::read(process, word, 4, relaxed) != expected) return FutexWait::changed;
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
  m::enter_kernel(m::me());
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
  m::join(m::me().known, other.known);  // the kernel has ended it before it says so
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
