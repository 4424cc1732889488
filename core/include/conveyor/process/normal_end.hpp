// The normal end of a process: by an exit, of whatever status, and not by a signal or by `exec`.
//
// Who ends normally keeps what it took and others may give back: locks, units of semaphores, tasks of a JoinableQueue,
// as with the standard library (docs/reliability.md). Nobody can see afterwards how a process ended, once its parent
// has waited for it. So it says so itself, at its very last: in the place of its own name it leaves `left_by` it.
// One that is killed says nothing. What a process holds and nobody else can give back, as a lease, goes back at any end.
#pragma once

#include "conveyor/memory/region.hpp"

namespace conveyor {

// Leaves behind what this process holds anywhere. What it takes afterwards is as if it were killed.
void end_normally();

// The same with the cells of one region, which this process is about to unmap.
void leave_cells(Region& region);

}  // namespace conveyor
