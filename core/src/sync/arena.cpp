#include "conveyor/sync/arena.hpp"

#include <cstring>
#include <map>
#include <mutex>
#include <pthread.h>
#include <vector>

#include "../memory/shared_file.hpp"
#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

// Address space of an arena; memory it takes as it is filled.
constexpr std::uint64_t arena_size = 1 << 20;
// What is larger has a region of its own.
constexpr std::size_t largest_cell = 16 * 1024;
// A process that frees many keeps so many for its next.
constexpr std::size_t most_free = 256;

struct Arenas {
  std::mutex mutex;
  // Weak: with the last of its cells an arena goes, and leaves no descriptor behind.
  std::weak_ptr<Region> current;
  // Cells of `current` that nobody else can have, by size.
  std::map<std::size_t, std::vector<std::uint64_t>> free;
  std::size_t free_count = 0;
  std::uint32_t forks = 0;
};

Arenas& arenas() {
  static Arenas* const all = [] {
    // A fork takes the mutexes of those that registered last first; `carve` holds ours when it takes the regions'.
    Region::find({}, state_type);
    auto* made = new Arenas;  // never destroyed: cells may outlive static destructors
    pthread_atfork([] { arenas().mutex.lock(); },
                   [] {
                     ++arenas().forks;
                     arenas().free.clear();  // the child has them too
                     arenas().free_count = 0;
                     arenas().mutex.unlock();
                   },
                   [] {
                     ++arenas().forks;
                     arenas().free.clear();
                     arenas().free_count = 0;
                     arenas().mutex.unlock();
                   });
    return made;
  }();
  return *all;
}

void begin_cell(const Place& place, CellType type, std::size_t size) {
  auto& head = place.as<CellHead>();
  head.type = type;
  head.size = static_cast<std::uint32_t>(size);
}

void reserve_cell(Region& region, std::uint64_t offset, std::size_t size) {
  if (const int error = region.reserve(offset, size); error != 0)
    fail("no memory for shared state of " + std::to_string(size) + " bytes", error);
}

// sync point "arena": an offset is given to one; what is written there others see by way of the pickle that
// brings it, or of the fork. In `checked_place` is the other side.
bool carve_from(const std::shared_ptr<Region>& region, std::size_t size, std::uint64_t& offset) {
  auto& next = reinterpret_cast<ArenaHeader*>(region->data())->next;
  std::uint64_t seen = next.load(relaxed);
  do {
    // Damage, or full: then there will be another arena.
    if (seen < sizeof(ArenaHeader) || seen % cell_unit != 0 || seen > region->size() || size > region->size() - seen)
      return false;
  } while (!next.compare_exchange_weak(seen, seen + size, relaxed));
  CONVEYOR_KILL_POINT("state.carved");
  offset = seen;
  return true;
}

std::shared_ptr<Region> new_arena(std::uint64_t size) {
  auto region = Region::create(state_type, size);
  reserve_cell(*region, 0, sizeof(ArenaHeader));
  reinterpret_cast<ArenaHeader*>(region->data())->next.store(sizeof(ArenaHeader), relaxed);  // nobody else has it yet
  return region;
}

}  // namespace

Place carve(CellType type, std::size_t wanted) {
  const std::size_t size = (wanted + cell_unit - 1) / cell_unit * cell_unit;
  if (size > largest_cell) {
    if (size > UINT32_MAX) fail("no shared state can have " + std::to_string(wanted) + " bytes", EFBIG);
    const Place own{new_arena(sizeof(ArenaHeader) + size), sizeof(ArenaHeader), UINT32_MAX};
    reserve_cell(*own.region, own.offset, size);
    begin_cell(own, type, size);
    return own;
  }
  Arenas& all = arenas();
  const std::lock_guard guard(all.mutex);
  Place place{all.current.lock(), 0, all.forks};
  if (place.region == nullptr) {
    all.free.clear();
    all.free_count = 0;
  } else if (auto& same = all.free[size]; !same.empty()) {
    place.offset = same.back();
    same.pop_back();
    --all.free_count;
    std::memset(place.region->data() + place.offset, 0, size);
    begin_cell(place, type, size);
    return place;
  }
  if (place.region == nullptr || !carve_from(place.region, size, place.offset)) {
    place.region = new_arena(arena_size);
    all.current = place.region;
    all.free.clear();
    all.free_count = 0;
    carve_from(place.region, size, place.offset);
  }
  reserve_cell(*place.region, place.offset, size);
  begin_cell(place, type, size);
  return place;
}

void uncarve(const Place& place) {
  Arenas& all = arenas();
  const std::lock_guard guard(all.mutex);
  if (all.forks != place.forks || all.free_count >= most_free || all.current.lock() != place.region) return;
  const std::size_t size = place.as<CellHead>().size;
  if (size == 0 || size % cell_unit != 0 || size > largest_cell) return;
  all.free[size].push_back(place.offset);
  ++all.free_count;
}

Place checked_place(std::shared_ptr<Region> region, std::uint64_t offset, CellType type, std::size_t least) {
  const std::uint64_t size = region->size();
  const auto sound = [&](std::uint64_t bytes) { return offset <= size && bytes <= size - offset; };
  if (offset < sizeof(ArenaHeader) || offset % cell_unit != 0 || !sound(least)) fail_corrupt("no cell lies there");
  // sync point "arena": the bytes were written before the pickle that names them.
  const auto head = snapshot(*reinterpret_cast<const CellHead*>(region->data() + offset));
  if (head.type != type || head.size < least || !sound(head.size)) fail_corrupt("another thing lies there");
  return {std::move(region), offset, UINT32_MAX};
}

}  // namespace conveyor
