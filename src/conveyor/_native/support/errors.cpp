#include "errors.hpp"

#include <cerrno>
#include <string>

namespace conveyor::python {
namespace {

nb::object named(const char* module, const char* name) {
  const nb::object found = import_module(module);
  return found.is_valid() ? attribute(found, name) : nb::object();
}

}  // namespace

nb::object error_type(const char* name) { return named("conveyor.errors", name); }

nb::object raise(const char* name, const char* text) {
  // From 3.12 on the exception is made at once.
  if (const nb::object type = error_type(name); type.is_valid()) foreign([&] { PyErr_SetString(type.ptr(), text); });
  return {};
}

nb::object raise_empty() {
  // Kept for the life of the process. No static initialiser: the import may let other threads run.
  static PyObject* type = nullptr;
  if (type == nullptr) type = named("queue", "Empty").release().ptr();
  if (type != nullptr) PyErr_SetNone(type);
  return {};
}

nb::object raise_full(const char* text, std::uint64_t needed) {
  static PyObject* type = nullptr;
  if (type == nullptr) type = named("queue", "Full").release().ptr();
  if (type == nullptr) return {};
  if (text == nullptr) {
    PyErr_SetNone(type);
  } else {
    PyErr_SetString(type, text);
  }
  if (needed != 0) {
    const nb::object error = take_exception();
    if (PyObject_SetAttrString(error.ptr(), "needed", nb::int_(needed).ptr()) != 0) PyErr_Clear();
    set_exception(error);
  }
  return {};
}

nb::object raise_no_producer(Status status) {
  if (status == Status::no_memory)
    return raise(
        "OutOfMemory",
        "no memory for another producer (see free memory, ulimit -v, the cgroup's limit, or the size of /dev/shm)");
  return raise("ConveyorError", ("at most " + std::to_string(producer_capacity) +
                                 " processes may be inside producing() at a time, and they are")
                                    .c_str());
}

nb::object raise_lost(const std::vector<LostProducer>& lost) {
  const LostProducer& one = lost.front();
  const nb::object signal = one.signal == 0 ? nb::none() : nb::object(nb::int_(one.signal));
  return raise_with("ProducerLost", nb::int_(one.pid), signal, nb::int_(one.items), nb::int_(lost.size() - 1));
}

nb::object raise_status(Status status, const Segment& segment, std::uint64_t payload) {
  const std::string size = std::to_string(payload);
  switch (status) {
    case Status::too_large:
      return raise("ItemTooLarge",
                   ("the item takes " + size + " bytes and can never fit: max_bytes is " +
                    std::to_string(segment.header().max_bytes) + "; raise max_bytes or send smaller items")
                       .c_str());
    case Status::no_memory: {
      const std::string what = payload == 0 ? "no memory to look at the queue's items, which stay where they are"
                                            : "no memory for an item of " + size + " bytes";
      return raise(
          "OutOfMemory",
          (what + " (the queue holds " + std::to_string(segment.memory_held()) +
           "; see free memory, ulimit -v, ulimit -f, the cgroup's limit, or the size of /dev/shm for a named queue)")
              .c_str());
    }
    case Status::too_many:
      return raise("TooManyLeases", ("as many items are leased as a queue can keep track of (" +
                                     std::to_string(lease_capacity(segment.page_count())) +
                                     ", failed ones that stay included); acknowledge or release some first")
                                        .c_str());
    case Status::shut_down: return raise("ShutDown", shut_down_text);
    case Status::crowded: return raise_no_producer(status);
    case Status::corrupt: return raise("CorruptSegment", "the queue's shared memory is damaged; make a new queue");
    default: return raise("ConveyorError", "unexpected state of the queue");
  }
}

void rethrow(const SegmentError& error) {
  switch (error.fault) {
    case Fault::memory: raise("OutOfMemory", error.what()); break;
    case Fault::corrupt: raise("CorruptSegment", error.what()); break;
    case Fault::version: raise("VersionMismatch", error.what()); break;
    case Fault::kind: raise("WrongKind", error.what()); break;
    default: {
      // OSError picks FileExistsError, FileNotFoundError or PermissionError by the number.
      PyObject* const arguments = Py_BuildValue("(is)", error.error == 0 ? EACCES : error.error, error.what());
      if (arguments != nullptr) PyErr_SetObject(PyExc_OSError, arguments);
      Py_XDECREF(arguments);
    }
  }
  throw nb::python_error();
}

nb::object take_exception() {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  foreign([&] { PyErr_NormalizeException(&type, &value, &trace); });
  if (value != nullptr && trace != nullptr) PyException_SetTraceback(value, trace);
  Py_XDECREF(type);
  Py_XDECREF(trace);
  return nb::steal(value);
}

void set_exception(const nb::object& error) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
}

void raise_unready(const Segment& segment) {
  const int error = errno;
  std::string text;
  switch (error) {
    case EMFILE:
    case ENFILE:
      text =
          "there is no descriptor left for this queue to be watched by, or there was none when the process was forked; "
          "raise ulimit -n";
      break;
    case ENOENT:
      text =
          "this queue cannot be watched: there is no /proc (mount -t proc proc /proc), and a FIFO instead can be made "
          "neither in /dev/shm nor in /tmp";
      break;
    case ELOOP:   // a symbolic link
    case EISDIR:  // a directory
    case ENXIO:   // a socket
    case ENODEV:
    case EEXIST:  // a file, or a FIFO that others may open
    case EPERM:
    case EACCES:
      if (!segment.name().empty()) {
        const std::string path = Segment::path_of(segment.name()) + ".ready";
        const bool theirs = error == EPERM || error == EACCES;
        text = path + ", by which queue '" + segment.name() + "' is watched, " +
               (theirs ? "belongs to another user, or is closed to this one" : "is no FIFO of conveyor's") +
               "; remove it, whatever it is";
        if (!theirs) {
          raise("CorruptSegment", text.c_str());
          throw nb::python_error();
        }
      }
      break;
    default: break;
  }
  if (text.empty()) {
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
  } else {
    const nb::object arguments = nb::make_tuple(error, text.c_str());
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
  }
  throw nb::python_error();
}

}  // namespace conveyor::python
