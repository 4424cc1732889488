// Publishing: pack outside the lock, wait for room, append.
#include <algorithm>
#include <optional>

#include "../support/errors.hpp"
#include "topic_channel.hpp"

namespace conveyor::python {
namespace {

constexpr const char* topic_shut_down_text = "the topic was shut down";
// Copying this takes longer than letting others run meanwhile.
constexpr std::uint64_t publish_with_gil = 32 * 1024;
constexpr std::size_t batch_events = 256;
constexpr std::size_t batch_bytes = 128 * 1024;

constexpr std::uint64_t align(std::uint64_t size, std::uint64_t to) { return (size + to - 1) / to * to; }

// The key's bytes, which live as long as the object; false with a Python error set.
bool key_of(nb::handle key, std::string_view& into) {
  if (key.is_none()) return true;
  if (PyUnicode_Check(key.ptr()) == 0) {
    raise_format(PyExc_TypeError, "key is %R; it must be a str, as in \"prices.eur\", or None", key.ptr());
    return false;
  }
  Py_ssize_t size = 0;
  const char* const data = PyUnicode_AsUTF8AndSize(key.ptr(), &size);
  if (data == nullptr) return false;
  into = {data, static_cast<std::size_t>(size)};
  if (into.size() > most_key) {
    PyErr_Format(PyExc_ValueError, "key has %zd bytes in UTF-8; at most 255 are possible", size);
    return false;
  }
  if (into.find_first_of("*#") != std::string_view::npos) {
    raise_format(PyExc_ValueError, "key is %R; '*' and '#' are for the patterns of subscribe()", key.ptr());
    return false;
  }
  return true;
}

}  // namespace

nb::object raise_topic_status(Status status, const TopicLog& topic_log, std::uint64_t payload, std::size_t key_size) {
  switch (status) {
    case Status::too_large:
      return raise("ItemTooLarge",
                   ("the event takes " + std::to_string(payload) + " bytes and can never fit: at most " +
                    std::to_string(topic_log.most_payload(key_size)) + ", a quarter of max_bytes, are possible; " +
                    "raise max_bytes or publish smaller events")
                       .c_str());
    case Status::no_memory:
      return raise("OutOfMemory", ("no memory for an event of " + std::to_string(payload) +
                                   " bytes; see free memory, the cgroup's limit, or the size of /dev/shm for a "
                                   "named topic")
                                      .c_str());
    case Status::shut_down: return raise("ShutDown", topic_shut_down_text);
    case Status::crowded:
      return raise("ConveyorError", ("at most " + std::to_string(subscriber_capacity) +
                                     " subscriptions to a topic may be open at a time, and they are")
                                        .c_str());
    case Status::corrupt: return raise("CorruptSegment", "the topic's shared memory is damaged; make a new topic");
    case Status::busy:
      return raise_full("the topic's lock was not free in time: a process is stopped (SIGSTOP?) inside publish");
    default: return raise("ConveyorError", "unexpected state of the topic");
  }
}

EventLayout::EventLayout(Payload& payload, std::size_t key_size) {
  if (!payload.has_index()) {
    pieces_.push_back({payload.contiguous(), 0, payload.head_size()});
    size_ = payload.head_size();
    return;
  }
  const auto& sources = payload.sources();
  const PayloadHead head{0, static_cast<std::uint32_t>(sources.size()), 0, sizeof(PayloadHead), payload.head_size()};
  // The payload begins behind the record's header and key; buffers are aligned as seen from the record, which is.
  const std::uint64_t shift = sizeof(RecordHeader) + align8(key_size);
  std::uint64_t offset = sizeof head + sources.size() * sizeof(PayloadBuffer) + payload.head_size();
  std::vector<PayloadBuffer> index;
  for (const Payload::Source& source : sources) {
    offset = align(offset + shift, 64) - shift;
    index.push_back({offset, source.size(), in_message, 0});
    pieces_.push_back({source.view.buf, offset, source.size()});
    offset += source.size();
  }
  size_ = offset;
  front_.put(&head, sizeof head);
  front_.put(index.data(), index.size() * sizeof(PayloadBuffer));
  payload.copy_head(front_.extend(payload.head_size()));
  pieces_.push_back({front_.data(), 0, front_.size()});
}

Publication EventLayout::publication(std::string_view key) const {
  return {key, 0, size_, pieces_.data(), pieces_.size()};
}

TopicChannel::TopicChannel(std::shared_ptr<Region> region, std::uint64_t keep, bool copies_devices)
    : region_(std::move(region)), copies_devices_(copies_devices) {
  import_for_items();
  const auto reserve = [kept = region_](std::uint64_t offset, std::uint64_t size) {
    return kept->reserve(offset, size);
  };
  const std::uint64_t size = region_->size();
  const std::uint64_t capacity = size > sizeof(TopicHeader) ? size - sizeof(TopicHeader) : 0;
  const int error = TopicLog::initialise(region_->data(), capacity, keep, reserve);
  if (error == EBUSY) throw SegmentError(Fault::system, EBUSY, "the topic's lock is held by a process that is stopped");
  if (error != 0 && error != EINVAL) throw SegmentError(Fault::memory, error, "no memory for a topic");
  topic_log_ = std::make_shared<TopicLog>(region_->data(), size, reserve, &region_->producing());
  if (!topic_log_->sound())
    throw SegmentError(Fault::corrupt, 0, "not a sound topic: its log has no size that a topic can have");
}

// Until that changes which is in the way; the dead are looked for, also by a call that may not wait.
void TopicChannel::pause_for_room(const Deadline& deadline, std::uint64_t gate, Slices& slices) {
  const WithoutGil released;
  if (topic_log_->dead_are_due()) {
    topic_log_->look_for_dead(longest_slice);
  } else if (!deadline.passed()) {
    topic_log_->wait_room(gate, deadline.at, slices);
  }
}

// False: a Python error is set.
bool TopicChannel::await_room(const Deadline& deadline, std::uint64_t gate, Slices& slices) {
  if (topic_log_->ended()) return raise("ShutDown", topic_shut_down_text), false;
  if (deadline.passed() && !topic_log_->dead_may_be_due()) return raise_full(), false;
  pause_for_room(deadline, gate, slices);
  return look_for_signals();
}

bool TopicChannel::deliver(const Publication* events, std::size_t count, std::size_t& done, const Deadline& deadline) {
  RetrySlices patience(deadline);
  Slices slices(region()->waiters(), WaitsFor::log_room);
  std::optional<std::uint64_t> gate;  // as it was before the last attempt, once one has failed
  const bool large = events[0].size > publish_with_gil;
  done = 0;
  while (done < count) {
    std::size_t more = 0;
    Status status = Status::busy;
    if (large) {
      const WithoutGil released;
      status = topic_log_->publish(events + done, count - done, more, 0);
    } else {
      status = topic_log_->publish(events + done, count - done, more, 0);
    }
    if (status == Status::busy) {
      const Nanoseconds slice = patience.slice();
      if (slice == 0) return raise_topic_status(Status::busy, *topic_log_, 0, 0), false;
      const WithoutGil released;
      status = topic_log_->publish(events + done, count - done, more, slice);
    }
    done += more;
    switch (status) {
      case Status::ok: break;
      case Status::busy:
      case Status::interrupted:
        if (!look_for_signals()) return false;
        break;
      case Status::full:
        // With some of a batch in, there is room again for the rest, or nobody is in the way but those.
        if (more != 0) break;
        if (!gate) {
          gate = topic_log_->gate();
          break;
        }
        if (!await_room(deadline, *gate, slices)) return false;
        gate.reset();
        break;
      default: raise_topic_status(status, *topic_log_, events[done].size, events[done].key.size()); return false;
    }
  }
  return true;
}

bool TopicChannel::publish_payload(nb::handle event, std::string_view key, const Deadline& deadline) {
  Payload payload;
  payload.for_topic = true;
  payload.copies_devices = copies_devices_;
  if (!pickle(event.ptr(), payload)) return false;
  const EventLayout layout(payload, key.size());
  Publication publication = layout.publication(key);
  publication.kind = static_cast<std::uint8_t>(payload.kind);
  std::size_t done = 0;
  return deliver(&publication, 1, done, deadline);
}

nb::object TopicChannel::publish(nb::handle event, nb::handle key, const Deadline& deadline) {
  Publication publication;
  if (!key_of(key, publication.key)) return {};
  Buffer encoded;
  EventPiece piece{};
  if (PyBytes_CheckExact(event.ptr())) {
    piece = {PyBytes_AS_STRING(event.ptr()), 0, static_cast<std::uint64_t>(PyBytes_GET_SIZE(event.ptr()))};
    publication.kind = static_cast<std::uint8_t>(Kind::bytes);
  } else if (const Kind kind = encode(event.ptr(), encoded); kind != Kind::pickle) {
    piece = {encoded.data(), 0, encoded.size()};
    publication.kind = static_cast<std::uint8_t>(kind);
  } else {
    return publish_payload(event, publication.key, deadline) ? nb::none() : nb::object();
  }
  publication.size = piece.size;
  publication.pieces = &piece;
  publication.piece_count = 1;
  std::size_t done = 0;
  return deliver(&publication, 1, done, deadline) ? nb::none() : nb::object();
}

// What the iterator gives next, as many as go together. `more`: there may be more.
bool TopicChannel::publish_batch(nb::handle iterator, std::string_view key, const Deadline& deadline, std::size_t& done,
                                 bool& more) {
  struct Entry {
    std::size_t offset, size;
    Kind kind;
  };
  Buffer encoded;
  std::vector<Entry> entries;
  nb::object alone;
  const Last alone_gone(alone);
  while (entries.size() < batch_events && encoded.size() < batch_bytes) {
    nb::object event = nb::steal(foreign([&] { return PyIter_Next(iterator.ptr()); }));
    const Last gone(event);
    if (!event.is_valid()) {
      more = false;
      break;
    }
    const std::size_t offset = encoded.size();
    const bool raw = PyBytes_CheckExact(event.ptr()) != 0;
    Kind kind = Kind::bytes;
    if (raw && PyBytes_GET_SIZE(event.ptr()) <= static_cast<Py_ssize_t>(inline_limit)) {
      encoded.put(PyBytes_AS_STRING(event.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(event.ptr())));
    } else if (raw || (kind = encode(event.ptr(), encoded)) == Kind::pickle || encoded.size() - offset > inline_limit) {
      encoded.cut(offset);
      alone = std::move(event);
      break;
    }
    entries.push_back({offset, encoded.size() - offset, kind});
  }
  const nb::object failure = PyErr_Occurred() != nullptr ? take_exception() : nb::object();
  std::vector<EventPiece> pieces;
  std::vector<Publication> batch;
  pieces.reserve(entries.size());
  for (const Entry& entry : entries) {
    pieces.push_back({encoded.data() + entry.offset, 0, entry.size});
    batch.push_back({key, static_cast<std::uint8_t>(entry.kind), entry.size, &pieces.back(), 1});
  }
  std::size_t published = 0;
  const bool fine = batch.empty() || deliver(batch.data(), batch.size(), published, deadline);
  done += published;
  if (!fine) return false;
  if (failure.is_valid()) return set_exception(failure), false;
  if (!alone.is_valid()) return true;
  nb::object key_object =
      key.empty() ? nb::none()
                  : nb::steal(PyUnicode_DecodeUTF8(key.data(), static_cast<Py_ssize_t>(key.size()), nullptr));
  if (!key_object.is_valid() || !publish(alone, key_object, deadline).is_valid()) return false;
  ++done;
  return true;
}

nb::object TopicChannel::publish_many(nb::handle events, nb::handle key, const Deadline& deadline) {
  std::string_view name;
  if (!key_of(key, name)) return {};
  nb::object iterator = nb::steal(foreign([&] { return PyObject_GetIter(events.ptr()); }));
  const Last ended(iterator);
  if (!iterator.is_valid()) return {};
  std::size_t done = 0;
  for (bool more = true; more;) {
    if (publish_batch(iterator, name, deadline, done, more)) continue;
    // Some may be out: say how many, so that the caller can go on with the rest.
    const nb::object error = take_exception();
    if (PyObject_SetAttrString(error.ptr(), "events_published", nb::int_(done).ptr()) != 0) PyErr_Clear();
    set_exception(error);
    return {};
  }
  return nb::none();
}

nb::object TopicChannel::check(double patience) {
  std::optional<std::string> trouble;
  {
    const WithoutGil released;
    trouble = topic_log_->check(static_cast<Nanoseconds>(patience * 1e9));
  }
  return trouble ? nb::cast(*trouble) : nb::none();
}

nb::object TopicChannel::wait_room(const Deadline& deadline) {
  const std::uint64_t gate = topic_log_->gate();
  for (Slices slices(region()->waiters(), WaitsFor::log_room);;) {
    if (topic_log_->gate() != gate || topic_log_->ended()) return nb::bool_(true);
    if (deadline.passed()) return nb::bool_(false);
    pause_for_room(deadline, gate, slices);
    if (!look_for_signals()) return {};
  }
}

nb::object TopicChannel::wait_event(std::uint64_t position, const Deadline& deadline) {
  for (Slices slices(region()->waiters(), WaitsFor::event);;) {
    if (topic_log_->tail() != position || topic_log_->ended()) return nb::bool_(true);
    if (looked_for_lost(*topic_log_)) continue;
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      topic_log_->wait_event(position, deadline.at, slices);
    }
    if (!look_for_signals(slices)) return {};
  }
}

}  // namespace conveyor::python
