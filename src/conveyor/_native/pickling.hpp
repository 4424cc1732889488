// Objects to bytes and back, by pickle protocol 5.
//
// multiprocessing pickles with ForkingPickler, a Python class whose construction alone costs more
// than pickling a small object. We keep C Picklers and use them again, with a dispatch table that
// looks where ForkingPickler looks: first its registered reducers, then copyreg's.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <vector>

namespace conveyor::python {

// The pickle of one object, as the pickler wrote it: usually one piece; a large bytes or bytearray
// is a piece of its own, the very object, not yet copied.
class Pickled {
 public:
  Pickled() = default;
  Pickled(Pickled&& other) noexcept
      : pieces_(std::move(other.pieces_)), size_(other.size_), joined_(std::move(other.joined_)) {}
  Pickled(const Pickled&) = delete;
  Pickled& operator=(const Pickled&) = delete;
  Pickled& operator=(Pickled&&) = delete;
  ~Pickled();

  bool add(PyObject* piece);  // false with a Python error set
  std::size_t size() const { return size_; }
  // All of it in a row; for small ones. Valid as long as this object.
  const std::byte* contiguous();
  // Needs no GIL: the pieces' buffers are held.
  void copy_to(std::byte* target) const;

 private:
  std::vector<Py_buffer> pieces_;
  std::size_t size_ = 0;
  std::vector<std::byte> joined_;
};

// False with a Python error set.
bool pickle(PyObject* object, Pickled& into);
// New reference, or null with a Python error set. `data`: anything with a buffer.
PyObject* unpickle(PyObject* data);

}  // namespace conveyor::python
