// The pages of a segment: who has which, and which are free.
//
// Free pages are either warm (their memory still there, reused youngest first, so that a shallow
// queue stays in cache) or cold (given back to the system, found by a bitmap). What lies above the
// high-water mark was never touched.
//
// Death. A process that dies inside leaves at worst a page that nobody has: never one that two have. For
// that, each step first takes a page from the free ones and only then hands it out, and a pool
// lock found with a dead holder forgets the warm list, the one structure that could be half
// changed. `sweep` finds the lost pages again from what the queue and the living really use.
#pragma once

#include <cerrno>
#include <cstdint>
#include <vector>

#include "conveyor/queue/segment.hpp"

namespace conveyor {

class Pool {
 public:
  explicit Pool(Segment& segment) : segment_(segment), state_(segment.header().pool) {}

  struct Allocation {
    std::uint32_t first = no_page;
    int error = 0;  // errno when first == no_page; EBUSY: the pool's lock was not to be had in time. See `lock`
  };
  // `pages` pages in a row, with memory behind them, owned by this process. Not zeroed.
  Allocation allocate(std::uint32_t pages, PageUse use);
  // Frees what `allocate` gave: `pages` must be the same number.
  // Kept, and nobody's, while a second holder still looks at it.
  void free(std::uint32_t first, std::uint32_t pages);

  // The owner goes on reading these runs where they lie, for as long as it likes, and then frees them.
  // False, and nothing done: that would make more than `limit` lent pages, and some are lent already; or
  // the pool's lock was not to be had in time.
  bool lend(const RunReference* runs, std::uint32_t count, std::uint64_t limit);
  std::uint64_t lent_bytes() const {
    return std::uint64_t{state_.lent_pages.load(relaxed)} * page_size;  // relaxed: a hint
  }
  // This process is about to put a run that it goes on looking at, until `end_lending`. False, and nothing
  // done: the pool's lock was not to be had in time.
  bool begin_lending(std::uint32_t first);
  void end_lending(std::uint32_t first, std::uint32_t pages);
  // It was not put after all.
  void cancel_lending(std::uint32_t first);

  // Another process, `owner`, has this run, and goes on having it during this call; from now on this one looks
  // at it, too, until `end_lending`. False, and nothing done: the run is not that owner's, or somebody alive
  // looks at it already, or the pool's lock was not to be had in time.
  bool borrow(const RunReference& run, OwnerId owner);

  // Where leased items lie: the page of each one's message, and the first page of each of their runs.
  struct Leased {
    std::vector<std::uint32_t> pages, runs;
  };
  // The range of items that are in the queue, and the first and last page of its stream.
  struct Live {
    std::uint64_t head_count, tail_count;
    std::uint32_t head_page, tail_page;
    Leased leased;
  };
  // Memory of the segment, got by `reserve`, which returns 0 or an errno; where that is refused, once more without what
  // is kept warm: where memory is short, none is kept for later. Not under the pool's lock.
  template <class Reserve>
  int with_memory(Reserve reserve) {
    const int refused = reserve();
    const bool is_short = refused == ENOMEM || refused == ENOSPC || refused == EDQUOT;
    return is_short && give_back_warm() ? reserve() : refused;
  }

  // Finds lost pages. The caller holds both locks of the stream, so that nothing moves.
  // False when the stream's pages do not hang together (the segment is damaged), or without the pool's lock.
  bool sweep(const Live& live);

  // Pages in use, and those of runs that are not in the queue and that somebody alive has, or that are leased,
  // and the parked ones. The caller holds both locks. False: without the pool's lock nobody knows.
  bool count(const Live& live, std::uint32_t& used, std::uint32_t& held);

 private:
  // 0, and the table of all pages that were ever used is mapped; or an errno, and it is not locked: EBUSY: not in
  // time, see LockPatience; ENOMEM: no address space for the table. Then what is given up is left to the sweep:
  // `abandon`.
  int try_lock();
  bool lock() { return try_lock() == 0; }
  void abandon(std::uint32_t first);
  // Never beyond the segment, and what is mapped of its table: they may be damaged. Under the lock.
  std::uint32_t high_water() const;
  std::uint32_t warm_count() const;
  void unlock() { state_.lock.unlock(); }
  std::uint32_t take_warm(std::uint32_t pages);
  std::uint32_t take_cold(std::uint32_t pages);
  std::uint32_t take_fresh(std::uint32_t pages, int& error);
  void claim(std::uint32_t first, std::uint32_t pages, PageUse use);
  int give_away(std::uint32_t first, std::uint32_t pages, WarmRun (&evicted)[8]);
  std::vector<bool> count_leased(const Leased& leased, std::vector<bool>& used);
  std::uint32_t length_of(std::uint32_t first, std::uint32_t high) const;
  void no_longer_lent(Descriptor& descriptor, std::uint32_t pages);
  void mark_cold(std::uint32_t first, std::uint32_t pages);
  bool evict_oldest(WarmRun& evicted);
  bool give_back_warm();  // all of it; false: there was none
  void decommit(const WarmRun& run);
  std::uint64_t warm_limit();
  std::uint32_t in_use() const;

  Segment& segment_;
  PoolState& state_;
};

}  // namespace conveyor
