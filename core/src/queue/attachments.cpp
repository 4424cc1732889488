// The lists of processes that use a segment: for the statistics, and to find the dead.
#include "conveyor/queue/lease.hpp"
#include "conveyor/queue/segment.hpp"

namespace conveyor {

void Segment::note(Atomic<OwnerId>* list, Atomic<std::uint32_t>& generation) {
  const std::uint32_t now = fork_generation();
  if (generation.load(relaxed) == now) return;
  generation.store(now, relaxed);
  count_attached();  // a newcomer often replaces somebody who died
  const OwnerId me = self();
  for (std::size_t i = 0; i < attachment_capacity; ++i) {
    if (list[i].load(relaxed) == me) return;
  }
  for (std::size_t i = 0; i < attachment_capacity; ++i) {
    OwnerId vacant = nobody;
    if (list[i].compare_exchange_strong(vacant, me, relaxed)) return;
  }
  // More processes than the list holds: they work all the same, they are only not counted.
}

std::uint32_t Segment::count_alive(Atomic<OwnerId>* list) {
  std::uint32_t alive = 0;
  for (std::size_t i = 0; i < attachment_capacity; ++i) {
    OwnerId owner = list[i].load(relaxed);
    if (owner == nobody) continue;
    if (is_alive(owner)) {
      ++alive;
    } else if (list[i].compare_exchange_strong(owner, nobody, relaxed)) {
      header_->sweep_wanted.store(1, relaxed);
    }
  }
  return alive;
}

Segment::Attached Segment::count_attached() { return {count_alive(header_->putting), count_alive(header_->getting)}; }

void Segment::leave_tasks() {
  if (header_ == nullptr || getting_generation_.load(relaxed) != fork_generation()) return;
  LeaseTable table(*this);
  if (table.counts_tasks() && table.any_out()) table.leave_own_tasks();
}

void Segment::strike_out() {
  if (header_ == nullptr) return;
  const auto strike = [](Atomic<OwnerId>* list) {
    for (std::size_t i = 0; i < attachment_capacity; ++i) {
      OwnerId me = self();
      list[i].compare_exchange_strong(me, nobody, relaxed);
    }
  };
  // Only what this very process wrote: a forked child that never used the queue wrote nothing.
  if (putting_generation_.load(relaxed) == fork_generation()) strike(header_->putting);
  if (getting_generation_.load(relaxed) == fork_generation()) strike(header_->getting);
}

}  // namespace conveyor
