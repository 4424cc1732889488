// Getting: copy out under the lock, decode after it.
#include <cstring>

#include "channel.hpp"
#include "errors.hpp"

namespace conveyor::python {
namespace {

// Sinks run under the consumers' lock, with the GIL: they only copy, and run no Python code.

// One message, on the stack.
struct OneSink {
  Kind kind = Kind::pickle;
  std::size_t size = 0;
  RunReference reference{no_page, 0, 0};
  std::byte data[inline_limit];

  bool message(std::uint8_t its_kind, const std::byte* from, std::size_t its_size) {
    if (its_size > inline_limit) return false;
    kind = static_cast<Kind>(its_kind);
    size = its_size;
    std::memcpy(data, from, its_size);
    return true;
  }
  bool run(std::uint8_t its_kind, const RunReference& its_reference) {
    kind = static_cast<Kind>(its_kind);
    reference = its_reference;
    return true;
  }
};

struct ManySink {
  struct Entry {
    Kind kind;
    std::size_t offset, size;
    RunReference reference;
  };
  std::vector<Entry> entries;
  Buffer data;

  bool message(std::uint8_t kind, const std::byte* from, std::size_t size) {
    entries.push_back({static_cast<Kind>(kind), data.size(), size, {no_page, 0, 0}});
    data.put(from, size);
    return true;
  }
  bool run(std::uint8_t kind, const RunReference& reference) {
    entries.push_back({static_cast<Kind>(kind), 0, 0, reference});
    return true;
  }
};

nb::object decode_inline(Kind kind, const std::byte* data, std::size_t size) {
  if (kind == Kind::native) return nb::steal(decode(data, size));
  nb::object bytes =
      nb::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(data), static_cast<Py_ssize_t>(size)));
  if (kind == Kind::bytes || !bytes.is_valid()) return bytes;
  return nb::steal(unpickle(bytes.ptr()));
}

}  // namespace

Channel::Next Channel::after_failed_take(Status status, const Deadline& deadline, Slices& slices) {
  switch (status) {
    case Status::empty: break;
    case Status::refused: raise("ConveyorError", "an item in the queue was refused"); return Next::stop;
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
  {
    const WithoutGil released;
    wait_for_item(deadline.at, slices);
  }
  if (PyErr_CheckSignals() != 0) {
    stream_.pass_on();
    return Next::stop;
  }
  return Next::retry;
}

template <class Sink>
bool Channel::take(std::size_t most, const Deadline& deadline, Sink& sink) {
  stream_.segment().note_getting();
  Patience patience(deadline);
  Slices slices;
  for (;;) {
    std::size_t done = 0;
    const Status status = stream_.take(most, sink, done);
    if (done > 0) return true;  // even before a damaged one: these are the caller's, the next call tells
    if (status == Status::busy) {
      const Nanoseconds portion = patience.portion();
      if (portion == 0) {
        raise_empty();
        return false;
      }
      {
        const WithoutGil released;
        stream_.await_consumers_lock(portion);
      }
      if (PyErr_CheckSignals() != 0) return false;
      continue;
    }
    if (after_failed_take(status, deadline, slices) == Next::stop) return false;
  }
}

nb::object Channel::decode_run(Kind kind, const RunReference& run) {
  const std::byte* const data = stream_.run_data(run);
  const auto size = static_cast<Py_ssize_t>(run.size);
  nb::object result;
  if (kind == Kind::bytes) {
    result = nb::steal(PyBytes_FromStringAndSize(nullptr, size));
    if (result.is_valid()) {
      const WithoutGil released;
      std::memcpy(PyBytes_AS_STRING(result.ptr()), data, run.size);
    }
  } else if (kind == Kind::native) {
    result = nb::steal(decode(data, run.size));
  } else if (const nb::object view = nb::steal(
                 PyMemoryView_FromMemory(const_cast<char*>(reinterpret_cast<const char*>(data)), size, PyBUF_READ));
             view.is_valid()) {
    result = nb::steal(unpickle(view.ptr()));
  }
  stream_.release(run);
  return result;
}

nb::object Channel::get(const Deadline& deadline) {
  OneSink sink;
  if (!take(1, deadline, sink)) return {};
  if (sink.reference.first != no_page) return decode_run(sink.kind, sink.reference);
  return decode_inline(sink.kind, sink.data, sink.size);
}

nb::object Channel::get_bytes(const Deadline& deadline) {
  OneSink sink;
  if (!take(1, deadline, sink)) return {};
  const bool inside = sink.reference.first == no_page;
  // What was sent as bytes, or pickled, is these bytes; the other encodings are turned into a pickle.
  const Kind kind = sink.kind == Kind::pickle ? Kind::bytes : sink.kind;
  nb::object object = inside ? decode_inline(kind, sink.data, sink.size) : decode_run(kind, sink.reference);
  if (sink.kind == Kind::pickle || !object.is_valid()) return object;
  Pickled pickled;
  if (!pickle(object.ptr(), pickled)) return {};
  nb::object bytes = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(pickled.size())));
  if (bytes.is_valid()) pickled.copy_to(reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes.ptr())));
  return bytes;
}

nb::object Channel::get_many(std::size_t most, const Deadline& deadline) {
  ManySink sink;
  if (!take(most, deadline, sink)) return {};
  nb::list items;
  nb::object failure;
  for (const ManySink::Entry& entry : sink.entries) {
    const nb::object item = entry.reference.first != no_page
                                ? decode_run(entry.kind, entry.reference)
                                : decode_inline(entry.kind, sink.data.data() + entry.offset, entry.size);
    if (item.is_valid()) {
      items.append(item);
      continue;
    }
    const nb::object error = take_exception();
    if (!failure.is_valid()) failure = error;
  }
  if (!failure.is_valid()) return items;
  // One could not be unpickled; the others are taken already and must not be lost.
  if (PyObject_SetAttrString(failure.ptr(), "items_received", items.ptr()) != 0) PyErr_Clear();
  set_exception(failure);
  return {};
}

}  // namespace conveyor::python
