#include "conveyor/process/normal_end.hpp"

#include "../memory/mappings.hpp"
#include "conveyor/queue/segment.hpp"
#include "conveyor/sync/cells_layout.hpp"
#include "conveyor/sync/semaphore.hpp"

namespace conveyor {
namespace {

void leave_cell(Region& region, std::uint64_t offset, OwnerId me) {
  const std::uint64_t size = region.size();
  const auto fits = [&](std::size_t bytes) { return offset <= size && bytes <= size - offset; };
  if (!fits(sizeof(CellHead))) return;
  std::byte* const at = region.data() + offset;
  const auto leave_lock = [&](LockCell& cell) { cell.lock.leave(me); };
  switch (snapshot(*reinterpret_cast<const CellHead*>(at)).type) {
    case CellType::lock:
    case CellType::rlock:
      if (fits(sizeof(LockCell))) leave_lock(*reinterpret_cast<LockCell*>(at));
      break;
    case CellType::semaphore:
      if (fits(sizeof(SemaphoreCell))) Semaphore(*reinterpret_cast<SemaphoreCell*>(at)).leave(me);
      break;
    case CellType::number:
      if (fits(sizeof(NumberCell))) leave_lock(reinterpret_cast<NumberCell*>(at)->lock);
      break;
    case CellType::record:
      if (fits(sizeof(RecordCell))) leave_lock(reinterpret_cast<RecordCell*>(at)->lock);
      break;
    default: break;
  }
}

}  // namespace

void leave_cells(Region& region) {
  const OwnerId me = known_self();
  if (me == nobody) return;
  region.noted_cells().each([&](std::uint64_t offset) { leave_cell(region, offset, me); });
}

void end_normally() {
  if (known_self() == nobody) return;
  Mappings<Segment>::each([](Segment& segment) { segment.leave_tasks(); });
  Mappings<Region>::each(leave_cells);
}

}  // namespace conveyor
