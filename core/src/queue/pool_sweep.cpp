// Finding the pages that a death left in no hand, and counting those that are in some.
#include <algorithm>
#include <vector>

#include "conveyor/queue/pool.hpp"

namespace conveyor {

bool Pool::sweep(const Live& live) {
  if (!lock()) return false;
  segment_.header().sweep_wanted.store(0, relaxed);
  const std::uint32_t high = high_water();
  std::vector<bool> used(high, false);
  bool sound = false;
  std::uint32_t page = live.head_page;
  for (std::uint32_t steps = 0; steps < high && page < high; ++steps) {
    used[page] = true;
    if (page == live.tail_page) {
      sound = true;
      break;
    }
    page = snapshot(segment_.descriptor(page).next);
  }
  if (!sound) {
    unlock();
    return false;
  }
  const std::vector<bool> leased = count_leased(live.leased, used);
  LifeList alive;
  std::uint32_t lent = 0;
  for (page = 0; page < high;) {
    Descriptor& descriptor = segment_.descriptor(page);
    const std::uint32_t length = used[page] ? 0 : length_of(page, high);
    bool keep = length != 0;
    if (keep) {
      if (descriptor.second_holder != nobody && !alive(descriptor.second_holder)) descriptor.second_holder = nobody;
      const bool queued = live.head_count <= descriptor.ticket && descriptor.ticket < live.tail_count;
      if (!queued && !leased[page] && !alive(descriptor.owner)) {
        descriptor.owner = nobody;
        descriptor.use = PageUse::run;
        keep = descriptor.second_holder != nobody;
      }
    }
    if (!keep) {
      if (!used[page]) descriptor.use = PageUse::none;
      ++page;
      continue;
    }
    std::fill_n(used.begin() + page, length, true);
    if (descriptor.use == PageUse::lent) lent += length;
    page += length;
  }
  state_.lent_pages.store(lent, relaxed);
  state_.warm_count = 0;
  state_.warm_pages = 0;
  state_.cold_count = 0;
  state_.cold_hint = high;
  for (page = 0; page < high;) {
    std::uint32_t end = page;
    while (end < high && used[end] == used[page]) ++end;
    if (used[page]) {
      for (std::uint32_t each = page; each < end; ++each) {
        segment_.cold_word(each / 64).fetch_and(~(std::uint64_t{1} << (each % 64)), relaxed);
      }
    } else {
      segment_.give_back(page, end - page);
      mark_cold(page, end - page);
    }
    page = end;
  }
  unlock();
  return true;
}

// How many pages the run that begins here has; 0: none does, or it is damaged.
std::uint32_t Pool::length_of(std::uint32_t first, std::uint32_t high) const {
  const Descriptor descriptor = snapshot(segment_.descriptor(first));
  if (descriptor.use != PageUse::run && descriptor.use != PageUse::lent) return 0;
  return descriptor.next <= high - first ? descriptor.next : 0;
}

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

bool Pool::count(const Live& live, std::uint32_t& used, std::uint32_t& held) {
  LifeList alive;
  held = 0;
  if (!lock()) return false;
  const std::uint32_t high = high_water();
  std::vector<bool> leased(high, false);
  for (const std::uint32_t first : live.leased.runs) {
    if (first < high) leased[first] = true;
  }
  for (std::uint32_t page = 0; page < high;) {
    const std::uint32_t length = length_of(page, high);
    const Descriptor& descriptor = segment_.descriptor(page);
    const bool queued = live.head_count <= descriptor.ticket && descriptor.ticket < live.tail_count;
    if (descriptor.use == PageUse::parked) held += 1;
    if (length != 0 && !queued && (leased[page] || alive(descriptor.owner) || alive(descriptor.second_holder)))
      held += length;
    page += std::max<std::uint32_t>(length, 1);
  }
  used = in_use();
  unlock();
  return true;
}

}  // namespace conveyor
