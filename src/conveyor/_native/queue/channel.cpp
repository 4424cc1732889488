// What putting and getting have in common: deadlines, waiting, and the peer of a pipe.
#include "channel.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <poll.h>

namespace conveyor::python {

bool Channel::pack(nb::handle item, Packed& into) {
  into.target = &stream_->segment();
  return choice_.pack(item, into);
}

bool Channel::peer_gone() const {
  if (pipe_ == nullptr) return false;
  pollfd look{pipe_->fd(), 0, 0};
  return poll(&look, 1, 0) > 0 && (look.revents & (POLLERR | POLLHUP)) != 0;
}

bool Channel::check_peer() {
  if (!readers_gone()) return true;
  errno = EPIPE;
  PyErr_SetFromErrno(PyExc_OSError);
  return false;
}

// Another thread has closed the pipe's end: OSError is set, and the descriptor must not be used any more.
bool Channel::closed_meanwhile() const {
  if (pipe_ == nullptr || !pipe_->closed()) return false;
  raise_closed_handle();
  return true;
}

void Channel::wake_all() {
  if (!stream_) return;
  stream_->segment().header().not_full.notify(INT_MAX);
  stream_->segment().header().not_empty.notify(INT_MAX);
}

// Sleeps until there may be an item; a pipe sleeps in poll, which also tells when its peer goes or it is closed here.
Waited Channel::wait_for_item(Nanoseconds deadline, Slices& slices, const WakeUp* wake_up) {
  // Without a descriptor to be woken by it looks for itself.
  constexpr Nanoseconds look_every = 50'000'000;
  if (pipe_ == nullptr && !stream_->segment().has_closed(Segment::PipeSide::writing))
    return stream_->wait_not_empty(deadline, slices);
  if (pipe_ == nullptr) return stream_->wait_not_empty(std::min(deadline, monotonic_now() + 4 * look_every), slices);
  if (slices.first()) {
    stream_->spin_for_item();
    return Waited::again;
  }
  Nanoseconds slice = slices.next();
  if (deadline != forever) slice = std::min(slice, deadline - monotonic_now());
  if (slice <= 0) return Waited::timed_out;
  if (wake_up->fd() < 0) slice = std::min(slice, look_every);
  pollfd looks[] = {{pipe_->fd(), POLLIN, 0}, {wake_up->fd(), POLLIN, 0}};
  if (poll(looks, 2, static_cast<int>(slice / 1'000'000 + 1)) < 0 && errno == EINTR) return Waited::interrupted;
  return Waited::again;
}

nb::object Channel::wait_item(const Deadline& deadline) {
  if (!is_here()) return {};
  const PipeUse use(pipe_);
  if (!use) return {};
  Slices slices;
  for (;;) {
    if (closed_meanwhile()) return {};
    if (unheard_.any()) return nb::bool_(true);
    const bool ended = stream_->ended();
    if (!stream_->settled_empty() || (ended && stream_->over()))
      return nb::bool_(true);  // the end is something to be told
    if (writers_gone()) return nb::bool_(true);  // EOF is something to receive
    if (looked_for_lost()) continue;
    if (deadline.passed()) return nb::bool_(false);
    const auto woken_by = wake_up();
    {
      const WithoutGil released;
      wait_for_item(deadline.at, slices, woken_by.get());
    }
    if (!look_for_signals(slices)) return {};
  }
}

nb::object Channel::wait_room(std::uint64_t needed, const Deadline& deadline) {
  if (!stream_) return nb::bool_(true);  // whoever waits shall try, and be told
  Slices slices;
  for (;;) {
    if (stream_->has_room(needed) || stream_->ended() || closed()) return nb::bool_(true);
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      stream_->wait_not_full(needed, deadline.at, slices);
    }
    if (!look_for_signals(slices)) return {};
  }
}

nb::object Channel::wait_tasks(const Deadline& deadline) {
  if (!is_here()) return {};
  Slices slices;
  for (;;) {
    settle_drop();
    bool done = false;
    {
      const WithoutGil released;
      stream_->look_after_leases();
      done = stream_->all_tasks_done(longest_portion);
    }
    if (done) return nb::bool_(true);
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      stream_->wait_all_tasks_done(deadline.at, slices);
    }
    if (!look_for_signals(slices)) return {};
  }
}

}  // namespace conveyor::python
