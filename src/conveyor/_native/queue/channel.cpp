// What putting and getting have in common: waiting, the peer of a pipe, the end of the queue, letting go of it.
#include "channel.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <poll.h>

#include "../support/errors.hpp"

namespace conveyor::python {

bool Channel::pack(nb::handle item, Payload& into) {
  into.target = &stream_->segment();
  into.may_be_unput = true;
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
  Slices slices(waiters(), WaitsFor::item);
  for (bool waited = false;; waited = true) {
    if (closed_meanwhile()) return {};
    if (unheard_.any()) return nb::bool_(true);
    const bool ended = stream_->ended();
    if (!stream_->nothing_to_take() || (ended && stream_->over())) {
      if (waited) stream_->pass_on();  // it takes nothing, and a getter may sleep
      return nb::bool_(true);          // the end is something to be told
    }
    if (writers_gone()) return nb::bool_(true);  // EOF is something to receive
    if (looked_for_lost()) continue;
    if (deadline.passed()) return nb::bool_(false);
    const auto woken_by = wake_up();
    {
      const WithoutGil released;
      wait_for_item(deadline.at, slices, woken_by.get());
    }
    if (!look_for_signals(slices)) {
      stream_->pass_on();
      return {};
    }
  }
}

nb::object Channel::wait_room(std::uint64_t needed, const Deadline& deadline) {
  if (!stream_) return nb::bool_(true);  // the waiter shall try, and get the error
  Slices slices(waiters(), WaitsFor::room);
  for (bool waited = false;; waited = true) {
    if (stream_->has_room(needed) || stream_->ended() || closed()) {
      if (waited) stream_->pass_on();  // perhaps nobody is left who would put
      return nb::bool_(true);
    }
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      stream_->wait_not_full(needed, deadline.at, slices);
    }
    if (!look_for_signals(slices)) {
      stream_->pass_on();
      return {};
    }
  }
}

nb::object Channel::wait_tasks(const Deadline& deadline) {
  if (!is_here()) return {};
  Slices slices(waiters(), WaitsFor::tasks);
  for (;;) {
    settle_drop();
    bool done = false;
    {
      const WithoutGil released;
      stream_->look_after_leases();
      done = stream_->all_tasks_done(longest_slice);
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

// -- the end of the queue: shutting it down, registering as a producer, and what the last getter is told

nb::object Channel::raise_end() {
  if (stream_->dropped()) return raise("ShutDown", shut_down_text);
  const std::vector<LostProducer> lost = stream_->lost();
  return lost.empty() ? raise("ShutDown", "the queue was shut down, and all items are taken") : raise_lost(lost);
}

bool Channel::looked_for_lost() {
  if (!stream_) return false;
  if (stream_->leases_used()) {
    const WithoutGil released;
    stream_->look_after_leases();
  }
  if (!stream_->look_is_due()) return false;
  const WithoutGil released;
  stream_->look_for_lost();
  return true;
}

nb::object Channel::pause(bool now) {
  if (!is_here()) return {};
  keep_trying_for_lock([&](Nanoseconds) {
    if (now) stream_->pause();
    return now || stream_->resume() ? Status::ok : Status::busy;
  });
  return PyErr_Occurred() != nullptr ? nb::object() : nb::none();
}

nb::object Channel::shutdown(bool immediate) {
  if (!is_here()) return {};
  const Status status =
      keep_trying_for_lock([&](Nanoseconds patience) { return stream_->shutdown(immediate, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  return status == Status::ok ? nb::none() : raise_status(status, stream_->segment(), 0);
}

nb::object Channel::enter_producing(bool counts) {
  if (!is_here()) return {};
  const Status status =
      keep_trying_for_lock([&](Nanoseconds patience) { return stream_->enter_producing(counts, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  if (status == Status::no_memory) return raise_no_producer(status);
  if (status != Status::ok) return raise_status(status, stream_->segment(), 0);
  holders_.keep();  // until it is left
  return nb::none();
}

nb::object Channel::leave_producing() {
  if (!is_here()) return {};
  holders_.let_go(fork_generation());
  return keep_trying_to_leave([&](Nanoseconds patience) { return stream_->leave_producing(patience); });
}

nb::object Channel::expect_producers(nb::handle count) {
  if (!is_here()) return {};
  std::uint32_t number = 0;
  if (!parse_producer_count(count, number)) return {};
  const Status status =
      keep_trying_for_lock([&](Nanoseconds patience) { return stream_->expect_producers(number, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  return status == Status::ok ? nb::none() : raise_status(status, stream_->segment(), 0);
}

nb::object Channel::task_done() {
  if (closed()) [[unlikely]]
    return nb::none();
  switch (const Status status = settle([&] { return stream_->task_done(); }, true)) {
    case Status::ok: return nb::bool_(true);
    case Status::empty: return nb::bool_(false);
    case Status::interrupted: return {};
    default: return raise_status(status, stream_->segment(), 0);
  }
}

nb::object Channel::unfinished() {
  if (!is_here()) return {};
  std::uint64_t count = 0;
  const Status status =
      keep_trying_for_lock([&](Nanoseconds patience) { return stream_->count_unfinished(count, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  return status == Status::ok ? nb::object(nb::int_(count)) : raise_status(status, stream_->segment(), 0);
}

void Channel::settle_drop() {
  if (!stream_ || !stream_->dropped()) return;
  const WithoutGil released;
  stream_->finish_drop();
}

// -- letting go of the queue's memory when this process has closed it

void Channel::part() noexcept {
  if (!stream_) return;
  if (!with_items_ && stream_->depth() != 0) return;  // may still be handed on
  const Header& header = stream_->segment().header();
  remembered_.max_items = header.max_items;
  remembered_.max_bytes = header.max_bytes;
  remembered_.identity = stream_->segment().identity();
  remembered_.has_put = stream_->segment().has_put();
  remembered_.depth = stream_->depth();
  remembered_.full = stream_->full();
  remembered_.ended = stream_->ended();
  try {
    remembered_.name = stream_->segment().name();
    remembered_.statistics = stream_->statistics();
  } catch (const std::bad_alloc&) {
    // Then there is nothing to tell.
  }
  remembered_.passed_on = stream_->segment().passed_on();
  stream_.reset();
}

std::shared_ptr<Segment> Channel::memory() const {
  if (stream_) return stream_->shared_segment();
  if (auto segment = Segment::find(remembered_.identity)) return segment;  // others here have it
  if (remembered_.name.empty()) return nullptr;
  try {
    auto segment = Segment::open_named(remembered_.name);
    if (segment->identity() == remembered_.identity) return segment;
  } catch (const SegmentError&) {
    // Removed.
  }
  return nullptr;
}

bool Channel::is_here() const {
  if (!stream_) [[unlikely]]
    PyErr_SetString(PyExc_ValueError, "the queue is closed in this process");
  return stream_.has_value();
}

Stream& Channel::stream() {
  if (!is_here()) throw nb::python_error();
  return *stream_;
}

}  // namespace conveyor::python
