// Pages that neither wait in the queue nor are free: somebody has them, or may come back for them.
#include <algorithm>

#include "conveyor/pool.hpp"

namespace conveyor {

// Counts the leased messages of each stream page anew; those whose page the head has passed are parked
// there. Marks the pages as used, and returns which pages begin a run that is leased.
std::vector<bool> Pool::count_leased(const Leased& leased, std::vector<bool>& used) {
  const auto high = static_cast<std::uint32_t>(used.size());
  for (std::uint32_t page = 0; page < high; ++page) {
    Descriptor& descriptor = segment_.descriptor(page);
    if (descriptor.use == PageUse::stream || descriptor.use == PageUse::parked) descriptor.ticket = 0;
  }
  for (const std::uint32_t page : leased.pages) {
    if (page >= high) continue;
    Descriptor& descriptor = segment_.descriptor(page);
    descriptor.ticket += 1;
    if (!used[page]) descriptor.use = PageUse::parked;
  }
  for (const std::uint32_t page : leased.pages) {
    if (page < high) used[page] = true;
  }
  std::vector<bool> runs(high, false);
  for (const std::uint32_t first : leased.runs) {
    if (first < high) runs[first] = true;
  }
  return runs;
}

std::uint32_t Pool::pages_held(const Live& live) {
  LifeList alive;
  std::uint32_t pages = 0;
  lock();
  std::vector<bool> leased(state_.high_water, false);
  for (const std::uint32_t first : live.leased.runs) {
    if (first < state_.high_water) leased[first] = true;
  }
  for (std::uint32_t page = 0; page < state_.high_water;) {
    const std::uint32_t length = length_of(page);
    const Descriptor& descriptor = segment_.descriptor(page);
    const bool queued = live.head_count <= descriptor.ticket && descriptor.ticket < live.tail_count;
    const bool held = leased[page] || alive(descriptor.owner) || alive(descriptor.lender);
    if (descriptor.use == PageUse::parked) pages += 1;
    if (length != 0 && !queued && held) pages += length;
    page += std::max<std::uint32_t>(length, 1);
  }
  unlock();
  return pages;
}

}  // namespace conveyor
