// Reading: what is small is copied out and decoded, what is large lies where it was published.
#include <cstring>

#include "../payload/unreadable.hpp"
#include "../support/errors.hpp"
#include "topic_channel.hpp"

namespace conveyor::python {
namespace {

// Runs without Python code, so that nobody else uses the subscription meanwhile.
struct EventSink {
  Kind kind = Kind::pickle;
  std::uint32_t sender = 0;
  const std::byte* data = nullptr;
  std::size_t size = 0;
  PinId pin;
  nb::object copy;  // a bytes object of the whole payload, where there was no pin to be had
  std::byte small[16 * 1024];

  void message(const RecordView& record) {
    kind = static_cast<Kind>(record.kind);
    sender = record.sender;
    size = record.size;
    data = small;
    std::memcpy(small, record.payload, record.size);
  }
  bool large(const RecordView& record, PinId pinned) {
    kind = static_cast<Kind>(record.kind);
    sender = record.sender;
    size = record.size;
    pin = pinned;
    data = record.payload;
    if (pin.valid()) return true;
    copy = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(record.size)));
    if (!copy.is_valid()) {
      PyErr_Clear();
      return false;
    }
    std::memcpy(PyBytes_AS_STRING(copy.ptr()), record.payload, record.size);
    data = reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(copy.ptr()));
    return true;
  }
};

struct Index {
  PayloadHead head;
  std::vector<PayloadBuffer> buffers;
};

bool fits(std::uint64_t offset, std::uint64_t size, std::uint64_t limit) {
  return offset <= limit && size <= limit - offset;
}

// Copies what it checks: it may lie in the log, where another process might change it in between.
bool read_index(const std::byte* data, std::size_t size, Index& into) {
  if (size < sizeof into.head) return false;
  std::memcpy(&into.head, data, sizeof into.head);
  const std::uint64_t records = std::uint64_t{into.head.buffers} * sizeof(PayloadBuffer);
  if (into.head.index_offset != sizeof into.head || !fits(sizeof into.head, records, size) ||
      !fits(sizeof into.head + records, into.head.head_size, size))
    return false;
  into.buffers.resize(into.head.buffers);
  copy_bytes(into.buffers.data(), data + sizeof into.head, records);
  std::uint64_t left = size;
  for (const PayloadBuffer& each : into.buffers) {
    if (each.size > left || !fits(each.offset, each.size, size)) return false;
    left -= each.size;
  }
  return true;
}

nb::object unpack_event(const EventSink& sink, const std::shared_ptr<PinnedRecord>& pinned) {
  Index index;
  if (!read_index(sink.data, sink.size, index))
    return raise("CorruptSegment", "an event in the topic is damaged: its parts do not lie within it");
  const bool borrow = pinned != nullptr && sink.size >= least_lent;
  const nb::object buffers = nb::steal(PyList_New(static_cast<Py_ssize_t>(index.buffers.size())));
  if (!buffers.is_valid()) return {};
  for (std::size_t i = 0; i < index.buffers.size(); ++i) {
    const PayloadBuffer& place = index.buffers[i];
    const std::byte* const from = sink.data + place.offset;
    // Read-only in either case: all subscribers see the same event.
    nb::object buffer;
    if (borrow) {
      buffer = nb::cast(EventMemory{pinned, from, place.size});
    } else if (sink.copy.is_valid()) {
      const nb::object whole = view_of(sink.copy);
      const auto begin = static_cast<Py_ssize_t>(place.offset), end = begin + static_cast<Py_ssize_t>(place.size);
      buffer = whole.is_valid() ? nb::steal(PySequence_GetSlice(whole.ptr(), begin, end)) : nb::object();
    } else {
      buffer = nb::steal(
          PyBytes_FromStringAndSize(reinterpret_cast<const char*>(from), static_cast<Py_ssize_t>(place.size)));
    }
    if (!buffer.is_valid()) return {};
    PyList_SET_ITEM(buffers.ptr(), static_cast<Py_ssize_t>(i), buffer.release().ptr());
  }
  const std::byte* const content = sink.data + sizeof(PayloadHead) + index.buffers.size() * sizeof(PayloadBuffer);
  const nb::object pickle =
      nb::steal(PyMemoryView_FromMemory(const_cast<char*>(reinterpret_cast<const char*>(content)),
                                        static_cast<Py_ssize_t>(index.head.head_size), PyBUF_READ));
  return pickle.is_valid() ? nb::steal(unpickle(pickle.ptr(), buffers.ptr())) : nb::object();
}

nb::object decode_event(const EventSink& sink, const std::shared_ptr<PinnedRecord>& pinned) {
  const auto size = static_cast<Py_ssize_t>(sink.size);
  const char* const text = reinterpret_cast<const char*>(sink.data);
  switch (sink.kind) {
    case Kind::native: return nb::steal(decode(sink.data, sink.size));
    case Kind::instances: return nb::steal(decode_instances(sink.data, sink.size));
    case Kind::bytes: return sink.copy.is_valid() ? sink.copy : nb::steal(PyBytes_FromStringAndSize(text, size));
    case Kind::buffers: return unpack_event(sink, pinned);
    case Kind::pickle: {
      const nb::object view = nb::steal(PyMemoryView_FromMemory(const_cast<char*>(text), size, PyBUF_READ));
      return view.is_valid() ? nb::steal(unpickle(view.ptr())) : nb::object();
    }
    default: return raise("CorruptSegment", "an event in the topic is damaged: it is of no known kind");
  }
}

// The pending error says why the event could not be made; with it go the bytes, and who published them.
void keep_event(const EventSink& sink) {
  const Piece whole{sink.data, sink.size};
  Index index;
  if (sink.kind != Kind::buffers || !read_index(sink.data, sink.size, index))
    return keep_bytes(sink.sender, sink.kind, whole);
  std::vector<Piece> buffers;
  for (const PayloadBuffer& each : index.buffers) buffers.push_back({sink.data + each.offset, each.size});
  const std::uint64_t front = sizeof(PayloadHead) + index.buffers.size() * sizeof(PayloadBuffer);
  keep_bytes(sink.sender, sink.kind, {sink.data + front, index.head.head_size}, buffers);
}

// What was read before the error that is set must not be lost.
nb::object leave_received(const nb::list& events) {
  const nb::object error = take_exception();
  if (PyObject_SetAttrString(error.ptr(), "events_received", events.ptr()) != 0) PyErr_Clear();
  set_exception(error);
  return {};
}

}  // namespace

bool SubscriptionChannel::join(SubscriberMode mode, From from, std::uint64_t number) {
  const Deadline at_once{forever, true};
  for (RetrySlices patience(at_once);;) {
    const Nanoseconds slice = patience.slice();
    Status status;
    {
      const WithoutGil released;
      status = subscriber_.join(mode, from, number, slice);
    }
    switch (status) {
      case Status::ok: return true;
      case Status::busy:
      case Status::interrupted:
        if (!look_for_signals()) return false;
        if (slice != 0) continue;
        break;
      case Status::no_memory:
        raise("OutOfMemory", "no memory for another subscription (see free memory, the cgroup's limit, or /dev/shm)");
        return false;
      case Status::refused:
        PyErr_Format(PyExc_ValueError, "from_ is %llu; so far there are %llu events, so it must be at most that",
                     static_cast<unsigned long long>(number),
                     static_cast<unsigned long long>(subscriber_.topic_log().published()));
        return false;
      default: break;
    }
    raise_topic_status(status, subscriber_.topic_log(), 0, 0);
    return false;
  }
}

bool SubscriptionChannel::usable() {
  if (!subscriber_.joined()) {
    PyErr_SetString(PyExc_ValueError, "the subscription is closed");
    return false;
  }
  if (subscriber_.ours()) return true;
  PyErr_SetString(PyExc_RuntimeError,
                  "a subscription belongs to the process that made it, and this is a fork of that; "
                  "call subscribe() here");
  return false;
}

nb::object SubscriptionChannel::raise_lagged() { return raise_with("Lagged", nb::int_(subscriber_.missed())); }

bool SubscriptionChannel::passes(nb::handle event) {
  const nb::object verdict = call(filter_, event);
  return verdict.is_valid() && foreign([&] { return PyObject_IsTrue(verdict.ptr()); }) == 1;
}

nb::object SubscriptionChannel::take(Status& status) {
  EventSink sink;
  status = subscriber_.read(sink);
  if (status != Status::ok) return {};
  std::shared_ptr<PinnedRecord> pinned;
  if (sink.pin.valid()) pinned = std::make_shared<PinnedRecord>(subscriber_.shared_topic_log(), sink.pin);
  nb::object event = decode_event(sink, pinned);
  if (!event.is_valid()) [[unlikely]]
    keep_event(sink);
  return event;
}

// Nothing is there: waits, or says so. False: a Python error is set, but not at the `ended`.
bool SubscriptionChannel::await(const Deadline& deadline, Slices& slices, bool& ended) {
  if (subscriber_.topic_log().ended() && subscriber_.nothing_to_read()) {
    ended = true;
    return false;
  }
  if (looked_for_lost(subscriber_.topic_log())) return look_for_signals() && usable();
  if (deadline.passed()) return raise_empty(), false;
  subscriber_.settle();
  const std::uint64_t position = subscriber_.position();
  {
    const WithoutGil released;
    subscriber_.topic_log().wait_event(position, deadline.at, slices);
  }
  return look_for_signals(slices) && usable();
}

nb::object SubscriptionChannel::read(const Deadline& deadline, bool& ended) {
  if (!usable()) return {};
  if (unheard_.any() && unheard_.raise()) [[unlikely]]
    return {};
  for (Slices slices(region_->waiters(), WaitsFor::event);;) {
    Status status = Status::ok;
    nb::object event = take(status);
    switch (status) {
      case Status::ok:
        if (!event.is_valid() || !filter_.is_valid() || filter_.is_none() || passes(event)) return event;
        if (PyErr_Occurred() != nullptr || !usable()) return {};
        if (!look_for_signals()) return {};
        continue;
      case Status::empty:
        if (await(deadline, slices, ended)) continue;
        return {};
      case Status::interrupted:
        if (!look_for_signals() || !usable()) return {};
        continue;
      case Status::lost: return raise_lagged();
      case Status::no_memory:
        return raise("OutOfMemory",
                     "no memory for the next event, which was not received; see free memory or ulimit -v");
      default: return raise_topic_status(status, subscriber_.topic_log(), 0, 0);
    }
  }
}

nb::object SubscriptionChannel::get(const Deadline& deadline) {
  bool ended = false;
  nb::object event = read(deadline, ended);
  if (ended) raise_end();
  return event;
}

nb::object SubscriptionChannel::next() {
  bool ended = false;
  nb::object event = read({}, ended);
  if (!ended) return event;
  const std::vector<LostProducer> lost = subscriber_.topic_log().lost();
  return lost.empty() ? nb::object() : raise_lost(lost);
}

nb::object SubscriptionChannel::get_many(std::size_t most, const Deadline& deadline) {
  nb::object first = get(deadline);
  if (!first.is_valid()) return {};
  nb::list events;
  events.append(first);
  while (events.size() < most) {
    Status status = Status::ok;
    if (events.size() % 1024 == 0 && !look_for_signals()) return leave_received(events);
    if (!subscriber_.joined()) break;  // closed by the filter, or in unpickling
    nb::object event = take(status);
    if (status != Status::ok) break;   // the next call tells
    if (!event.is_valid() && PyErr_ExceptionMatches(PyExc_Exception) != 0) {
      unheard_.add(take_exception());
      break;  // and that
    }
    const bool fine = event.is_valid();
    if (fine && (!filter_.is_valid() || filter_.is_none() || passes(event))) {
      events.append(event);
      continue;
    }
    if (PyErr_Occurred() != nullptr) return leave_received(events);
  }
  return events;
}

}  // namespace conveyor::python
