// The arena: where this process gets the cells for its locks, values and small records.
//
// A lock is 64 bytes. In a region of its own it would cost a descriptor, a mapping and 8 KiB; so a process carves
// them out of one region, and goes on to the next when that is full. A cell travels as region and offset. A region
// lives as long as any process has anything in it. Where a cell begins is fixed by one fetch-add in shared memory: a
// forked child goes on in its parent's region, and neither needs a lock.
//
// A cell is used again only if nobody but this process can know it: it was never pickled, and no fork has copied the
// handle. That takes care of the program that makes a million locks, each for a moment.
#pragma once

#include <memory>

#include "conveyor/memory/region.hpp"
#include "conveyor/sync/cells_layout.hpp"

namespace conveyor {

struct Place {
  std::shared_ptr<Region> region;
  std::uint64_t offset = 0;
  std::uint32_t forks = UINT32_MAX;  // how many children this process had forked when it was carved; none: it was not

  template <class Cell>
  Cell& as() const {
    return *reinterpret_cast<Cell*>(region->data() + offset);
  }
};

inline constexpr Region::Type state_type{RegionKind::state, state_layout};

// A cell of `size` bytes, all zero behind its head. Throws SegmentError: Fault::memory.
Place carve(CellType type, std::size_t size);
// Gives back what `carve` gave. Of use only where nobody else can have it; it may be called in any case.
void uncarve(const Place& place);

// The place that a pickle names; throws Fault::corrupt when no cell of that type and at least that size is there.
Place checked_place(std::shared_ptr<Region> region, std::uint64_t offset, CellType type, std::size_t least);

}  // namespace conveyor
