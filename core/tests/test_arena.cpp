#include <fcntl.h>

#include <set>
#include <vector>

#include "state_lab.hpp"

using namespace conveyor;

namespace {

int open_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

Fault fault_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const SegmentError& error) {
    return error.fault;
  }
  FAIL("no error");
  return Fault::system;
}

}  // namespace

TEST_CASE("a thousand cells share one region, which goes with the last of them") {
  const int before = open_descriptors();
  {
    std::vector<Place> places;
    std::set<std::uint64_t> offsets;
    for (int i = 0; i < 1000; ++i) {
      places.push_back(carve(CellType::lock, sizeof(LockCell)));
      offsets.insert(places.back().offset);
      CHECK(places.back().region == places.front().region);
    }
    CHECK(offsets.size() == 1000);
    CHECK(open_descriptors() == before + 1);
    CHECK(places.front().region->memory_held() < 80'000);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a full arena is followed by another; a large cell has a region of its own") {
  std::vector<Place> places;
  std::set<Region*> regions;
  for (int i = 0; i < 100; ++i) {
    places.push_back(carve(CellType::record, 12 * 1024));
    regions.insert(places.back().region.get());
  }
  CHECK(regions.size() == 2);
  const Place large = carve(CellType::record, 1 << 20);
  CHECK(regions.count(large.region.get()) == 0);
  CHECK(large.as<CellHead>().size == 1 << 20);
  CHECK(fault_of([] { carve(CellType::record, 1ULL << 40); }) == Fault::memory);
}

TEST_CASE("what nobody else can have is used again, and is clean") {
  const Place kept = carve(CellType::lock, sizeof(LockCell));
  const Place first = carve(CellType::lock, sizeof(LockCell));
  first.as<LockCell>().depth = 77;
  uncarve(first);
  const Place second = carve(CellType::lock, sizeof(LockCell));
  CHECK(second.offset == first.offset);
  CHECK(second.as<LockCell>().depth == 0);
  CHECK(state::reap(state::start([] {})) == 0);
  uncarve(second);  // a child may have it
  CHECK(carve(CellType::lock, sizeof(LockCell)).offset != second.offset);
}

TEST_CASE("a child carves in its parent's region, and never the same cell") {
  const Place ours = carve(CellType::lock, sizeof(LockCell));
  const Place freed = carve(CellType::lock, sizeof(LockCell));
  uncarve(freed);
  int told[2];
  REQUIRE(pipe(told) == 0);
  const pid_t child = state::start([&] {
    std::uint64_t offsets[50];
    for (std::uint64_t& offset : offsets) {
      const Place place = carve(CellType::lock, sizeof(LockCell));
      offset = place.region == ours.region ? place.offset : 0;
    }
    if (write(told[1], offsets, sizeof offsets) != sizeof offsets) _exit(1);
  });
  std::set<std::uint64_t> seen{ours.offset, freed.offset};
  for (int i = 0; i < 50; ++i) seen.insert(carve(CellType::lock, sizeof(LockCell)).offset);
  std::uint64_t theirs[50];
  REQUIRE(read(told[0], theirs, sizeof theirs) == sizeof theirs);
  CHECK(state::reap(child) == 0);
  for (const std::uint64_t offset : theirs) {
    CHECK(offset != 0);
    seen.insert(offset);
  }
  CHECK(seen.size() == 102);
  close(told[0]);
  close(told[1]);
}

TEST_CASE("a place that names no such cell is found out") {
  const Place place = carve(CellType::lock, sizeof(LockCell));
  const auto check = [&](std::uint64_t offset, CellType type, std::size_t least) {
    return fault_of([&] { checked_place(place.region, offset, type, least); });
  };
  CHECK(checked_place(place.region, place.offset, CellType::lock, sizeof(LockCell)).offset == place.offset);
  CHECK(check(0, CellType::lock, 64) == Fault::corrupt);
  CHECK(check(place.offset + 8, CellType::lock, 64) == Fault::corrupt);
  CHECK(check(UINT64_MAX - 63, CellType::lock, 64) == Fault::corrupt);
  CHECK(check(place.region->size(), CellType::lock, 64) == Fault::corrupt);
  CHECK(check(place.offset, CellType::event, 64) == Fault::corrupt);
  CHECK(check(place.offset, CellType::lock, 128) == Fault::corrupt);
  place.as<CellHead>().size = UINT32_MAX;
  CHECK(check(place.offset, CellType::lock, 64) == Fault::corrupt);
}
