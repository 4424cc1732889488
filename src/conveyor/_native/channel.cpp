#include "channel.hpp"

#include <cerrno>
#include <cmath>
#include <poll.h>

#include "errors.hpp"

namespace conveyor::python {
namespace {

// How long a call that may not wait bears with a peer that was stopped while it held a lock.
constexpr Nanoseconds grace = 1'000'000'000;
// While a pipe waits for room it looks this often whether its reader still lives.
constexpr Nanoseconds peer_look = 50'000'000;

class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() { PyEval_RestoreThread(state_); }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

Nanoseconds left(const Deadline& deadline) {
  if (deadline.immediate) return grace;
  if (deadline.at == forever) return forever;
  const Nanoseconds rest = deadline.at - monotonic_now();
  return rest > 1 ? rest : 1;
}

// Copies each message into a bytes object. Runs under the consumers' lock, with the GIL: allocating
// bytes runs no Python code, bytes being nothing that the garbage collector looks at.
struct BytesSink {
  std::vector<Received>& into;
  bool message(std::uint8_t kind, const std::byte* data, std::size_t size) {
    PyObject* const bytes = PyBytes_FromStringAndSize(reinterpret_cast<const char*>(data), static_cast<Py_ssize_t>(size));
    if (bytes == nullptr) return false;
    into.push_back({kind, nb::steal(bytes), {no_page, 0, 0}});
    return true;
  }
  bool run(std::uint8_t kind, const RunReference& reference) {
    into.push_back({kind, {}, reference});
    return true;
  }
};

}  // namespace

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

// ---- putting -----------------------------------------------------------------------------------

bool Channel::peer_gone() const {
  if (pipe_fd_ < 0) return false;
  pollfd look{pipe_fd_, 0, 0};
  return poll(&look, 1, 0) > 0 && (look.revents & (POLLERR | POLLHUP)) != 0;
}

Channel::Next Channel::after_failed_put(Status status, const Outgoing& item, const Deadline& deadline) {
  switch (status) {
    case Status::busy:
      if (!deadline.immediate && !deadline.passed()) return PyErr_CheckSignals() == 0 ? Next::retry : Next::stop;
      raise_full("the producers' lock was not free in time: a producer is stopped (SIGSTOP?) inside put");
      return Next::stop;
    case Status::interrupted: return PyErr_CheckSignals() == 0 ? Next::retry : Next::stop;
    case Status::full: break;
    default: raise_status(status, stream_.segment(), item.payload()); return Next::stop;
  }
  if (deadline.passed()) {
    raise_full();
    return Next::stop;
  }
  Waited waited;
  {
    const WithoutGil released;
    Nanoseconds until = deadline.at;
    if (pipe_fd_ >= 0) until = std::min(until, monotonic_now() + peer_look);
    waited = stream_.wait_not_full(item.payload(), until);
  }
  if (waited == Waited::interrupted && PyErr_CheckSignals() != 0) {
    stream_.pass_on();
    return Next::stop;
  }
  if (pipe_fd_ >= 0 && peer_gone()) {
    errno = EPIPE;
    PyErr_SetFromErrno(PyExc_OSError);
    return Next::stop;
  }
  return Next::retry;
}

bool Channel::deliver(const Outgoing* items, std::size_t count, std::size_t& done, const Deadline& deadline) {
  stream_.segment().note_putting();
  while (done < count) {
    std::size_t more = 0;
    Status status = stream_.put(items + done, count - done, more, 0);
    if (status == Status::busy) {
      const WithoutGil released;
      status = stream_.put(items + done, count - done, more, left(deadline));
    }
    done += more;
    if (status != Status::ok && after_failed_put(status, items[done], deadline) == Next::stop) return false;
  }
  return true;
}

bool Channel::deliver(Pickled& item, const Deadline& deadline) {
  if (pipe_fd_ >= 0 && peer_gone()) {
    errno = EPIPE;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  std::size_t done = 0;
  Outgoing outgoing;
  if (item.size() <= inline_limit) {
    outgoing.data = item.contiguous();
    outgoing.size = item.size();
    return deliver(&outgoing, 1, done, deadline);
  }
  const Header& header = stream_.segment().header();
  outgoing.size = item.size();
  if (item.size() > header.max_bytes && header.soft_bound == 0) {
    raise_status(Status::too_large, stream_.segment(), item.size());
    return false;
  }
  // No memory is taken for it before there is room: many blocked producers must not exceed the bound.
  while (!stream_.has_room(item.size())) {
    if (after_failed_put(Status::full, outgoing, deadline) == Next::stop) return false;
  }
  stream_.segment().note_putting();
  Pool::Allocation got;
  {
    const WithoutGil released;
    got = stream_.allocate_run(item.size(), outgoing.run);
    if (got.first != no_page) item.copy_to(stream_.run_data(outgoing.run));
  }
  if (got.first == no_page) {
    raise_status(Status::no_memory, stream_.segment(), item.size());
    return false;
  }
  if (deliver(&outgoing, 1, done, deadline)) return true;
  stream_.release(outgoing.run);
  return false;
}

// concurrent.futures overrides _on_queue_feeder_error to learn of items that cannot be pickled, and
// expects put to return. Whoever does not override it gets the error from put itself.
bool Channel::handle_pickling_error(nb::handle self, nb::handle item) {
  PyObject* const error = [] {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != nullptr) PyException_SetTraceback(value, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
  }();
  const nb::object held = nb::steal(error);
  const nb::object hook = nb::steal(PyObject_GetAttrString(self.ptr(), "_on_queue_feeder_error"));
  const nb::object plain = nb::steal(PyObject_GetAttrString(self.ptr(), "_raise_in_put"));
  PyErr_Clear();
  const bool overridden = hook.is_valid() && plain.is_valid() && hook.ptr() != plain.ptr();
  if (!overridden || PyErr_GivenExceptionMatches(error, PyExc_Exception) == 0) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error)), error);
    return false;
  }
  const nb::object result = nb::steal(PyObject_CallFunctionObjArgs(hook.ptr(), error, item.ptr(), nullptr));
  return result.is_valid();
}

nb::object Channel::put(nb::handle self, nb::handle item, const Deadline& deadline) {
  Pickled pickled;
  if (!pickle(item.ptr(), pickled)) {
    if (!handle_pickling_error(self, item)) return {};
    return nb::none();
  }
  if (!deliver(pickled, deadline)) return {};
  return nb::none();
}

nb::object Channel::put_bytes(nb::handle data, const Deadline& deadline) {
  Pickled raw;
  if (!raw.add(data.ptr()) || !deliver(raw, deadline)) return {};
  return nb::none();
}

nb::object Channel::put_many(nb::handle self, nb::handle items, const Deadline& deadline) {
  // All are pickled before any is put: an item that cannot be leaves the queue as it was.
  std::vector<Pickled> pickled;
  const nb::object iterator = nb::steal(PyObject_GetIter(items.ptr()));
  if (!iterator.is_valid()) return {};
  while (PyObject* const next = PyIter_Next(iterator.ptr())) {
    const nb::object item = nb::steal(next);
    pickled.emplace_back();
    if (pickle(next, pickled.back())) continue;
    pickled.pop_back();
    if (!handle_pickling_error(self, item)) return {};
  }
  if (PyErr_Occurred() != nullptr) return {};

  std::vector<Outgoing> batch;
  std::size_t put = 0;
  bool fine = true;
  while (fine && put < pickled.size()) {
    if (pickled[put].size() > inline_limit) {
      fine = deliver(pickled[put], deadline);
      if (fine) ++put;
      continue;
    }
    batch.clear();
    for (std::size_t i = put; i < pickled.size() && pickled[i].size() <= inline_limit; ++i) {
      Outgoing& outgoing = batch.emplace_back();
      outgoing.data = pickled[i].contiguous();
      outgoing.size = pickled[i].size();
    }
    std::size_t done = 0;
    fine = deliver(batch.data(), batch.size(), done, deadline);
    put += done;
  }
  if (fine) return nb::none();
  // Some may be in: say how many, so that the caller can go on with the rest.
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  const nb::object count = nb::int_(put);
  if (value != nullptr && PyObject_SetAttrString(value, "items_put", count.ptr()) != 0) PyErr_Clear();
  PyErr_Restore(type, value, trace);
  return {};
}

// ---- getting -----------------------------------------------------------------------------------

// Sleeps until there may be an item; a pipe sleeps in poll, which also tells when its peer goes.
Waited Channel::wait_for_item(Nanoseconds deadline) {
  if (pipe_fd_ < 0) return stream_.wait_not_empty(deadline);
  if (stream_.spin_for_item()) return Waited::again;
  for (;;) {
    int milliseconds = -1;
    if (deadline != forever) {
      const Nanoseconds rest = deadline - monotonic_now();
      if (rest <= 0) return Waited::timed_out;
      milliseconds = static_cast<int>(std::min<Nanoseconds>(rest / 1'000'000 + 1, 60'000));
    }
    pollfd look{pipe_fd_, POLLIN, 0};
    const int found = poll(&look, 1, milliseconds);
    if (found < 0 && errno == EINTR) return Waited::interrupted;
    if (found != 0 || !stream_.empty()) return Waited::again;
  }
}

Channel::Next Channel::after_failed_take(Status status, const Deadline& deadline) {
  switch (status) {
    case Status::busy: {
      {
        const WithoutGil released;
        stream_.await_consumers_lock(left(deadline));
      }
      if (PyErr_CheckSignals() != 0) return Next::stop;
      return Next::retry;
    }
    case Status::interrupted: return PyErr_CheckSignals() == 0 ? Next::retry : Next::stop;
    case Status::empty: break;
    case Status::refused: return Next::stop;  // no memory for the bytes object: its error is set
    default: raise_status(status, stream_.segment(), 0); return Next::stop;
  }
  if (!stream_.settled_empty()) return Next::retry;
  if (pipe_fd_ >= 0 && peer_gone() && stream_.empty()) {
    PyErr_SetNone(PyExc_EOFError);
    return Next::stop;
  }
  if (deadline.passed()) {
    raise_empty();
    return Next::stop;
  }
  Waited waited;
  {
    const WithoutGil released;
    waited = wait_for_item(deadline.at);
  }
  if (waited == Waited::interrupted && PyErr_CheckSignals() != 0) {
    stream_.pass_on();
    return Next::stop;
  }
  return Next::retry;
}

bool Channel::take(std::size_t most, const Deadline& deadline, std::vector<Received>& into) {
  stream_.segment().note_getting();
  BytesSink sink{into};
  const Nanoseconds patience_ends = deadline.immediate ? monotonic_now() + grace : deadline.at;
  for (;;) {
    std::size_t done = 0;
    const Status status = stream_.take(most, sink, done);
    if (status == Status::ok) return true;
    if (done > 0) return true;  // some before a damaged one: they are the caller's, the next call tells
    if (status == Status::busy && monotonic_now() >= patience_ends) {
      raise_empty();
      return false;
    }
    if (after_failed_take(status, deadline) == Next::stop) return false;
  }
}

nb::object Channel::decode(Received& message) {
  if (message.run.first == no_page) return nb::steal(unpickle(message.bytes.ptr()));
  const nb::object view = nb::steal(PyMemoryView_FromMemory(reinterpret_cast<char*>(stream_.run_data(message.run)),
                                                            static_cast<Py_ssize_t>(message.run.size), PyBUF_READ));
  nb::object result;
  if (view.is_valid()) result = nb::steal(unpickle(view.ptr()));
  stream_.release(message.run);
  return result;
}

nb::object Channel::get(const Deadline& deadline) {
  std::vector<Received> received;
  if (!take(1, deadline, received)) return {};
  return decode(received[0]);
}

nb::object Channel::get_bytes(const Deadline& deadline) {
  std::vector<Received> received;
  if (!take(1, deadline, received)) return {};
  Received& message = received[0];
  if (message.run.first == no_page) return std::move(message.bytes);
  nb::object bytes = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(message.run.size)));
  if (bytes.is_valid()) {
    const WithoutGil released;
    std::memcpy(PyBytes_AS_STRING(bytes.ptr()), stream_.run_data(message.run), message.run.size);
  }
  stream_.release(message.run);
  return bytes;
}

nb::object Channel::get_many(std::size_t most, const Deadline& deadline) {
  std::vector<Received> received;
  if (!take(most, deadline, received)) return {};
  nb::list items;
  nb::object failure;
  for (Received& message : received) {
    const nb::object item = decode(message);
    if (item.is_valid()) {
      items.append(item);
      continue;
    }
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value != nullptr && trace != nullptr) PyException_SetTraceback(value, trace);
    if (!failure.is_valid()) failure = nb::borrow(value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
  }
  if (!failure.is_valid()) return items;
  // One could not be unpickled; the others are taken already and must not be lost.
  if (PyObject_SetAttrString(failure.ptr(), "items_received", items.ptr()) != 0) PyErr_Clear();
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(failure.ptr())), failure.ptr());
  return {};
}

nb::object Channel::wait_item(const Deadline& deadline) {
  for (;;) {
    if (!stream_.settled_empty()) return nb::bool_(true);
    if (pipe_fd_ >= 0 && peer_gone()) return nb::bool_(true);  // EOF is something to receive
    if (deadline.passed()) return nb::bool_(false);
    Waited waited;
    {
      const WithoutGil released;
      waited = wait_for_item(deadline.at);
    }
    if (waited == Waited::interrupted && PyErr_CheckSignals() != 0) return {};
  }
}

nb::object Channel::wait_tasks(const Deadline& deadline) {
  for (;;) {
    if (stream_.all_tasks_done()) return nb::bool_(true);
    if (deadline.passed()) return nb::bool_(false);
    Waited waited;
    {
      const WithoutGil released;
      waited = stream_.wait_all_tasks_done(deadline.at);
    }
    if (waited == Waited::interrupted && PyErr_CheckSignals() != 0) return {};
  }
}

}  // namespace conveyor::python
