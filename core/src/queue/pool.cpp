#include "conveyor/queue/pool.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

// What stays warm at least: room for eight items of the size in use, within these limits (in pages).
constexpr std::uint64_t warm_least = 16;    // 1 MiB
constexpr std::uint64_t warm_most = 1024;   // 64 MiB
// Beyond that, what was in use lately: a backlog that comes and goes should find its memory again,
// for a fresh page costs ten times a warm one. Each free forgets this fraction of it.
constexpr std::uint32_t fading = 32;
// What was given back and then needed again stays the next time: a backlog may rise and fall with the turns that
// producers and consumers have on the processors. Of what so many frees, or frees for so long, have not needed, half is forgotten.
constexpr std::uint32_t frees_at_a_time = 65536;
constexpr std::uint32_t seconds_at_a_time = 10;
constexpr std::uint32_t table_at_a_time = 4096 / sizeof(Descriptor);

}  // namespace

int Pool::try_lock() {
  const Locked got = segment_.pool_patience.acquire(state_.lock);
  if (got == Locked::recovered) {
    // The warm list may be half changed: forget it. Its pages are lost until the sweep.
    state_.warm_count = 0;
    state_.warm_pages = 0;
    segment_.header().sweep_wanted.store(1, relaxed);  // relaxed: a hint, looked at by every operation
  }
  if (got == Locked::busy) return EBUSY;
  // relaxed: under the lock
  const int refused = segment_.reach_table(std::min(state_.high_water.load(relaxed), segment_.page_count()));
  if (refused != 0) unlock();
  return refused;
}

// Without the lock: the sweep takes a run without an owner, and a stream's page that the stream has passed.
void Pool::abandon(std::uint32_t first) {
  segment_.descriptor(first).owner = nobody;
  segment_.header().sweep_wanted.store(1, relaxed);
}

std::uint32_t Pool::high_water() const {
  // relaxed: under the lock. What is not mapped, damage has added since.
  return std::min({state_.high_water.load(relaxed), segment_.table_reached(), segment_.page_count()});
}

std::uint32_t Pool::warm_count() const { return std::min(snapshot(state_.warm_count), warm_capacity); }

std::uint32_t Pool::in_use() const {
  const std::uint64_t free_pages = state_.warm_pages + state_.cold_count;
  const std::uint32_t high = high_water();
  return high - static_cast<std::uint32_t>(std::min<std::uint64_t>(free_pages, high));
}

// How many pages may be warm: never more than were in use at the recent peak, or were missed, or the least.
std::uint64_t Pool::warm_limit() {
  const auto now_seconds = static_cast<std::uint32_t>(monotonic_coarse() / 1'000'000'000);
  if (++state_.frees >= frees_at_a_time || now_seconds - state_.since >= seconds_at_a_time) {
    state_.missed -= std::min(state_.missed, (state_.least_warm + 1) / 2);
    state_.least_warm = static_cast<std::uint32_t>(state_.warm_pages);
    state_.frees = 0;
    state_.since = now_seconds;
  }
  const std::uint64_t missed = std::min<std::uint64_t>(state_.missed, warm_most);
  const std::uint32_t now = in_use();
  state_.recent_peak -= std::min(state_.recent_peak, state_.recent_peak / fading + 1);
  state_.recent_peak = std::max(state_.recent_peak, now);
  return std::max({std::uint64_t{state_.recent_peak} - now, missed,
                   std::clamp<std::uint64_t>(8ULL * state_.recent_run, warm_least, warm_most)});
}

Pool::Allocation Pool::allocate(std::uint32_t pages, PageUse use) {
  if (pages == 0 || pages > segment_.page_count()) return {no_page, ENOMEM};
  if (const int refused = try_lock(); refused != 0) return {no_page, refused};
  std::uint32_t first = take_warm(pages);
  const bool warm = first != no_page;
  int error = 0;
  if (first == no_page) first = take_cold(pages);
  if (first == no_page) first = take_fresh(pages, error);
  if (first == no_page) {
    // The pool is used up: what is kept warm may make room for a longer run.
    unlock();
    if (!give_back_warm()) return {no_page, error};
    if (const int refused = try_lock(); refused != 0) return {no_page, refused};
    first = take_cold(pages);
    if (first == no_page) first = take_fresh(pages, error);
    if (first == no_page) {
      unlock();
      return {no_page, error};
    }
  }
  CONVEYOR_KILL_POINT("pool.taken");
  claim(first, pages, use);
  unlock();
  CONVEYOR_KILL_POINT("pool.claimed");
  // What is warm may be another process's, and not yet mapped here.
  const int refused = !warm ? with_memory([&] { return segment_.reserve(first, pages); })
                            : (segment_.reach(first, pages) == Reach::ok ? 0 : ENOMEM);
  if (refused != 0) {
    decommit({first, pages});
    return {no_page, refused};
  }
  return {first, 0};
}

void Pool::claim(std::uint32_t first, std::uint32_t pages, PageUse use) {
  Descriptor& descriptor = segment_.descriptor(first);
  descriptor.owner = self();
  descriptor.ticket = use == PageUse::stream ? 0 : no_ticket;
  descriptor.second_holder = nobody;
  descriptor.next = use == PageUse::stream ? no_page : pages;
  descriptor.use = use;
}

void Pool::free(std::uint32_t first, std::uint32_t pages) {
  WarmRun evicted[8];
  int count = 0;
  if (!lock()) return abandon(first);
  Descriptor& descriptor = segment_.descriptor(first);
  no_longer_lent(descriptor, pages);
  // A borrower that died is no user of the queue, so that nothing else brings a sweep.
  if (descriptor.second_holder != nobody && is_alive(descriptor.second_holder)) {
    descriptor.owner = nobody;  // the second holder frees it
    CONVEYOR_KILL_POINT("pool.kept-for-second-holder");
  } else {
    count = give_away(first, pages, evicted);
  }
  unlock();
  for (int i = 0; i < count; ++i) decommit(evicted[i]);
}

void Pool::end_lending(std::uint32_t first, std::uint32_t pages) {
  WarmRun evicted[8];
  int count = 0;
  Descriptor& descriptor = segment_.descriptor(first);
  if (!lock()) {
    descriptor.second_holder = nobody;  // its taker's free finds that, or the sweep does
    segment_.header().sweep_wanted.store(1, relaxed);
    return;
  }
  descriptor.second_holder = nobody;
  CONVEYOR_KILL_POINT("pool.lending-ended");
  if (descriptor.owner == nobody) count = give_away(first, pages, evicted);
  unlock();
  for (int i = 0; i < count; ++i) decommit(evicted[i]);
}

bool Pool::begin_lending(std::uint32_t first) {
  if (!lock()) return false;
  segment_.descriptor(first).second_holder = self();
  unlock();
  return true;
}

bool Pool::borrow(const RunReference& run, OwnerId owner) {
  if (segment_.reach(run.first, run.pages) != Reach::ok || !lock()) return false;
  Descriptor& descriptor = segment_.descriptor(run.first);
  const Descriptor seen = snapshot(descriptor);
  const bool there = (seen.use == PageUse::lent || seen.use == PageUse::run) && seen.next == run.pages &&
                     seen.owner == owner && owner != nobody;
  const bool may =
      there && (seen.second_holder == nobody || (seen.second_holder != self() && !is_alive(seen.second_holder)));
  if (may) descriptor.second_holder = self();
  CONVEYOR_KILL_POINT("pool.borrowed");
  unlock();
  return may;
}

void Pool::cancel_lending(std::uint32_t first) {
  const bool locked = lock();  // it was not put: nobody else writes there, lock or no lock
  segment_.descriptor(first).ticket = no_ticket;
  segment_.descriptor(first).second_holder = nobody;
  if (locked) unlock();
}

bool Pool::lend(const RunReference* runs, std::uint32_t count, std::uint64_t limit) {
  std::uint64_t pages = 0;
  for (std::uint32_t i = 0; i < count; ++i) pages += runs[i].pages;
  if (!lock()) return false;
  const std::uint32_t before = state_.lent_pages.load(relaxed);  // relaxed: ours, under the lock
  const bool may = before == 0 || before + pages <= limit;
  for (std::uint32_t i = 0; may && i < count; ++i) {
    segment_.descriptor(runs[i].first).use = PageUse::lent;
    CONVEYOR_KILL_POINT("pool.lent");
  }
  if (may) state_.lent_pages.store(before + static_cast<std::uint32_t>(pages), relaxed);
  unlock();
  return may;
}

void Pool::no_longer_lent(Descriptor& descriptor, std::uint32_t pages) {
  if (descriptor.use != PageUse::lent) return;
  descriptor.use = PageUse::run;
  CONVEYOR_KILL_POINT("pool.loan-ended");
  const std::uint32_t lent = state_.lent_pages.load(relaxed);
  state_.lent_pages.store(lent - std::min(pages, lent), relaxed);
}

// Makes a run free, under the lock; returns how many others are to be decommitted after it.
int Pool::give_away(std::uint32_t first, std::uint32_t pages, WarmRun (&evicted)[8]) {
  int count = 0;
  segment_.descriptor(first).use = PageUse::none;
  state_.recent_run -= std::min(state_.recent_run, state_.recent_run / fading + 1);
  state_.recent_run = std::max(state_.recent_run, pages);
  if (warm_count() == warm_capacity && evict_oldest(evicted[count])) ++count;
  CONVEYOR_KILL_POINT("pool.before-free");
  const std::uint32_t last = std::min(warm_count(), warm_capacity - 1);
  state_.warm[last] = {first, pages};
  state_.warm_count = last + 1;
  state_.warm_pages += pages;
  const std::uint64_t limit = warm_limit();
  while (count < 8 && warm_count() > 1 && state_.warm_pages > limit && evict_oldest(evicted[count])) ++count;
  return count;
}

std::uint32_t Pool::take_warm(std::uint32_t pages) {
  const std::uint32_t count = warm_count(), high = high_water();
  for (std::uint32_t i = count; i-- > 0;) {
    const WarmRun run = snapshot(state_.warm[i]);
    // A little too long is fine, and the rest stays warm; cutting up a long run for a short need is not.
    if (run.pages < pages || run.pages > 2 * pages) continue;
    if (run.first >= high || run.pages > high - run.first) continue;
    if (run.pages > pages) {
      state_.warm[i] = {run.first + pages, run.pages - pages};
    } else {
      std::copy(state_.warm + i + 1, state_.warm + count, state_.warm + i);
      state_.warm_count = count - 1;
    }
    state_.warm_pages -= std::min<std::uint64_t>(pages, state_.warm_pages);
    state_.least_warm = std::min(state_.least_warm, static_cast<std::uint32_t>(state_.warm_pages));
    return run.first;
  }
  return no_page;
}

bool Pool::evict_oldest(WarmRun& evicted) {
  const std::uint32_t count = warm_count(), high = high_water();
  if (count == 0) return false;
  evicted = snapshot(state_.warm[0]);
  if (evicted.first >= high || evicted.pages == 0 || evicted.pages > high - evicted.first) {
    state_.warm_count = 0;  // damaged: forget them all
    return false;
  }
  std::copy(state_.warm + 1, state_.warm + count, state_.warm);
  state_.warm_count = count - 1;
  state_.warm_pages -= std::min<std::uint64_t>(evicted.pages, state_.warm_pages);
  claim(evicted.first, evicted.pages, PageUse::run);  // ours until it is cold
  return true;
}

bool Pool::give_back_warm() {
  WarmRun runs[warm_capacity];  // 8 KiB, and nothing to allocate: memory is short, and the caller holds locks
  std::uint32_t count = 0;
  if (!lock()) return false;
  state_.missed = 0;
  while (count < warm_capacity && evict_oldest(runs[count])) ++count;
  unlock();
  for (std::uint32_t i = 0; i < count; ++i) decommit(runs[i]);
  return count != 0;
}

// Gives the memory back before anybody can find the pages: afterwards would wipe out a new owner's data.
void Pool::decommit(const WarmRun& run) {
  segment_.give_back(run.first, run.pages);
  CONVEYOR_KILL_POINT("pool.given-back");
  if (!lock()) return abandon(run.first);
  segment_.descriptor(run.first).use = PageUse::none;
  mark_cold(run.first, run.pages);
  unlock();
}

void Pool::mark_cold(std::uint32_t first, std::uint32_t pages) {
  for (std::uint32_t page = first; page < first + pages; ++page) {
    // relaxed: the pool's lock orders it
    segment_.cold_word(page / 64).fetch_or(std::uint64_t{1} << (page % 64), relaxed);
  }
  state_.cold_hint = std::min(state_.cold_hint, first);
  state_.cold_count += pages;
}

std::uint32_t Pool::take_cold(std::uint32_t pages) {
  if (state_.cold_count < pages) return no_page;
  std::uint32_t in_a_row = 0;
  std::uint32_t first_seen = no_page;
  const std::uint32_t high = high_water();
  for (std::uint32_t page = std::min(snapshot(state_.cold_hint), high); page < high;) {
    const std::uint64_t word = segment_.cold_word(page / 64).load(relaxed) >> (page % 64);
    if (word == 0) {
      in_a_row = 0;
      page = (page / 64 + 1) * 64;
      continue;
    }
    if ((word & 1) == 0) {
      in_a_row = 0;
      page += static_cast<std::uint32_t>(std::countr_zero(word));
      continue;
    }
    if (first_seen == no_page) first_seen = page;
    ++page;
    if (++in_a_row < pages) continue;
    const std::uint32_t first = page - pages;
    for (std::uint32_t taken = first; taken < page; ++taken) {
      segment_.cold_word(taken / 64).fetch_and(~(std::uint64_t{1} << (taken % 64)), relaxed);
    }
    state_.cold_count -= pages;
    state_.least_warm = 0;
    state_.missed =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{state_.missed} + pages, warm_most));
    state_.cold_hint = first_seen == first ? page : first_seen;
    return first;
  }
  return no_page;
}

std::uint32_t Pool::take_fresh(std::uint32_t pages, int& error) {
  const std::uint32_t first = high_water();
  if (pages > segment_.page_count() - first) {
    error = ENOMEM;
    return no_page;
  }
  const std::uint32_t end = first + pages;
  // The table grows with the mark; its memory is reserved before it is touched, like the pages'.
  if (end > pages_in_front) {
    const std::uint32_t known = std::max(snapshot(state_.tabled), pages_in_front);
    const std::uint32_t wanted = end + std::min(table_at_a_time, segment_.page_count() - end);
    error = end <= known ? 0 : segment_.reserve_table(known, wanted);
    if (error == 0) error = segment_.reach_table(end);
    if (error != 0) return no_page;
    if (end > known) state_.tabled = wanted;
  }
  state_.high_water.store(end, relaxed);
  return first;
}

}  // namespace conveyor
