// What putting and getting have in common: deadlines, waiting, and the peer of a pipe.
#include "channel.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <poll.h>

namespace conveyor::python {

bool Channel::pack(nb::handle item, Packed& into) {
  into.target = &stream_.segment();
  return choice_.pack(item, into);
}

Nanoseconds Patience::portion() {
  const Nanoseconds now = monotonic_now();
  if (ends_ == 0) ends_ = deadline_.immediate ? now + grace : deadline_.at;
  return ends_ == forever ? longest_portion : std::clamp<Nanoseconds>(ends_ - now, 0, longest_portion);
}

bool parse_deadline(nb::handle block, nb::handle timeout, Deadline& deadline) {
  const int blocking = block.ptr() == Py_True ? 1 : PyObject_IsTrue(block.ptr());
  if (blocking < 0) return false;
  if (blocking == 0) {
    deadline.immediate = true;
    return true;
  }
  if (timeout.is_none()) return true;
  const double seconds = PyFloat_AsDouble(timeout.ptr());
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) return false;
  if (std::isnan(seconds)) {
    PyErr_SetString(PyExc_ValueError, "timeout is nan; it must be a number of seconds, or None to wait for ever");
    return false;
  }
  if (seconds <= 0) {
    deadline.immediate = true;
  } else if (seconds < 9e9) {
    deadline.at = monotonic_now() + static_cast<Nanoseconds>(seconds * 1e9);
  }
  return true;
}

bool Channel::peer_gone() const {
  if (pipe_fd_ < 0) return false;
  pollfd look{pipe_fd_, 0, 0};
  return poll(&look, 1, 0) > 0 && (look.revents & (POLLERR | POLLHUP)) != 0;
}

bool Channel::check_peer() {
  if (!peer_gone()) return true;
  errno = EPIPE;
  PyErr_SetFromErrno(PyExc_OSError);
  return false;
}

// Sleeps until there may be an item; a pipe sleeps in poll, which also tells when its peer goes.
Waited Channel::wait_for_item(Nanoseconds deadline, Slices& slices) {
  if (pipe_fd_ < 0) return stream_.wait_not_empty(deadline, slices);
  if (slices.first()) {
    stream_.spin_for_item();
    return Waited::again;
  }
  Nanoseconds slice = slices.next();
  if (deadline != forever) slice = std::min(slice, deadline - monotonic_now());
  if (slice <= 0) return Waited::timed_out;
  pollfd look{pipe_fd_, POLLIN, 0};
  if (poll(&look, 1, static_cast<int>(slice / 1'000'000 + 1)) < 0 && errno == EINTR) return Waited::interrupted;
  return Waited::again;
}

nb::object Channel::wait_item(const Deadline& deadline) {
  Slices slices;
  for (;;) {
    const bool ended = stream_.ended();
    if (!stream_.settled_empty() || (ended && stream_.over()))
      return nb::bool_(true);  // the end is something to be told
    if (pipe_fd_ >= 0 && peer_gone()) return nb::bool_(true);  // EOF is something to receive
    if (looked_for_lost()) continue;
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      wait_for_item(deadline.at, slices);
    }
    if (PyErr_CheckSignals() != 0) return {};
  }
}

nb::object Channel::wait_room(std::uint64_t needed, const Deadline& deadline) {
  Slices slices;
  for (;;) {
    if (stream_.has_room(needed) || stream_.ended()) return nb::bool_(true);
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      stream_.wait_not_full(needed, deadline.at, slices);
    }
    if (PyErr_CheckSignals() != 0) return {};
  }
}

nb::object Channel::wait_tasks(const Deadline& deadline) {
  Slices slices;
  for (;;) {
    settle_drop();
    bool done = false;
    {
      const WithoutGil released;
      stream_.look_after_leases();
      done = stream_.all_tasks_done(longest_portion);
    }
    if (done) return nb::bool_(true);
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      stream_.wait_all_tasks_done(deadline.at, slices);
    }
    if (PyErr_CheckSignals() != 0) return {};
  }
}

}  // namespace conveyor::python
