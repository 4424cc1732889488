// Putting: pack outside every lock, then wait for room, then append.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../support/errors.hpp"
#include "channel.hpp"

namespace conveyor::python {
namespace {

// While a pipe waits for room it looks this often whether its reader still lives.
constexpr Nanoseconds peer_look = 50'000'000;

std::uint64_t payload_of(const Outgoing* items, std::size_t count) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) bytes += items[i].payload();
  return bytes;
}

}  // namespace

Channel::Next Channel::after_failed_put(Status status, std::uint64_t payload, const Deadline& deadline,
                                        Slices& slices) {
  switch (status) {
    case Status::busy:
    case Status::interrupted: return look_for_signals() ? Next::retry : Next::stop;
    case Status::full: break;
    default: raise_status(status, stream_->segment(), payload); return Next::stop;
  }
  if (stream_->ended()) {
    raise("ShutDown", shut_down_text);
    return Next::stop;
  }
  if (deadline.passed()) {
    raise_full(nullptr, stream_->segment().header().max_bytes == unbounded ? 0 : payload);
    return Next::stop;
  }
  {
    const WithoutGil released;
    Nanoseconds until = deadline.at;
    if (pipe_ != nullptr || stream_->segment().has_closed(Segment::PipeSide::reading))
      until = std::min(until, monotonic_now() + peer_look);
    stream_->wait_not_full(payload, until, slices);
  }
  if (!look_for_signals(slices)) {
    stream_->pass_on();
    return Next::stop;
  }
  return !closed_meanwhile() && check_peer() ? Next::retry : Next::stop;
}

Channel::Next Channel::after_failed_allocation(int error, std::uint64_t payload, const Deadline& deadline) {
  if (error != EBUSY) {
    raise_status(Status::no_memory, stream_->segment(), payload);
    return Next::stop;
  }
  if (deadline.passed()) {
    raise_full("the queue's memory could not be locked in time: a process is stopped (SIGSTOP?) inside put or get");
    return Next::stop;
  }
  return look_for_signals() ? Next::retry : Next::stop;
}

// Mostly the lock is free, and there is room.
bool Channel::deliver(const Outgoing* items, std::size_t count, std::size_t& done, const Deadline& deadline) {
  stream_->segment().note_putting();
  const Status status = stream_->put(items, count, done, 0);
  if (status != Status::ok) [[unlikely]] {
    if (!deliver_with_care(status, items, count, done, deadline)) return false;
  }
  if (!deadline.immediate && pacing_.is_due(count, [&] { return payload_of(items, count); })) [[unlikely]]
    let_consumers_run();
  return true;
}

[[gnu::noinline, gnu::cold]] void Channel::let_consumers_run() {
  const WithoutGil released;
  pacing_.rest();
}

// `status`: of the first try.
[[gnu::noinline]] bool Channel::deliver_with_care(Status status, const Outgoing* items, std::size_t count,
                                                  std::size_t& done, const Deadline& deadline) {
  RetrySlices patience(deadline);
  Slices slices(waiters(), WaitsFor::room);
  for (bool tried = true; done < count; tried = false) {
    std::size_t more = 0;
    if (!tried) status = stream_->put(items + done, count - done, more, 0);
    if (status == Status::busy) {
      const Nanoseconds slice = patience.slice();
      if (slice == 0) {
        raise_full("the producers' lock was not free in time: a producer is stopped (SIGSTOP?) inside put");
        return false;
      }
      const WithoutGil released;
      status = stream_->put(items + done, count - done, more, slice);
    }
    done += more;
    if (status != Status::ok && after_failed_put(status, items[done].payload(), deadline, slices) == Next::stop)
      return false;
  }
  return true;
}

// No memory is taken for a large item before there is room: many blocked producers must not exceed the bound.
bool Channel::await_room(std::uint64_t payload, const Deadline& deadline, Slices& slices) {
  const Header& header = stream_->segment().header();
  if (payload > header.max_bytes && header.soft_bound == 0) {
    raise_status(Status::too_large, stream_->segment(), payload);
    return false;
  }
  while (!stream_->has_room(payload)) {
    if (after_failed_put(Status::full, payload, deadline, slices) == Next::stop) return false;
  }
  stream_->segment().note_putting();
  return true;
}

// A pipe's message above its bound is sent when it is received, as one above the kernel's would be.
bool Channel::await_receipt(std::uint64_t payload, const Deadline& deadline, Slices& slices) {
  while (pipe_ != nullptr && payload > stream_->segment().header().max_bytes && !stream_->has_room(0)) {
    if (after_failed_put(Status::full, 0, deadline, slices) == Next::stop) return false;
  }
  return true;
}

// `copy(std::byte*)` writes the payload; it runs without the GIL and outside every lock. `was_put()`: from now on it is in.
template <class Copy, class WasPut>
bool Channel::deliver_large(std::size_t size, Kind kind, const Deadline& deadline, Copy copy, WasPut was_put) {
  Slices slices(waiters(), WaitsFor::room);
  if (!await_room(size, deadline, slices)) return false;
  RunReference run;
  for (;;) {
    Pool::Allocation got;
    {
      const WithoutGil released;
      got = stream_->allocate_run(size, run);
      if (got.first != no_page) copy(stream_->run_data(run));
    }
    if (got.first != no_page) break;
    if (after_failed_allocation(got.error, size, deadline) == Next::stop) return false;
  }
  Outgoing outgoing;
  outgoing.kind = static_cast<std::uint8_t>(kind);
  outgoing.runs = &run;
  outgoing.run_count = 1;
  std::size_t done = 0;
  if (!deliver(&outgoing, 1, done, deadline)) {
    stream_->release(run);
    return false;
  }
  was_put();
  return await_receipt(size, deadline, slices);
}

bool Channel::deliver_placed(Payload& payload, const Deadline& deadline) {
  PayloadWriter writer(payload, *stream_);
  Slices slices(waiters(), WaitsFor::room);
  if (!writer.plan() || !await_room(writer.payload(), deadline, slices)) return false;
  int error = 0;
  while (!writer.fill(error)) {
    if (error == 0 || after_failed_allocation(error, writer.payload(), deadline) == Next::stop) return false;
  }
  std::size_t done = 0;
  if (!deliver(&writer.outgoing(), 1, done, deadline)) return false;
  writer.was_put();
  payload.was_put();
  return await_receipt(writer.payload(), deadline, slices);
}

bool Channel::deliver_payload(Payload& payload, const Deadline& deadline) {
  if (payload.has_index()) return deliver_placed(payload, deadline);
  if (payload.head_size() > inline_limit) {
    return deliver_large(
        payload.head_size(), payload.kind, deadline, [&](std::byte* target) { payload.copy_head(target); },
        [&] { payload.was_put(); });
  }
  Outgoing outgoing;
  outgoing.data = payload.contiguous();
  outgoing.size = payload.head_size();
  outgoing.kind = static_cast<std::uint8_t>(payload.kind);
  std::size_t done = 0;
  if (!deliver(&outgoing, 1, done, deadline)) return false;
  payload.was_put();
  return true;
}

nb::object Channel::allocate(std::uint64_t size) {
  if (!is_here()) return {};
  const Deadline deadline{monotonic_now() + grace, false};
  RunReference run;
  for (;;) {
    Pool::Allocation got;
    {
      const WithoutGil released;
      got = stream_->allocate_run(size, run);
    }
    if (got.first != no_page) break;
    if (after_failed_allocation(got.error, size, deadline) == Next::stop) return {};
  }
  const auto loan = std::make_shared<Loan>(stream_->shared_segment(), run);
  return make_memory(loan, loan->data(0), size);
}

// concurrent.futures overrides _on_queue_feeder_error to learn of items that cannot be pickled, and
// expects put to return. Where it is not overridden, put itself raises the error.
bool Channel::handle_pickling_error(nb::handle self, nb::handle item) {
  nb::object error = take_exception();
  const Last gone(error);
  const nb::object hook = attribute(self, "_on_queue_feeder_error");
  const nb::object plain = attribute(self, "_raise_in_put");
  PyErr_Clear();
  const bool overridden = hook.is_valid() && plain.is_valid() && hook.ptr() != plain.ptr();
  if (!overridden || PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) == 0) {
    set_exception(error);
    return false;
  }
  return call(hook, error, item).is_valid();
}

// concurrent.futures says by `_ignore_epipe` that an item for which there is no reader left may be dropped.
bool Channel::ignores_broken_pipe(nb::handle self) {
  if (PyErr_ExceptionMatches(PyExc_BrokenPipeError) == 0) return false;
  const nb::object error = take_exception();
  const nb::object wish = attribute(self, "_ignore_epipe");
  if (wish.is_valid() && foreign([&] { return PyObject_IsTrue(wish.ptr()); }) > 0) return true;
  set_exception(error);
  return false;
}

nb::object Channel::put(nb::handle self, nb::handle item, const Deadline& deadline) {
  nb::object done = put_item(self, item, deadline);
  return done.is_valid() || !ignores_broken_pipe(self) ? done : nb::none();
}

nb::object Channel::put_item(nb::handle self, nb::handle item, const Deadline& deadline) {
  if (!is_here()) return {};
  const PipeUse use(pipe_);
  if (!use || !check_peer()) return {};
  Outgoing outgoing;
  Buffer encoded;
  if (!choice_.native()) {
    Payload payload;
    if (!pack(item, payload)) return handle_pickling_error(self, item) ? nb::none() : nb::object();
    return deliver_payload(payload, deadline) ? nb::none() : nb::object();
  }
  if (PyBytes_CheckExact(item.ptr())) {
    outgoing.data = reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(item.ptr()));
    outgoing.size = static_cast<std::size_t>(PyBytes_GET_SIZE(item.ptr()));
    outgoing.kind = static_cast<std::uint8_t>(Kind::bytes);
  } else if (const Kind kind = encode(item.ptr(), encoded); kind != Kind::pickle) {
    outgoing.data = encoded.data();
    outgoing.size = encoded.size();
    outgoing.kind = static_cast<std::uint8_t>(kind);
  } else {
    Payload payload;
    if (!pack(item, payload)) return handle_pickling_error(self, item) ? nb::none() : nb::object();
    return deliver_payload(payload, deadline) ? nb::none() : nb::object();
  }
  std::size_t done = 0;
  const bool delivered =
      outgoing.size <= inline_limit
          ? deliver(&outgoing, 1, done, deadline)
          : deliver_large(
                outgoing.size, static_cast<Kind>(outgoing.kind), deadline,
                [&](std::byte* target) { std::memcpy(target, outgoing.data, outgoing.size); }, [] {});
  return delivered ? nb::none() : nb::object();
}

nb::object Channel::put_bytes(nb::handle data, const Deadline& deadline) {
  if (!is_here()) return {};
  Payload raw;
  if (choice_.is_users()) {
    PyErr_SetString(PyExc_TypeError, "send_bytes sends a pickle, and this queue has a codec; use put");
    return {};
  }
  const PipeUse use(pipe_);
  if (!use || !check_peer() || !raw.add(data.ptr()) || !deliver_payload(raw, deadline)) return {};
  return nb::none();
}

nb::object Channel::put_many(nb::handle self, nb::handle items, const Deadline& deadline) {
  // All are packed before any is put: an item that cannot be pickled leaves the queue as it was.
  struct Entry {
    std::size_t offset, size;  // in `encoded`, or
    std::size_t payload;        // an index into `payload`
    Kind kind;
  };
  constexpr std::size_t none = SIZE_MAX;
  Buffer encoded;
  std::vector<Payload> payload;
  std::vector<Entry> entries;
  nb::object iterator = nb::steal(foreign([&] { return PyObject_GetIter(items.ptr()); }));
  const Last ended(iterator);
  if (!iterator.is_valid()) return {};
  while (PyObject* const next = foreign([&] { return PyIter_Next(iterator.ptr()); })) {
    nb::object item = nb::steal(next);
    const Last gone(item);
    const std::size_t offset = encoded.size();
    const bool raw = choice_.native() && PyBytes_CheckExact(next);
    if (raw && PyBytes_GET_SIZE(next) <= static_cast<Py_ssize_t>(inline_limit)) {
      encoded.put(PyBytes_AS_STRING(next), static_cast<std::size_t>(PyBytes_GET_SIZE(next)));
      entries.push_back({offset, encoded.size() - offset, none, Kind::bytes});
      continue;
    }
    const Kind kind = !raw && choice_.native() ? encode(next, encoded) : Kind::pickle;
    if (kind != Kind::pickle && encoded.size() - offset <= inline_limit) {
      entries.push_back({offset, encoded.size() - offset, none, kind});
      continue;
    }
    encoded.cut(offset);
    Payload one;
    if (raw ? !one.add(next) : !pack(item, one)) {
      if (!handle_pickling_error(self, item)) return {};
      continue;
    }
    if (raw) one.kind = Kind::bytes;
    // With an index it goes by itself, as the large ones do.
    entries.push_back({0, one.has_index() ? SIZE_MAX : one.head_size(), payload.size(), one.kind});
    payload.push_back(std::move(one));
  }
  if (PyErr_Occurred() != nullptr) return {};

  std::vector<Outgoing> batch;
  std::size_t put = 0;
  bool fine = true;
  while (fine && put < entries.size()) {
    if (entries[put].size > inline_limit) {
      fine = deliver_payload(payload[entries[put].payload], deadline);
      if (fine) ++put;
      continue;
    }
    batch.clear();
    for (std::size_t i = put; i < entries.size() && entries[i].size <= inline_limit; ++i) {
      const Entry& entry = entries[i];
      Outgoing& outgoing = batch.emplace_back();
      outgoing.data = entry.payload == none ? encoded.data() + entry.offset : payload[entry.payload].contiguous();
      outgoing.size = entry.size;
      outgoing.kind = static_cast<std::uint8_t>(entry.kind);
    }
    std::size_t done = 0;
    fine = deliver(batch.data(), batch.size(), done, deadline);
    for (const std::size_t end = put + done; put < end; ++put) {
      if (entries[put].payload != none) payload[entries[put].payload].was_put();
    }
  }
  if (fine) return nb::none();
  // Some may be in: say how many, so that the caller can go on with the rest.
  const nb::object error = take_exception();
  if (PyObject_SetAttrString(error.ptr(), "items_put", nb::int_(put).ptr()) != 0) PyErr_Clear();
  set_exception(error);
  return {};
}

}  // namespace conveyor::python
