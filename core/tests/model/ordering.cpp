// Memory, as the processes see it.
//
// Weak memory, as C++20's [atomics.order] has it: an atomic keeps all values that it has had. A load takes the newest, or
// an older one as long as nothing newer has been written or read by anybody in what happens before the load (coherence).
// A release tells what its process knows, an acquire learns it; a read-modify-write takes the newest value and goes on
// with its release sequence; a compare-exchange that fails is a load. Full fences have one order: what was written or
// read before one cannot be missed after a later one, which alone makes no order for what is not atomic. Operations that
// are seq_cst have one order, too, for each atomic; between different ones, and with fences, C++ says more than is
// taken for granted here.
//
// Two things are not explored. Modification order is the order in which the stores were made, so two processes' stores
// without a read between them do not change places. And no load sees a store that its own process's later steps lead to
// (load buffering); what is read without atomics and overwritten too early is found as a race all the same.
#include "inner.hpp"

namespace explorer {
namespace {

bool acquires(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}
bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}
bool is_x86() { return world->memory == Memory::x86; }

Location& location(const void* at, unsigned size) {
  Location& found = world->locations[at];
  if (found.versions.empty()) found.size = size;
  const std::uint64_t value = raw(at, found.size);
  // The first look at it; or it was written without atomics since, and begins anew.
  if (found.versions.empty() || found.versions.back().value != value) found.versions.assign(1, Version{.value = value});
  return found;
}

// Its own time goes on: what comes now is not in what it has told.
void tick(Process& process) {
  const auto self = static_cast<std::size_t>(&process - world->processes.data());
  process.known.coherent[self] = ++process.known.happened[self];
}

void observe(const Process& process, Version& version) {
  const auto self = static_cast<std::size_t>(&process - world->processes.data());
  if (version.observed[self] == 0) version.observed[self] = process.known.happened[self];
}

void learn(Process& process, Version& version, std::memory_order order) {
  observe(process, version);
  version.in_one_order |= order == std::memory_order_seq_cst;
  join(acquires(order) ? process.known : process.glimpsed, version.told);
}

Knowledge told(const Process& process, std::memory_order order) {
  return releases(order) ? process.known : process.fenced;
}

void append(Process& process, void* at, unsigned size, std::uint64_t value, const Knowledge& knowledge,
            bool in_one_order) {
  Location& where = location(at, size);
  where.versions.push_back({.value = value, .told = knowledge, .in_one_order = in_one_order});
  observe(process, where.versions.back());
  copy(at, &value, size);
}

std::size_t oldest_readable(const Process& process, const Location& where, std::memory_order order) {
  for (std::size_t i = where.versions.size() - 1; i > 0; --i) {
    const Version& version = where.versions[i];
    if (version.in_one_order && order == std::memory_order_seq_cst) return i;
    for (std::size_t each = 1; each < version.observed.size(); ++each) {
      if (version.observed[each] != 0 && version.observed[each] <= process.known.coherent[each]) return i;
    }
  }
  return 0;
}

// The version that a look finds: the newest, or an older one that `fits`.
template <class Fits>
Version& found(const Process& process, Location& where, std::memory_order order, Fits fits) {
  const std::size_t newest = where.versions.size() - 1;
  if (is_x86() || world->running == 0 || world->left.late == 0) return where.versions[newest];
  std::size_t older[16];
  int count = 0;
  for (std::size_t i = newest, oldest = oldest_readable(process, where, order); i-- > oldest && count < 16;) {
    if (fits(where.versions[i].value)) older[count++] = i;
  }
  const int taken = choose(1 + count);
  if (taken == 0) return where.versions[newest];
  --world->left.late;
  tell(std::to_string(world->steps) + ":" + std::to_string(world->running) + " misses " +
       std::to_string(newest - older[taken - 1]));
  return where.versions[older[taken - 1]];
}

std::uint64_t low(std::uint64_t value, unsigned size) {
  return size == 8 ? value : value & ((std::uint64_t{1} << (size * 8)) - 1);
}

}  // namespace

void flush(Process& process) {
  for (const Store& store : process.buffer) append(process, store.at, store.size, store.value, store.told, false);
  process.buffer.clear();
  process.delaying = false;
}

std::uint64_t read(Process& process, const void* at, unsigned size, std::memory_order order) {
  for (auto store = process.buffer.rbegin(); store != process.buffer.rend(); ++store) {
    if (store->at == at && store->size == size) return store->value;
  }
  if (world->running == 0) return raw(at, size);
  Version& version = found(process, location(at, size), order, [](std::uint64_t) { return true; });
  learn(process, version, order);
  return low(version.value, size);
}

void write(Process& process, void* at, unsigned size, std::uint64_t value, std::memory_order order) {
  if (world->running == 0) return copy(at, &value, size);
  if (is_x86()) {
    if (!process.delaying && world->left.late > 0 && choose(2) == 1) {
      --world->left.late;
      process.delaying = true;
      tell(std::to_string(world->steps) + ":" + std::to_string(world->running) + " delays");
    }
    process.buffer.push_back({at, size, value, told(process, order)});
    if (!process.delaying || order == std::memory_order_seq_cst) flush(process);
  } else {
    append(process, at, size, value, told(process, order), order == std::memory_order_seq_cst);
  }
  if (releases(order)) tick(process);
}

std::uint64_t modify(Process& process, void* at, unsigned size, conveyor::model::Change change, std::uint64_t operand,
                     std::uint64_t wanted, std::memory_order success, std::memory_order failure) {
  std::uint64_t next = 0;
  if (world->running == 0) {
    const std::uint64_t seen = raw(at, size);
    if (change(seen, operand, wanted, next)) copy(at, &next, size);
    return seen;
  }
  flush(process);
  Location& where = location(at, size);
  Version& version =
      found(process, where, failure, [&](std::uint64_t value) { return !change(value, operand, wanted, next); });
  const std::uint64_t seen = version.value;
  if (!change(seen, operand, wanted, next)) {
    learn(process, version, failure);
    return seen;
  }
  learn(process, version, success);
  Knowledge knowledge = version.told;  // it goes on a release sequence
  join(knowledge, told(process, success));
  append(process, at, size, next, knowledge, success == std::memory_order_seq_cst);
  if (releases(success)) tick(process);
  return seen;
}

void enter_kernel(Process& process) {
  if (world->running == 0) return;
  flush(process);
  join(process.known.coherent, world->fences);
  world->fences = process.known.coherent;
  tick(process);
}

void fence(Process& process) {
  if (world->running == 0) return;
  join(process.known, process.glimpsed);
  flush(process);
  join(process.known.coherent, world->fences);
  world->fences = process.known.coherent;
  process.fenced = process.known;
  tick(process);
}

}  // namespace explorer
