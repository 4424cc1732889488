#include "unreadable.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "../support/errors.hpp"

namespace conveyor::python {
namespace {

nb::object bytes_of(const Piece& piece) {
  return nb::steal(
      PyBytes_FromStringAndSize(reinterpret_cast<const char*>(piece.data), static_cast<Py_ssize_t>(piece.size)));
}

// Some exceptions take no attributes; then they go without.
void set(const nb::object& error, const char* name, const nb::object& value) {
  PyObject* const what = value.is_valid() ? value.ptr() : Py_None;
  if (foreign([&] { return PyObject_SetAttrString(error.ptr(), name, what); }) != 0) PyErr_Clear();
}

void add_note(const nb::object& error, std::uint32_t sender, std::uint64_t size) {
  const nb::object who = nb::steal(sender == 0 ? PyUnicode_FromString("it is not known who sent it")
                                               : PyUnicode_FromFormat("process %u sent it", sender));
  const nb::object note = nb::steal(PyUnicode_FromFormat(
      "The item could not be read: %U; its %llu bytes are in this exception's `raw` and `buffers`.", who.ptr(),
      static_cast<unsigned long long>(size)));
  if (!note.is_valid() || !call_method(error, "add_note", note).is_valid()) PyErr_Clear();
}

// What tells the loops of a queue's users that nothing was taken, or that there is no more.
bool ends_loops(const nb::object& error) {
  if (PyErr_GivenExceptionMatches(error.ptr(), PyExc_StopIteration) ||
      PyErr_GivenExceptionMatches(error.ptr(), PyExc_StopAsyncIteration))
    return true;
  const nb::object errors = import_module("conveyor.errors");
  for (const char* const name : {"Empty", "Full", "ShutDown"}) {
    const nb::object type = errors.is_valid() ? attribute(errors, name) : nb::object();
    if (type.is_valid() && PyErr_GivenExceptionMatches(error.ptr(), type.ptr())) return true;
  }
  PyErr_Clear();
  return false;
}

// As Python does with StopIteration in a generator: an item was taken, and more may come, so the error of reading it is not to
// be mistaken for that of the queue.
nb::object outspoken(nb::object error) {
  if (!ends_loops(error)) return error;
  const nb::object text = nb::steal(foreign([&] { return PyObject_Str(error.ptr()); }));
  PyErr_Clear();
  PyErr_Format(PyExc_RuntimeError, "reading the item raised %s%s%V", Py_TYPE(error.ptr())->tp_name,
               text.is_valid() && PyUnicode_GET_LENGTH(text.ptr()) > 0 ? ": " : "", text.ptr(), "");
  nb::object instead = take_exception();
  PyException_SetCause(instead.ptr(), error.release().ptr());
  return instead;
}

}  // namespace

nb::object pickle_of_instances(const Piece& piece) {
  constexpr std::string_view before =
      "\x80\x04"
      "cconveyor._native\n_decode_instances\n\x8e";  // GLOBAL, BINBYTES8
  constexpr std::string_view after = "\x85R.";         // TUPLE1, REDUCE, STOP
  const std::size_t all = before.size() + sizeof piece.size + piece.size + after.size();
  nb::object made = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(all)));
  if (!made.is_valid()) return {};
  char* at = PyBytes_AS_STRING(made.ptr());
  at = std::copy(before.begin(), before.end(), at);
  std::memcpy(at, &piece.size, sizeof piece.size);
  at += sizeof piece.size;
  copy_bytes(at, piece.data, piece.size);
  std::copy(after.begin(), after.end(), at + piece.size);
  return made;
}

void keep_bytes(std::uint32_t sender, Kind kind, const Piece& head, const std::vector<Piece>& buffers) {
  const nb::object error = outspoken(take_exception());
  std::uint64_t size = head.size;
  nb::object raw = kind == Kind::instances ? pickle_of_instances(head) : bytes_of(head);
  nb::object beside = nb::steal(PyList_New(0));
  for (const Piece& each : buffers) {
    size += each.size;
    const nb::object copy = raw.is_valid() && beside.is_valid() ? bytes_of(each) : nb::object();
    if (!copy.is_valid() || PyList_Append(beside.ptr(), copy.ptr()) != 0) raw.reset();
  }
  PyErr_Clear();
  set(error, "raw", raw);
  set(error, "buffers", beside);
  set(error, "producer_pid", sender == 0 ? nb::object() : nb::object(nb::int_(sender)));
  add_note(error, sender, size);
  set_exception(error);
}

void Unheard::add(nb::object error) {
  if (generation_ != fork_generation()) errors_.clear();
  generation_ = fork_generation();
  errors_.push_back(std::move(error));
}

bool Unheard::raise() {
  if (generation_ != fork_generation()) errors_.clear();
  if (errors_.empty()) return false;
  const nb::object first = std::move(errors_.front());
  errors_.erase(errors_.begin());
  set_exception(first);
  return true;
}

void Unheard::give_up() {
  if (generation_ != fork_generation()) errors_.clear();
  if (errors_.empty()) return;
  const nb::object pending = take_exception();
  const nb::str where("a get_many that met an item it could not read; no later call came to raise this");
  for (const nb::object& error : std::exchange(errors_, {})) {
    set_exception(error);
    foreign([&] { PyErr_WriteUnraisable(where.ptr()); });
  }
  if (pending.is_valid()) set_exception(pending);
}

}  // namespace conveyor::python
