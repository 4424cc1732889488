// Getting and leasing: copy out under the lock, decode after it; and what becomes of items that failed for good.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "../support/errors.hpp"
#include "channel.hpp"
#include "lease_object.hpp"
#include "sinks.hpp"

namespace conveyor::python {
namespace {

nb::object raise_refusal(TakeRefusal refusal) {
  if (refusal == TakeRefusal::memory) {
    return raise(
        "OutOfMemory",
        "no memory for the next item, which stays in the queue; see free memory, ulimit -v or the cgroup's limit");
  }
  return raise("CodecMismatch",
               "the next item was put with another codec than this end of the queue has, and stays in the queue; "
               "make or connect the queue with the producers' codec=");
}

// When so much time will have passed. The queue's own lease time may be damaged: any number.
Nanoseconds after(Nanoseconds time) {
  const Nanoseconds now = monotonic_now();
  return time > forever - now ? forever : now + std::max<Nanoseconds>(time, 0);
}

bool is_known(Kind kind) { return kind <= Kind::instances; }

nb::object decode_inline(const Taken& taken) {
  if (taken.kind == Kind::native) return nb::steal(decode(taken.data, taken.size));
  if (taken.kind == Kind::instances) return nb::steal(decode_instances(taken.data, taken.size));
  nb::object bytes = nb::steal(
      PyBytes_FromStringAndSize(reinterpret_cast<const char*>(taken.data), static_cast<Py_ssize_t>(taken.size)));
  if (taken.kind == Kind::bytes || !bytes.is_valid()) return bytes;
  return nb::steal(unpickle(bytes.ptr(), nullptr, taken.reading()));
}

}  // namespace

Channel::Next Channel::after_failed_take(Status status, const Deadline& deadline, Slices& slices) {
  switch (status) {
    case Status::empty: break;
    default: raise_status(status, stream_->segment(), 0); return Next::stop;
  }
  const bool ended = stream_->ended();
  if (!stream_->nothing_to_take()) {
    if (!deadline.passed()) {
      stream_->let_items_gather();
      return Next::retry;
    }
    raise_empty();
    return Next::stop;
  }
  if (ended && stream_->over()) {
    raise_end();
    return Next::stop;
  }
  if (looked_for_lost()) return Next::retry;
  if (writers_gone() && stream_->empty()) {
    PyErr_SetNone(PyExc_EOFError);
    return Next::stop;
  }
  if (deadline.passed()) {
    raise_empty();
    return Next::stop;
  }
  const auto woken_by = wake_up();
  {
    const WithoutGil released;
    wait_for_item(deadline.at, slices, woken_by.get());
  }
  if (!look_for_signals(slices)) {
    stream_->pass_on();
    return Next::stop;
  }
  return closed_meanwhile() ? Next::stop : Next::retry;
}

// Mostly there is an item, and nothing else to be seen to.
template <class Sink>
bool Channel::take(std::size_t most, const Deadline& deadline, Sink& sink, LeaseId* leases, std::size_t* taken) {
  if (pipe_ != nullptr || unheard_.any() || stream_->failed() != 0) [[unlikely]]
    return take_with_care(Status::ok, most, deadline, sink, leases, taken);
  stream_->segment().note_getting();
  std::size_t done = 0;
  const Status status = stream_->take(most, sink, done, leases);
  if (done == 0) [[unlikely]]
    return take_with_care(status, most, deadline, sink, leases, taken);
  if (taken != nullptr) *taken = done;
  return true;  // even before a damaged one: these are the caller's, the next call tells
}

// `status`: of the first try, or `ok` when there was none.
template <class Sink>
[[gnu::noinline]] bool Channel::take_with_care(Status status, std::size_t most, const Deadline& deadline, Sink& sink,
                                               LeaseId* leases, std::size_t* taken) {
  const PipeUse use(pipe_);
  if (!use) return false;
  if (unheard_.any() && unheard_.raise()) [[unlikely]]
    return false;
  stream_->segment().note_getting();
  RetrySlices patience(deadline);
  Slices slices(waiters(), WaitsFor::item);
  for (bool tried = status != Status::ok;; tried = false) {
    if (!tried) {
      if (!move_failed()) return false;
      std::size_t done = 0;
      status = stream_->take(most, sink, done, leases);
      if (taken != nullptr) *taken = done;
      if (done > 0) return true;
    }
    if (status == Status::busy) {
      const Nanoseconds slice = patience.slice();
      if (slice == 0) {
        raise_empty();
        return false;
      }
      {
        const WithoutGil released;
        stream_->await_consumers_lock(slice);
      }
      if (!look_for_signals()) return false;
      continue;
    }
    if (status == Status::refused) return raise_refusal(sink.gate.refusal), false;
    if (after_failed_take(status, deadline, slices) == Next::stop) return false;
  }
}

nb::object Channel::decode_one(const Taken& taken, nb::object prepared) {
  if (taken.kind == Kind::buffers || taken.kind == Kind::custom) return unpack(*stream_, taken, codec());
  if (is_known(taken.kind) && taken.run_count == 0) {
    nb::object object = decode_inline(taken);
    if (!object.is_valid()) [[unlikely]]
      keep_bytes(*stream_, taken);
    return object;
  }
  nb::object object = is_known(taken.kind)
                          ? decode_run(taken, std::move(prepared))
                          : raise("CorruptSegment", "an item in the queue is damaged: it is of no known kind");
  if (!object.is_valid()) keep_bytes(*stream_, taken);
  for (std::uint32_t i = 0; !taken.leased && i < taken.run_count; ++i) stream_->release(taken.runs[i]);
  return object;
}

nb::object Channel::decode_run(const Taken& taken, nb::object prepared) {
  const std::byte* const data = taken.run_data(*stream_, 0);
  const std::uint64_t bytes = taken.runs[0].size;
  const auto size = static_cast<Py_ssize_t>(bytes);
  nb::object result;
  if (taken.kind == Kind::bytes) {
    result = prepared.is_valid() ? std::move(prepared) : nb::steal(PyBytes_FromStringAndSize(nullptr, size));
    if (!result.is_valid()) return {};
    const WithoutGil released;
    std::memcpy(PyBytes_AS_STRING(result.ptr()), data, bytes);
  } else if (taken.kind == Kind::native) {
    result = nb::steal(decode(data, bytes));
  } else if (taken.kind == Kind::instances) {
    result = nb::steal(decode_instances(data, bytes));
  } else if (const nb::object view = nb::steal(
                 PyMemoryView_FromMemory(const_cast<char*>(reinterpret_cast<const char*>(data)), size, PyBUF_READ));
             view.is_valid()) {
    result = nb::steal(unpickle(view.ptr(), nullptr, taken.reading()));
  }
  return result;
}

nb::object Channel::get(const Deadline& deadline) {
  if (!is_here()) return {};
  OneSink sink(choice_.id());
  if (!take(1, deadline, sink)) return {};
  if (sink.kind != Kind::native || sink.run_count != 0) return decode_one(sink.taken(), std::move(sink.prepared));
  nb::object object = nb::steal(decode(sink.data, sink.size));
  if (!object.is_valid()) [[unlikely]]
    keep_bytes(*stream_, sink.taken());
  return object;
}

nb::object Channel::get_bytes(const Deadline& deadline) {
  if (!is_here()) return {};
  OneSink sink(choice_.id());
  sink.gate.bytes_for_pickle = true;
  if (!take(1, deadline, sink)) return {};
  // Who only passes an item on needs none of its classes, and runs none of their code.
  if (sink.kind == Kind::instances && sink.run_count <= 1) {
    const bool in_run = sink.run_count != 0;
    const nb::object bytes = pickle_of_instances(
        in_run ? Piece{stream_->run_data(sink.references[0]), sink.references[0].size} : Piece{sink.data, sink.size});
    if (in_run) stream_->release(sink.references[0]);
    return bytes;
  }
  // What was sent as bytes, or pickled, is these bytes; the other encodings are turned into a pickle.
  const bool is_pickle = sink.kind == Kind::pickle;
  if (is_pickle) sink.kind = Kind::bytes;
  nb::object object = decode_one(sink.taken(), std::move(sink.prepared));
  if (is_pickle || !object.is_valid()) return object;
  Payload payload;
  if (!pickle(object.ptr(), payload)) return {};
  nb::object bytes = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(payload.head_size())));
  if (bytes.is_valid()) payload.copy_head(reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes.ptr())));
  return bytes;
}

nb::object Channel::get_many(std::size_t most, const Deadline& deadline) {
  ManySink sink(choice_.id());
  if (!take(most, deadline, sink)) return {};
  nb::list items;
  nb::object interrupt;  // Ctrl-C, or the like
  for (ManySink::Entry& entry : sink.entries) {
    const nb::object item = decode_one(sink.taken(entry), std::move(entry.prepared));
    if (item.is_valid()) {
      items.append(item);
      continue;
    }
    nb::object error = take_exception();
    if (!interrupt.is_valid() && PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) == 0) {
      interrupt = std::move(error);
    } else {
      unheard_.add(std::move(error));
    }
  }
  if (interrupt.is_valid()) {
    // The items are taken already, and must not be lost.
    if (PyObject_SetAttrString(interrupt.ptr(), "items_received", items.ptr()) != 0) PyErr_Clear();
    set_exception(interrupt);
    return {};
  }
  if (items.size() == 0 && unheard_.raise()) return {};
  return items;
}

nb::object Channel::take_each(std::size_t most, nb::handle unreadable) {
  if (!is_here()) return {};
  ManySink sink(choice_.id());
  if (!take(most, {forever, true}, sink)) return {};
  nb::list items;
  for (ManySink::Entry& entry : sink.entries) {
    nb::object item = decode_one(sink.taken(entry), std::move(entry.prepared));
    if (!item.is_valid()) {
      const nb::object error = take_exception();
      item = call(unreadable, error);
      if (!item.is_valid()) return {};
    }
    items.append(item);
  }
  return items;
}

nb::object Channel::peek(std::size_t most) {
  if (!is_here()) return {};
  settle_drop();
  nb::list items;
  nb::object failure;
  Stream::Place place;
  for (std::size_t seen = 0; seen < most;) {
    LookSink sink(choice_.id(), *stream_);
    std::size_t done = 0;
    Status status;
    {
      const WithoutGil released;
      status = stream_->look(place, std::min<std::size_t>(most - seen, 100), sink, done, longest_slice);
    }
    if (!look_for_signals()) return {};
    if (status == Status::busy || status == Status::interrupted) continue;
    if (status == Status::empty) break;
    if (status != Status::ok) {
      if (status == Status::refused) {
        raise_refusal(sink.gate.refusal);
      } else {
        raise_status(status, stream_->segment(), 0);
      }
      if (!failure.is_valid()) failure = take_exception();
      PyErr_Clear();
      break;
    }
    seen += done;
    for (const LookSink::Entry& entry : sink.entries) {
      const nb::object item = decode_one(LookSink::taken(entry), {});
      if (item.is_valid()) {
        items.append(item);
        continue;
      }
      nb::object error = take_exception();
      const bool interrupt = PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) == 0;
      if (interrupt || !failure.is_valid()) failure = std::move(error);
      if (!interrupt) continue;
      seen = most;
      break;
    }
  }
  if (!failure.is_valid()) return items;
  if (PyObject_SetAttrString(failure.ptr(), "items_received", items.ptr()) != 0) PyErr_Clear();
  set_exception(failure);
  return {};
}

nb::object Channel::purge() {
  if (!is_here()) return {};
  for (;;) {
    std::uint64_t count = 0;
    Status status;
    {
      const WithoutGil released;
      status = stream_->purge(count, longest_slice);
    }
    if (status == Status::ok) return nb::int_(count);
    if (status != Status::busy && status != Status::interrupted) return raise_status(status, stream_->segment(), 0);
    if (!look_for_signals()) return {};
  }
}

// -- leasing: from then on it is the Lease object's business

bool Channel::parse_lease_time(nb::handle seconds, Nanoseconds& time) {
  time = stream_->segment().header().leases.lease_time;
  if (seconds.is_none()) return true;
  const double wanted = foreign([&] { return PyFloat_AsDouble(seconds.ptr()); });
  if (wanted == -1.0 && PyErr_Occurred() != nullptr) return false;
  if (std::isnan(wanted) || wanted <= 0) {
    raise_format(PyExc_ValueError, "lease_seconds is %R; it must be above 0, or None", seconds.ptr());
    return false;
  }
  time = wanted < 9e9 ? static_cast<Nanoseconds>(wanted * 1e9) : forever;
  return true;
}

// The pending error says why the item could not be made.
void Channel::give_back_undecoded(const LeaseId& lease) {
  const nb::object error = take_exception();
  const std::string text = error_text(error);
  settle([&] { return stream_->give_back(lease, text, 0); }, false);
  if (move_failed()) set_exception(error);  // else it is Ctrl-C that is to be raised
}

nb::object Channel::lease_one(const Deadline& deadline, LeaseId& lease) {
  OneSink sink(choice_.id());
  if (!take(1, deadline, sink, &lease)) return {};
  nb::object item = decode_one(sink.taken(true), std::move(sink.prepared));
  if (!item.is_valid()) give_back_undecoded(lease);
  return item;
}

bool Channel::lease_some(std::size_t most, const Deadline& deadline, std::vector<Leased>& into) {
  ManySink sink(choice_.id());
  std::vector<LeaseId> leases(most);
  std::size_t done = 0;
  if (!take(most, deadline, sink, leases.data(), &done)) return false;
  nb::object failure;
  bool interrupted = false;
  for (std::size_t i = 0; i < done; ++i) {
    nb::object item = decode_one(sink.taken(sink.entries[i], true), std::move(sink.entries[i].prepared));
    if (item.is_valid()) {
      into.push_back({std::move(item), leases[i]});
      continue;
    }
    give_back_undecoded(leases[i]);
    nb::object error = take_exception();
    if (interrupted) continue;
    interrupted = PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) == 0;
    failure = std::move(error);
  }
  // What could not be unpickled comes again, or has failed too often; the others need not wait for it. But Ctrl-C does
  // not wait for them.
  if (interrupted) {
    for (const Leased& each : into) settle([&] { return stream_->give_back(each.lease, "interrupted", 0); }, false);
    into.clear();
  }
  if (into.empty() && failure.is_valid()) set_exception(failure);
  return !into.empty();
}

nb::object Channel::lease(nb::handle self, const Deadline& deadline, nb::handle seconds) {
  Nanoseconds time;
  if (!parse_lease_time(seconds, time)) return {};
  LeaseId lease;
  nb::object item = lease_one(deadline, lease);
  if (!item.is_valid()) return {};
  // Only now: while it was decoded, nobody else could have had it.
  if (time != forever) stream_->set_due(lease, after(time));
  nb::object made = make_lease(self, *this, std::move(item), lease);
  if (!made.is_valid()) give_back_undecoded(lease);
  return made;
}

nb::object Channel::lease_many(nb::handle self, std::size_t most, const Deadline& deadline, nb::handle seconds) {
  Nanoseconds time;
  if (!parse_lease_time(seconds, time)) return {};
  std::vector<Leased> taken;
  if (!lease_some(std::min<std::size_t>(most, lease_capacity(stream_->segment().page_count())), deadline, taken))
    return {};
  nb::list leases;
  const Nanoseconds due = after(time);
  for (Leased& each : taken) {
    if (due != forever) stream_->set_due(each.lease, due);
    const nb::object made = make_lease(self, *this, std::move(each.item), each.lease);
    if (made.is_valid()) {
      leases.append(made);
      continue;
    }
    give_back_undecoded(each.lease);
    PyErr_Clear();  // no memory for it now; it comes again
  }
  return leases;
}

// -- what failed for good

// True if it is in the dead letters now, False if there is no room, null with an error set.
nb::object Channel::bury(const nb::object& item, const Failure& failure, std::uint32_t sender) {
  nb::object letter = item, raw = nb::none(), buffers = nb::none();
  if (!item.is_valid()) {
    const nb::object error = take_exception();
    const bool lasting = PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) != 0 &&
                         PyErr_GivenExceptionMatches(error.ptr(), PyExc_MemoryError) == 0;
    raw = attribute(error, "raw");
    buffers = attribute(error, "buffers");
    PyErr_Clear();
    if (!lasting || !raw.is_valid() || !buffers.is_valid() || raw.is_none()) return set_exception(error), nb::object();
    letter = raw;
  }
  const nb::object text =
      nb::steal(PyUnicode_DecodeUTF8(failure.error.data(), static_cast<Py_ssize_t>(failure.error.size()), "replace"));
  if (!text.is_valid()) return {};
  return call(bury_, letter, nb::int_(failure.attempts), text, nb::int_(failure.pid), raw, buffers, nb::int_(sender));
}

bool Channel::move_failed() {
  if (stream_->failed() == 0 || !bury_.is_valid() || is_moving_ || monotonic_now() < next_move_) return true;
  const Marked moving(is_moving_);
  for (;;) {
    OneSink sink(choice_.id());
    LeaseId lease;
    Failure failure;
    if (stream_->take_failed(sink, lease, failure) != Status::ok) return true;
    nb::object item = decode_one(sink.taken(true), std::move(sink.prepared));
    const Last gone(item);
    const nb::object moved = bury(item, failure, sink.sender);
    if (moved.ptr() == Py_True) {
      settle([&] { return stream_->acknowledge(lease); }, false);
      continue;
    }
    const nb::object error = take_exception();
    const bool interrupt = error.is_valid() && PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) == 0;
    const bool for_good =
        error.is_valid() && !interrupt && PyErr_GivenExceptionMatches(error.ptr(), PyExc_MemoryError) == 0;
    settle([&] { return stream_->put_back_failed(lease, for_good); }, false);
    if (interrupt) {  // Ctrl-C
      set_exception(error);
      return false;
    }
    if (!for_good) {  // no room for it, or no memory
      next_move_ = monotonic_now() + move_again;
      return true;
    }
    set_exception(error);
    foreign([&] { PyErr_WriteUnraisable(bury_.ptr()); });
  }
}

}  // namespace conveyor::python
