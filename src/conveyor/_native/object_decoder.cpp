// Bytes to objects. They come from shared memory and may be damaged: each is looked at before it is
// believed.
#include <algorithm>
#include <vector>

#include "errors.hpp"
#include "key_cache.hpp"
#include "object_codec.hpp"
#include "object_leaves.hpp"
#include "object_ops.hpp"

namespace conveyor::python {
namespace {

class Decoder {
 public:
  Decoder(const std::byte* data, std::size_t size) : at_(data), end_(data + size) {}
  bool at_end() const { return at_ == end_; }

  PyObject* value(int depth) {
    if (at_ == end_ || depth > deepest) return damaged();
    const auto byte = static_cast<std::uint8_t>(*at_++);
    if (byte >= small_int) return PyLong_FromLong(byte - small_int);
    const bool remember = (byte & remembered) != 0;
    switch (byte & ~remembered) {
      case op_none: return Py_NewRef(Py_None);
      case op_false: return Py_NewRef(Py_False);
      case op_true: return Py_NewRef(Py_True);
      case op_int8: return integer<std::int8_t>();
      case op_int32: return integer<std::int32_t>();
      case op_int64: return integer<std::int64_t>();
      case op_int_large: return large_integer();
      case op_float: return real();
      case op_ascii8: return noted(ascii(length<std::uint8_t>()), remember);
      case op_ascii32: return noted(ascii(length<std::uint32_t>()), remember);
      case op_latin1: return noted(wide(PyUnicode_1BYTE_KIND, 1), remember);
      case op_ucs2: return noted(wide(PyUnicode_2BYTE_KIND, 2), remember);
      case op_ucs4: return noted(wide(PyUnicode_4BYTE_KIND, 4), remember);
      case op_bytes8: return noted(bytes(length<std::uint8_t>()), remember);
      case op_bytes32: return noted(bytes(length<std::uint32_t>()), remember);
      case op_tuple8: return tuple(length<std::uint8_t>(), remember, depth);
      case op_tuple32: return tuple(length<std::uint32_t>(), remember, depth);
      case op_list8: return list(length<std::uint8_t>(), remember, depth);
      case op_list32: return list(length<std::uint32_t>(), remember, depth);
      case op_dict8: return dict(length<std::uint8_t>(), remember, depth);
      case op_dict32: return dict(length<std::uint32_t>(), remember, depth);
      case op_set: return set(length<std::uint32_t>(), remember, true, depth);
      case op_frozenset: return set(length<std::uint32_t>(), remember, false, depth);
      case op_reference: return reference();
      case op_complex:
      case op_date:
      case op_time:
      case op_datetime:
      case op_timedelta:
      case op_decimal:
      case op_uuid: return noted(leaf(leaf_of(static_cast<std::uint8_t>(byte & ~remembered))), remember);
      default: return damaged();
    }
  }

  PyObject* damaged() {
    if (PyErr_Occurred() == nullptr) raise("CorruptSegment", "an item in the queue is damaged and cannot be decoded");
    return nullptr;
  }

 private:
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  // A length that at least as many bytes follow; -1: damaged. Each element takes a byte or more.
  template <class Number>
  Py_ssize_t length() {
    Number number;
    if (left() < sizeof number) return -1;
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    return number <= left() ? static_cast<Py_ssize_t>(number) : -1;
  }

  template <class Number>
  PyObject* integer() {
    Number number;
    if (left() < sizeof number) return damaged();
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    return PyLong_FromLongLong(number);
  }

  PyObject* large_integer() {
    const Py_ssize_t size = length<std::uint32_t>();
    if (size < 0) return damaged();
    const auto* const from = reinterpret_cast<const unsigned char*>(at_);
    at_ += size;
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_FromNativeBytes(from, static_cast<std::size_t>(size), Py_ASNATIVEBYTES_LITTLE_ENDIAN);
#else
    return _PyLong_FromByteArray(from, static_cast<std::size_t>(size), 1, 1);
#endif
  }

  PyObject* real() {
    double number;
    if (left() < sizeof number) return damaged();
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    return PyFloat_FromDouble(number);
  }

  PyObject* ascii(Py_ssize_t size) {
    if (size < 0) return damaged();
    const auto* const from = reinterpret_cast<const unsigned char*>(at_);
    unsigned char all = 0;
    for (Py_ssize_t i = 0; i < size; ++i) all |= from[i];
    if (all >= 0x80) return damaged();
    if (size == 1)
      return PyUnicode_FromOrdinal(static_cast<unsigned char>(*at_++));  // as unpickling does: there is one of each
    PyObject* const made = PyUnicode_New(size, 127);
    if (made != nullptr && size > 0) std::memcpy(PyUnicode_DATA(made), from, static_cast<std::size_t>(size));
    at_ += size;
    return made;
  }

  PyObject* wide(int kind, Py_ssize_t width) {
    const Py_ssize_t size = length<std::uint32_t>();
    if (size < 0 || static_cast<std::size_t>(size * width) > left()) return damaged();
    // Into aligned memory of its own kind: the bytes here lie anywhere.
    std::vector<Py_UCS4> aligned(static_cast<std::size_t>(size * width) / 4 + 1);
    std::memcpy(aligned.data(), at_, static_cast<std::size_t>(size * width));
    at_ += size * width;
    if (width == 4 && std::any_of(aligned.begin(), aligned.begin() + size, [](Py_UCS4 c) { return c > 0x10FFFF; }))
      return damaged();
    return PyUnicode_FromKindAndData(kind, aligned.data(), size);
  }

  PyObject* bytes(Py_ssize_t size) {
    if (size < 0) return damaged();
    // Not made from the content at once: of one byte there would be one object, where unpickling makes two.
    PyObject* const made = PyBytes_FromStringAndSize(nullptr, size);
    if (made != nullptr && size > 0) std::memcpy(PyBytes_AS_STRING(made), at_, static_cast<std::size_t>(size));
    at_ += size;
    return made;
  }

  PyObject* leaf(Leaf kind) {
    std::size_t size = size_of(kind);
    if (left() < size) return damaged();
    if (kind == leaf_decimal) {
      size = static_cast<std::size_t>(*at_++);
      if (left() < size) return damaged();
    }
    PyObject* const made = read_leaf(kind, at_, size);
    at_ += size;
    return made != nullptr ? made : damaged();
  }

  // The containers are remembered before they are filled: they may hold themselves.
  PyObject* tuple(Py_ssize_t size, bool remember, int depth) {
    if (size < 0) return damaged();
    PyObject* const made = noted(PyTuple_New(size), remember);
    if (made == nullptr) return nullptr;
    open_[open_count_++] = made;
    for (Py_ssize_t i = 0; i < size; ++i) {
      PyObject* const item = value(depth + 1);
      if (item == nullptr) return Py_DECREF(made), nullptr;
      PyTuple_SET_ITEM(made, i, item);
    }
    --open_count_;
    return made;
  }

  PyObject* list(Py_ssize_t size, bool remember, int depth) {
    if (size < 0) return damaged();
    PyObject* const made = noted(PyList_New(size), remember);
    if (made == nullptr) return nullptr;
    for (Py_ssize_t i = 0; i < size; ++i) {
      PyObject* const item = value(depth + 1);
      if (item == nullptr) return Py_DECREF(made), nullptr;
      PyList_SET_ITEM(made, i, item);
    }
    return made;
  }

  PyObject* dict(Py_ssize_t size, bool remember, int depth) {
    if (size < 0) return damaged();
    PyObject* const made = noted(PyDict_New(), remember);
    if (made == nullptr) return nullptr;
    for (Py_ssize_t i = 0; i < size; ++i) {
      PyObject* const key = dict_key(depth + 1);
      PyObject* const item = key == nullptr ? nullptr : value(depth + 1);
      const bool stored = item != nullptr && PyDict_SetItem(made, key, item) == 0;
      Py_XDECREF(key);
      Py_XDECREF(item);
      // Met twice, the second key is gone again, though a reference may name it.
      if (!stored || PyDict_GET_SIZE(made) != i + 1) return Py_DECREF(made), refused();
    }
    return made;
  }

  // Equal keys of different dicts may be one object, where unpickling makes one for each object put; nobody
  // can change a str.
  PyObject* dict_key(int depth) {
    static KeyCache* const cache = new KeyCache;  // never destroyed: it would outlive the interpreter
    if (left() < 2 || (static_cast<std::uint8_t>(*at_) & ~remembered) != op_ascii8) return value(depth);
    const auto size = static_cast<std::size_t>(at_[1]);
    if (size < 2 || size > KeyCache::longest || size > left() - 2) return value(depth);
    std::size_t place;
    PyObject* const known = cache->find(at_ + 2, size, place);
    if (known == nullptr) {
      PyObject* const made = value(depth);
      if (made != nullptr) cache->keep(place, made);
      return made;
    }
    const bool remember = (static_cast<std::uint8_t>(*at_) & remembered) != 0;
    at_ += 2 + size;
    return noted(Py_NewRef(known), remember);
  }

  PyObject* set(Py_ssize_t size, bool remember, bool is_mutable, int depth) {
    if (size < 0) return damaged();
    PyObject* const made = noted(is_mutable ? PySet_New(nullptr) : PyFrozenSet_New(nullptr), remember);
    if (made == nullptr) return nullptr;
    open_[open_count_++] = made;
    for (Py_ssize_t i = 0; i < size; ++i) {
      PyObject* const item = value(depth + 1);
      const bool stored = item != nullptr && PySet_Add(made, item) == 0;
      Py_XDECREF(item);
      // Met twice, the second is gone again, though a reference may name it.
      if (!stored || PySet_GET_SIZE(made) != i + 1) return Py_DECREF(made), refused();
    }
    --open_count_;
    return made;
  }

  // Sound bytes never have an unhashable key. Any other error is passed on: a UUID's hash is Python
  // code, in which a signal's handler may raise.
  PyObject* refused() {
    if (PyErr_Occurred() != nullptr && PyErr_ExceptionMatches(PyExc_TypeError)) PyErr_Clear();
    return damaged();
  }

  PyObject* reference() {
    std::uint32_t number;
    if (left() < sizeof number) return damaged();
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    if (number >= count_) return damaged();
    PyObject* const known = number < few ? first_[number] : more_[number - few];
    // A tuple that is not filled yet must not be seen, and the encoder never writes such a reference.
    for (int i = 0; i < open_count_; ++i) {
      if (open_[i] == known) return damaged();
    }
    return Py_NewRef(known);
  }

  PyObject* noted(PyObject* made, bool remember) {
    if (!remember || made == nullptr) return made;
    if (count_ < few) {
      first_[count_] = made;
    } else {
      more_.push_back(made);
    }
    ++count_;
    return made;
  }

  static constexpr std::size_t few = 32;
  const std::byte* at_;
  const std::byte* const end_;
  // Borrowed: each is held by what it was put into, up to the root, which the caller holds.
  PyObject* first_[few];
  std::vector<PyObject*> more_;
  std::size_t count_ = 0;
  PyObject* open_[deepest + 2];  // tuples and sets being filled
  int open_count_ = 0;
};

}  // namespace

PyObject* decode(const std::byte* data, std::size_t size) {
  Decoder decoder(data, size);
  PyObject* const object = decoder.value(0);
  if (object == nullptr) return nullptr;
  if (decoder.at_end()) return object;
  Py_DECREF(object);
  return decoder.damaged();
}

}  // namespace conveyor::python
