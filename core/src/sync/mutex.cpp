#include "conveyor/sync/mutex.hpp"

#include "conveyor/base/kill_point.hpp"

namespace conveyor {

Locked RecursiveMutex::entered(Locked how, std::uint64_t thread) {
  if (how != Locked::clean && how != Locked::recovered) return how;
  CONVEYOR_KILL_POINT("state.rlock-taken");
  cell_->thread.store(thread, relaxed);  // relaxed: meant for ourselves, guarded by the lock
  cell_->depth = 1;
  return how;
}

bool RecursiveMutex::release(std::uint64_t thread) {
  if (!is_mine(thread)) return false;
  if (--cell_->depth == 0) leave();
  return true;
}

std::uint64_t RecursiveMutex::leave() {
  const std::uint64_t depth = cell_->depth;
  cell_->thread.store(0, relaxed);  // first, or another thread of ours that gets the lock would be undone
  CONVEYOR_KILL_POINT("state.rlock-leaving");
  cell_->lock.unlock();
  return depth;
}

}  // namespace conveyor
