#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

#include "conveyor/queue/pool.hpp"

using namespace conveyor;

namespace {

std::uint32_t in_use(Pool& pool) {
  std::uint32_t used = 0, held = 0;
  REQUIRE(pool.count({}, used, held));
  return used;
}

// A backlog of so many single pages comes and goes.
void rise_and_fall(Pool& pool, unsigned pages) {
  std::vector<std::uint32_t> firsts;
  for (unsigned i = 0; i < pages; ++i) firsts.push_back(pool.allocate(1, PageUse::run).first);
  for (const std::uint32_t first : firsts) pool.free(first, 1);
}

}  // namespace

TEST_CASE("a freed run is the next of its size to be given out") {
  const auto segment = Segment::create({});
  Pool pool(*segment);
  const auto one = pool.allocate(3, PageUse::run);
  const auto other = pool.allocate(3, PageUse::run);
  CHECK(one.first != other.first);
  pool.free(one.first, 3);
  pool.free(other.first, 3);
  CHECK(pool.allocate(3, PageUse::run).first == other.first);
  CHECK(pool.allocate(3, PageUse::run).first == one.first);
}

TEST_CASE("runs never overlap, whatever comes and goes") {
  const auto segment = Segment::create({});
  Pool pool(*segment);
  std::mt19937 random(7);
  struct Run {
    std::uint32_t first, pages;
  };
  std::vector<Run> mine;
  std::vector<bool> taken(100'000, false);
  for (int step = 0; step < 20'000; ++step) {
    if (mine.empty() || random() % 2 == 0) {
      const std::uint32_t pages = random() % 10 == 0 ? 1 + random() % 40 : 1;
      const auto got = pool.allocate(pages, PageUse::run);
      REQUIRE(got.first != no_page);
      for (std::uint32_t page = got.first; page < got.first + pages; ++page) {
        REQUIRE_FALSE(taken[page]);
        taken[page] = true;
      }
      mine.push_back({got.first, pages});
    } else {
      std::swap(mine[random() % mine.size()], mine.back());
      for (std::uint32_t page = mine.back().first; page < mine.back().first + mine.back().pages; ++page)
        taken[page] = false;
      pool.free(mine.back().first, mine.back().pages);
      mine.pop_back();
    }
  }
  std::uint32_t pages = 1;  // the stream's first
  for (const Run& run : mine) pages += run.pages;
  CHECK(in_use(pool) == pages);
}

TEST_CASE("what was given back and then needed again stays the next time, until nobody needs it") {
  constexpr unsigned count = 200;
  const auto segment = Segment::create({});
  Pool pool(*segment);
  rise_and_fall(pool, count);
  const std::uint64_t first_time = segment->memory_held();
  CHECK(first_time < count / 4 * page_size);
  rise_and_fall(pool, count);
  CHECK(segment->memory_held() > count * 3 / 4 * page_size);
  rise_and_fall(pool, count);
  const std::uint64_t kept = segment->memory_held();
  // Nothing is taken from the system any more, so nothing is given back either.
  for (int i = 0; i < 20; ++i) rise_and_fall(pool, count);
  CHECK(segment->memory_held() == kept);
  // A small backlog needs few of them.
  for (int i = 0; i < 100'000; ++i) rise_and_fall(pool, 8);
  CHECK(segment->memory_held() < kept / 4);
}

TEST_CASE("what was missed is given back in time where little is freed") {
  const auto segment = Segment::create({});
  Pool pool(*segment);
  for (int i = 0; i < 3; ++i) rise_and_fall(pool, 200);
  const std::uint64_t kept = segment->memory_held();
  CHECK(kept > 150 * page_size);
  for (int i = 0; i < 40; ++i) {
    segment->header().pool.since -= 10;  // as if ten seconds had passed
    rise_and_fall(pool, 1);
  }
  CHECK(segment->memory_held() < kept / 4);
}

TEST_CASE("what stays for having been missed has a bound") {
  constexpr unsigned count = 3'000;
  const auto segment = Segment::create({});
  Pool pool(*segment);
  for (int i = 0; i < 4; ++i) rise_and_fall(pool, count);
  CHECK(segment->memory_held() < 1'100 * page_size);
}

TEST_CASE("memory is given back when much is freed") {
  const auto segment = Segment::create({});
  Pool pool(*segment);
  std::vector<std::uint32_t> firsts;
  for (int i = 0; i < 2'000; ++i) {
    firsts.push_back(pool.allocate(1, PageUse::run).first);
    std::memset(segment->page(firsts.back()), 1, page_size);
  }
  const std::uint64_t full = segment->memory_held();
  CHECK(full >= 2'000 * page_size);
  for (const std::uint32_t first : firsts) pool.free(first, 1);
  CHECK(segment->memory_held() < full / 10);
}

TEST_CASE("the sweep finds what nobody has, and leaves what somebody has") {
  const auto segment = Segment::create({});
  Pool pool(*segment);
  const auto mine = pool.allocate(4, PageUse::run);
  const auto of_the_dead = pool.allocate(5, PageUse::run);
  segment->descriptor(of_the_dead.first).owner = make_owner(0x3ffffe, 12345);
  const auto queued = pool.allocate(6, PageUse::run);
  segment->descriptor(queued.first).owner = make_owner(0x3ffffe, 12345);
  segment->descriptor(queued.first).ticket = 10;
  CHECK(in_use(pool) == 16);
  CHECK(pool.sweep({10, 11, 0, 0}));
  CHECK(in_use(pool) == 1 + 4 + 6);
  CHECK(segment->descriptor(mine.first).use == PageUse::run);
  CHECK(pool.sweep({11, 11, 0, 0}));  // now taken, by the dead
  CHECK(in_use(pool) == 1 + 4);
  CHECK_FALSE(pool.sweep({11, 11, 0, 3}));  // the chain of pages does not lead there
}

TEST_CASE("more pages than there are is an error, not a crash") {
  const auto segment = Segment::create({});
  Pool pool(*segment);
  CHECK(pool.allocate(segment->page_count() + 1, PageUse::run).error == ENOMEM);
  CHECK(pool.allocate(0, PageUse::run).first == no_page);
  CHECK(pool.allocate(1, PageUse::run).first != no_page);
}
