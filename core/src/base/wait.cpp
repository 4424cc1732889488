#include "conveyor/base/wait.hpp"

#include "conveyor/base/kill_point.hpp"

namespace conveyor {

Waited EventCount::sleep(std::uint32_t epoch, Nanoseconds deadline, Slices& slices) {
  Nanoseconds slice = slices.next();
  if (deadline != forever) {
    const Nanoseconds left = deadline - monotonic_now();
    if (left <= 0) return Waited::timed_out;
    if (left < slice) slice = left;
  }
  CONVEYOR_KILL_POINT("wait.before-sleep");
  switch (futex_wait(&epoch_, epoch, slice)) {
    case FutexWait::interrupted: return Waited::interrupted;
    case FutexWait::timed_out:
      return deadline != forever && monotonic_now() >= deadline ? Waited::timed_out : Waited::interrupted;
    default: return Waited::again;
  }
}

bool EventCount::begin_spin(Nanoseconds end) {
  Nanoseconds seen = spinner_.load(relaxed);  // relaxed: a mark; end_spin has the fence that matters
  if (is_spun()) return false;
  return spinner_.compare_exchange_strong(seen, end, relaxed);
}

void EventCount::end_spin() {
  CONVEYOR_KILL_POINT("wait.spinning");
  spinner_.store(0, relaxed);
  full_fence();  // before the spinner's last look at the state
}

void EventCount::wake(std::uint32_t seen, int count) {
  CONVEYOR_KILL_POINT("wait.before-wake");
  epoch_.fetch_add(1, release);
  const int woken = futex_wake(&epoch_, count);
  if (woken >= count) return;  // there may be more
  std::uint32_t served = served_.load(relaxed);
  while (static_cast<std::int32_t>(seen - served) > 0 && !served_.compare_exchange_weak(served, seen, relaxed)) {
  }
}

}  // namespace conveyor
