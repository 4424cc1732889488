// Mutex and RecursiveMutex: locks for user code, which may hold them for long. They stand on `Lock`, whose word names
// the holder: when that one is killed, the next in line takes over and is told. From one that ended normally they are
// not taken (docs/reliability.md).
#pragma once

#include "conveyor/sync/cells_layout.hpp"

namespace conveyor {

// A waiter for what is held for long looks this often, in the end, whether the holder still lives.
inline constexpr Nanoseconds longest_look = 250'000'000;

// A process that asks without waiting looks so often whether the holder is dead: that costs a system call.
class DeathWatch {
 public:
  bool is_due() {
    const Nanoseconds now = monotonic_coarse();
    if (now < next_.load(relaxed)) return false;  // relaxed: a guess, shared by threads
    next_.store(now + interval, relaxed);
    return true;
  }

 private:
  static constexpr Nanoseconds interval = 50'000'000;
  Atomic<Nanoseconds> next_{0};
};

class Mutex {
 public:
  explicit Mutex(LockCell& cell) : cell_(&cell) {}
  // Without waiting, and at the cost of one exchange.
  Locked take() { return cell_->lock.take(self()); }
  // When `take` did not get it: without waiting; also from a dead holder.
  Locked try_harder() { return watch_.is_due() ? cell_->lock.take_from_dead(self(), AfterExit::stays) : Locked::busy; }
  // For one slice at most; see Locked::interrupted.
  Locked acquire(Nanoseconds deadline, Slices& slices) { return cell_->lock.acquire(deadline, slices); }
  // Also when another than the caller holds it. False: nobody does.
  bool release() { return cell_->lock.unlock(); }
  OwnerId holder() const { return cell_->lock.holder(); }

 private:
  LockCell* cell_;
  DeathWatch watch_;
};

class RecursiveMutex {
 public:
  explicit RecursiveMutex(LockCell& cell) : cell_(&cell) {}
  // `thread`: the caller's, never 0.
  Locked take(std::uint64_t thread) {
    if (is_mine(thread)) {
      ++cell_->depth;
      return Locked::clean;
    }
    return entered(cell_->lock.take(self()), thread);
  }
  Locked try_harder(std::uint64_t thread) {
    return watch_.is_due() ? entered(cell_->lock.take_from_dead(self(), AfterExit::stays), thread) : Locked::busy;
  }
  Locked acquire(std::uint64_t thread, Nanoseconds deadline, Slices& slices) {
    return entered(cell_->lock.acquire(deadline, slices), thread);
  }
  // False: the caller does not hold it.
  bool release(std::uint64_t thread);
  bool is_mine(std::uint64_t thread) const {
    // relaxed: only we ourselves can have written our own names there
    return cell_->thread.load(relaxed) == thread && cell_->lock.holder() == self();
  }
  std::uint64_t depth() const { return cell_->depth; }
  // Gives up all of it at once, for a condition's wait, and takes it back with that depth. By the holder only.
  std::uint64_t leave();
  void reenter(std::uint64_t depth) { cell_->depth = depth; }
  OwnerId holder() const { return cell_->lock.holder(); }

 private:
  Locked entered(Locked how, std::uint64_t thread);

  LockCell* cell_;
  DeathWatch watch_;
};

}  // namespace conveyor
