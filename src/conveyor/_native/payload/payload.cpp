#include "payload.hpp"

#include <utility>

namespace conveyor::python {

Payload::Payload(Payload&& other) noexcept
    : kind(other.kind),
      codec(other.codec),
      target(other.target),
      for_topic(other.for_topic),
      copies_devices(other.copies_devices),
      may_be_unput(other.may_be_unput),
      pieces_(std::move(other.pieces_)),
      sources_(std::move(other.sources_)),
      head_size_(other.head_size_),
      joined_(std::move(other.joined_)),
      unless_put_(std::move(other.unless_put_)) {}

Payload::~Payload() { clear(); }

void Payload::clear() {
  for (Py_buffer& piece : pieces_) foreign([&] { PyBuffer_Release(&piece); });
  for (Source& source : sources_) {
    if (!source.writer.is_valid()) foreign([&] { PyBuffer_Release(&source.view); });
  }
  pieces_.clear();
  sources_.clear();
  head_size_ = 0;
  if (unless_put_.is_valid()) take_back();
}

void Payload::take_back() {
  const nb::object all = std::move(unless_put_);
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(all.ptr()); ++i) {
    const nb::object each = nb::borrow(PyList_GET_ITEM(all.ptr(), i));
    if (call(each).is_valid()) continue;
    if (PyErr_ExceptionMatches(PyExc_Exception) != 0) {
      foreign([&] { PyErr_WriteUnraisable(each.ptr()); });
      continue;
    }
    // Ctrl-C, or the like.
    for (PyObject* const part : {type, value, trace}) foreign([&] { Py_XDECREF(part); });
    PyErr_Fetch(&type, &value, &trace);
  }
  PyErr_Restore(type, value, trace);
}

bool Payload::add(PyObject* piece) {
  Py_buffer view;
  if (foreign([&] { return PyObject_GetBuffer(piece, &view, PyBUF_SIMPLE); }) != 0) return false;
  pieces_.push_back(view);
  head_size_ += static_cast<std::size_t>(view.len);
  return true;
}

void Payload::add_buffer(const Py_buffer& view) { sources_.push_back({view, {}}); }

bool Payload::add_source(nb::handle source) {
  Source made{};
  const nb::object write = attribute(source, "write_into");
  if (!write.is_valid()) {
    PyErr_Clear();
    if (foreign([&] { return PyObject_GetBuffer(source.ptr(), &made.view, PyBUF_SIMPLE); }) != 0) return false;
  } else {
    const nb::object size = attribute(source, "nbytes");
    if (!size.is_valid()) return false;
    made.view.len = foreign([&] { return PyNumber_AsSsize_t(size.ptr(), PyExc_OverflowError); });
    if (made.view.len == -1 && PyErr_Occurred() != nullptr) return false;
    if (made.view.len < 0) {
      raise_format(PyExc_ValueError, "nbytes of %R is %zd; it must be at least 0", source.ptr(), made.view.len);
      return false;
    }
    made.writer = write;
  }
  sources_.push_back(std::move(made));
  return true;
}

const std::byte* Payload::contiguous() {
  if (pieces_.size() == 1) return static_cast<const std::byte*>(pieces_[0].buf);
  joined_.resize(head_size_);
  copy_head(joined_.data());
  return joined_.data();
}

void Payload::copy_head(std::byte* target) const {
  for (const Py_buffer& piece : pieces_) {
    copy_bytes(target, piece.buf, static_cast<std::size_t>(piece.len));
    target += piece.len;
  }
}

}  // namespace conveyor::python
