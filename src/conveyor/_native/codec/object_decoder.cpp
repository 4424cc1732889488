// Bytes to objects. They come from shared memory, or as plain data from anywhere, and may be damaged: each
// is looked at before it is believed.
#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../support/errors.hpp"
#include "decoder_shapes.hpp"
#include "instance_reading.hpp"
#include "object_codec.hpp"
#include "object_leaves.hpp"
#include "object_moments.hpp"
#include "object_ops.hpp"
#include "object_text.hpp"
#include "plain.hpp"
#include "text_cache.hpp"

namespace conveyor::python {
namespace {

// The integers 0 to 127: there is one of each.
PyObject* const* small_ints() {
  struct SmallInts {
    PyObject* numbers[0x100 - small_int];
    SmallInts() {
      for (int i = 0; i < 0x100 - small_int; ++i) numbers[i] = PyLong_FromLong(i);
    }
  };
  static const SmallInts* const all = new SmallInts;  // never destroyed: it would outlive the interpreter
  return all->numbers;
}

template <class Reading>
class Decoder {
  static constexpr bool plain = std::is_same_v<Reading, PlainReading>;
  static constexpr bool instances = std::is_same_v<Reading, InstanceReading>;
  static constexpr int most_depth = plain ? deepest_plain : deepest;

 public:
  template <class... Given>
  Decoder(const std::byte* data, std::size_t size, Given&&... given)
      : at_(data), end_(data + size), begin_(data), elements_left_(size), reading_{std::forward<Given>(given)...} {}
  Decoder(const Decoder&) = delete;
  ~Decoder() {
    for (int i = 0; i < shape_count_; ++i) release(shapes_[i]);
  }
  bool at_end() const { return at_ == end_; }

  // What is most often met is read where it is met: a call of `any_value` costs as much as these.
  [[gnu::always_inline]] PyObject* value(int depth) {
    if (at_ != end_ && depth <= most_depth) {
      const auto byte = static_cast<std::uint8_t>(*at_);
      if (byte >= small_int) return ++at_, Py_NewRef(small_ints()[byte - small_int]);
      if (byte == op_float) return ++at_, real();
      if ((byte & ~remembered) == op_ascii8) return short_text(depth);
    }
    return any_value(depth);
  }

  [[gnu::noinline]] PyObject* any_value(int depth) {
    if (at_ == end_ || depth > most_depth) return damaged();
    const auto byte = static_cast<std::uint8_t>(*at_++);
    if (byte >= small_int) return PyLong_FromLong(byte - small_int);
    const bool remember = (byte & remembered) != 0;
    if constexpr (plain) {
      if (remember && reading_.in_keys != 0 && (byte & ~remembered) > op_bytes32) return damaged();
    }
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
      case op_tuple8: return tuple(elements<std::uint8_t>(), remember, depth);
      case op_tuple32: return tuple(elements<std::uint32_t>(), remember, depth);
      case op_list8: return list(elements<std::uint8_t>(), remember, depth);
      case op_list32: return list(elements<std::uint32_t>(), remember, depth);
      case op_dict8: return dict(elements<std::uint8_t>(2), remember, depth);
      case op_dict32: return dict(elements<std::uint32_t>(2), remember, depth);
      case op_set: return set(elements<std::uint32_t>(), remember, true, depth);
      case op_frozenset: return set(elements<std::uint32_t>(), remember, false, depth);
      case op_reference: return reference(depth);
#define CONVEYOR_LEAF(name, number, size) case op_##name:
        CONVEYOR_LEAVES(CONVEYOR_LEAF)
#undef CONVEYOR_LEAF
        return noted(leaf(leaf_of(static_cast<std::uint8_t>(byte & ~remembered))), remember);
      default:
        if constexpr (plain) return plain_value(byte & ~remembered, remember, depth);
        if constexpr (instances) {
          if ((byte & ~remembered) == op_instance) return reading_.instance(*this, remember, depth);
        }
        return shape_value(byte & ~remembered, remember, depth);
    }
  }

  PyObject* damaged() {
    if (PyErr_Occurred() != nullptr) return nullptr;
    if constexpr (plain) {
      const std::string text =
          "no plain data: damaged before byte " + std::to_string(at_ - begin_) + " of " + std::to_string(end_ - begin_);
      raise("BadMessage", text.c_str());
    } else {
      raise("CorruptSegment", "an item in the queue is damaged and cannot be decoded");
    }
    return nullptr;
  }

 private:
  friend InstanceReading;

  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  // No further than what is left.
  const std::byte* skip(std::size_t size) { return std::exchange(at_, at_ + size); }

  // A length that at least as many bytes follow; -1: damaged. Each element takes a byte or more.
  template <class Number>
  Py_ssize_t length() {
    Number number;
    if (left() < sizeof number) return -1;
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    return number <= left() ? static_cast<Py_ssize_t>(number) : -1;
  }

  // Of a container. Together they announce no more elements than there are bytes, or nested lies would take memory.
  template <class Number>
  Py_ssize_t elements(Py_ssize_t bytes_of_each = 1) {
    const Py_ssize_t number = length<Number>();
    if (number < 0 || static_cast<std::size_t>(number) > elements_left_ / static_cast<std::size_t>(bytes_of_each))
      return -1;
    elements_left_ -= static_cast<std::size_t>(number * bytes_of_each);
    return number;
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
    PyObject* const made = make_ascii(at_, size);
    at_ += size;
    return made != nullptr ? made : damaged();
  }

  PyObject* wide(int kind, Py_ssize_t width) {
    const Py_ssize_t size = length<std::uint32_t>();
    if (size < 0 || static_cast<std::size_t>(size * width) > left()) return damaged();
    PyObject* const made = make_wide(at_, size, kind, width);
    at_ += size * width;
    return made != nullptr ? made : damaged();
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

  // A container is remembered before it is filled: it may hold itself. `fill` is false if it cannot be.
  template <class Fill>
  [[gnu::always_inline]] PyObject* container(PyObject* empty, bool remember, int depth, Fill fill) {
    PyObject* const made = noted(empty, remember);
    if (made == nullptr) return nullptr;
    if constexpr (!plain) {
      return fill(made) ? made : (Py_DECREF(made), nullptr);
    } else {
      const std::size_t number = count_ - 1;  // if it has one
      const int before = reading_.reach;
      reading_.reach = depth + 1;
      if (!fill(made)) return Py_DECREF(made), nullptr;
      if (remember) reading_.heights[number] = static_cast<std::uint16_t>(reading_.reach - depth);
      reading_.reach = std::max(before, reading_.reach);
      return made;
    }
  }

  PyObject* tuple(Py_ssize_t size, bool remember, int depth) {
    if (size < 0) return damaged();
    if constexpr (instances) return reading_.tuple(*this, size, remember, depth);
    return container(PyTuple_New(size), remember, depth, [&](PyObject* made) {
      open_[open_count_++] = made;
      for (Py_ssize_t i = 0; i < size; ++i) {
        PyObject* const item = value(depth + 1);
        if (item == nullptr) return false;
        PyTuple_SET_ITEM(made, i, item);
      }
      --open_count_;
      return true;
    });
  }

  PyObject* list(Py_ssize_t size, bool remember, int depth) {
    if (size < 0) return damaged();
    if constexpr (instances) return reading_.list(*this, size, remember, depth);
    return container(PyList_New(size), remember, depth, [&](PyObject* made) {
      for (Py_ssize_t i = 0; i < size; ++i) {
        PyObject* const item = value(depth + 1);
        if (item == nullptr) return false;
        PyList_SET_ITEM(made, i, item);
      }
      return true;
    });
  }

  PyObject* dict(Py_ssize_t size, bool remember, int depth) {
    if (size < 0) return damaged();
    if constexpr (instances) return reading_.dict(*this, size, remember, depth);
    return container(PyDict_New(), remember, depth, [&](PyObject* made) {
      for (Py_ssize_t i = 0; i < size; ++i) {
        if constexpr (plain) ++reading_.in_keys;
        PyObject* const key = dict_key(depth + 1);
        if constexpr (plain) --reading_.in_keys;
        PyObject* const item = key == nullptr ? nullptr : value(depth + 1);
        const bool stored = item != nullptr && PyDict_SetItem(made, key, item) == 0;
        Py_XDECREF(key);
        Py_XDECREF(item);
        // Met twice, the second key is gone again, though a reference may name it.
        if (!stored || PyDict_GET_SIZE(made) != i + 1) return refused();
      }
      return true;
    });
  }

  // Equal keys of different dicts may be one object, where unpickling makes one for each object put; nobody can change
  // a str.
  PyObject* dict_key(int depth) {
    static auto* const cache = new TextCache<32, 10>;  // never destroyed: it would outlive the interpreter
    if (at_ == end_ || (static_cast<std::uint8_t>(*at_) & ~remembered) != op_ascii8) return value(depth);
    return cached<false>(*cache, depth);
  }
  // As a value, a text is one object in different items only: within one it is there as often as it was put.
  [[gnu::noinline]] PyObject* short_text(int depth) {
    static auto* const cache = new TextCache<16, 8>;
    return cached<true>(*cache, depth);
  }
  template <bool once, class Cache>
  [[gnu::always_inline]] PyObject* cached(Cache& cache, int depth) {
    if (left() < 2) return any_value(depth);
    const auto size = static_cast<std::size_t>(at_[1]);
    if (size < 2 || size > Cache::longest || size > left() - 2) return any_value(depth);
    typename Cache::Slot& slot = cache.slot(at_ + 2, size);
    if (!Cache::holds(slot, at_ + 2, size)) {
      PyObject* const made = any_value(depth);
      if (made != nullptr) Cache::keep(slot, made, item_);
      return made;
    }
    if constexpr (once) {
      // Also by items that were read by code that ran meanwhile: they have later numbers.
      if (slot.used >= item_) return any_value(depth);
      slot.used = item_;
    }
    const bool remember = (static_cast<std::uint8_t>(*at_) & remembered) != 0;
    at_ += 2 + size;
    return noted(Py_NewRef(slot.text), remember);
  }

  // The values that the native encoding alone has.
  PyObject* shape_value(int op, bool remember, int depth) {
    switch (op) {
      case op_shape: return shaped(new_shape(), remember, depth);
      case op_shape_again: return shaped(known_shape(), remember, depth);
      case op_shape_key: {
        const DecoderShape* const shape = known_shape();
        if (shape == nullptr || at_ == end_) return damaged();
        const auto key = static_cast<std::size_t>(*at_++);
        return key < shape->keys.size() ? Py_NewRef(shape->keys[key]) : damaged();
      }
      default: return damaged();
    }
  }

  // Both: null if there is none, for which `shaped` sets the error.
  DecoderShape* new_shape() {
    static DecoderShapes* const cache = new DecoderShapes;  // never destroyed: it would outlive the interpreter
    const Py_ssize_t size = length<std::uint16_t>();
    DecoderShape* const shape =
        size < 0 || shape_count_ == most_shapes ? nullptr : cache->find(at_, static_cast<std::size_t>(size));
    if (shape == nullptr) return nullptr;
    at_ += size;
    return shapes_[shape_count_++] = shape;
  }
  DecoderShape* known_shape() {
    if (at_ == end_) return nullptr;
    const auto number = static_cast<int>(*at_++);
    return number < shape_count_ ? shapes_[number] : nullptr;
  }

  [[gnu::noinline]] PyObject* shaped(const DecoderShape* shape, bool remember, int depth) {
    if (shape == nullptr) return damaged();
    const std::size_t count = shape->keys.size();
    if (count > elements_left_) return damaged();
    elements_left_ -= count;
    if constexpr (instances) return reading_.shaped(*this, *shape, remember, depth);
    PyObject* made = nullptr;
    if (remember && (made = noted(PyDict_Copy(shape->model), true)) == nullptr) return nullptr;
    PyObject* values[most_keys];
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = value(depth + 1);
      if (values[i] != nullptr) continue;
      while (i > 0) Py_DECREF(values[--i]);
      Py_XDECREF(made);
      return nullptr;
    }
    return fill_shape(*shape, made, values);
  }

  PyObject* set(Py_ssize_t size, bool remember, bool is_mutable, int depth) {
    if (size < 0) return damaged();
    if constexpr (instances) return reading_.set(*this, size, remember, is_mutable, depth);
    return container(is_mutable ? PySet_New(nullptr) : PyFrozenSet_New(nullptr), remember, depth, [&](PyObject* made) {
      open_[open_count_++] = made;
      if constexpr (plain) ++reading_.in_keys;
      for (Py_ssize_t i = 0; i < size; ++i) {
        PyObject* const item = value(depth + 1);
        const bool stored = item != nullptr && PySet_Add(made, item) == 0;
        Py_XDECREF(item);
        // Met twice, the second is gone again, though a reference may name it.
        if (!stored || PySet_GET_SIZE(made) != i + 1) return refused();
      }
      if constexpr (plain) --reading_.in_keys;
      --open_count_;
      return true;
    });
  }

  // Sound bytes never have an unhashable key. Any other error is passed on: a UUID's hash is Python
  // code, in which a signal's handler may raise.
  bool refused() {
    if (PyErr_Occurred() != nullptr && PyErr_ExceptionMatches(PyExc_TypeError)) PyErr_Clear();
    damaged();
    return false;
  }

  PyObject* reference(int depth) {
    std::uint32_t number;
    if (left() < sizeof number) return damaged();
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    if constexpr (instances) {
      PyObject* const whole = reading_.held(number);
      return whole != nullptr ? Py_NewRef(whole) : damaged();
    }
    if (number >= count_) return damaged();
    PyObject* const known = number < few ? first_[number] : more_[number - few];
    // A tuple that is not filled yet must not be seen, and the encoder never writes such a reference.
    for (int i = 0; i < open_count_; ++i) {
      if (open_[i] == known) return damaged();
    }
    if constexpr (plain) {
      const int reach = depth + reading_.heights[number];
      if (reach > most_depth) return damaged();
      reading_.reach = std::max(reach, reading_.reach);
      if (reading_.in_keys != 0 && !PyUnicode_CheckExact(known) && !PyBytes_CheckExact(known)) return damaged();
    }
    return Py_NewRef(known);
  }

  // The values that only plain data has.
  PyObject* plain_value(int op, bool remember, int depth) {
    switch (op) {
      case op_bytearray: {
        const Py_ssize_t size = length<std::uint32_t>();
        if (size < 0) return damaged();
        PyObject* const made = PyByteArray_FromStringAndSize(reinterpret_cast<const char*>(at_), size);
        at_ += size;
        return noted(made, remember);
      }
      case op_decimal32: {
        const Py_ssize_t size = length<std::uint32_t>();
        if (size < 0) return damaged();
        PyObject* const made = read_leaf(leaf_decimal, at_, static_cast<std::size_t>(size));
        at_ += size;
        return made != nullptr ? noted(made, remember) : damaged();
      }
      case op_time_zone: return moment(leaf_time, remember, depth);
      case op_datetime_zone: return moment(leaf_datetime, remember, depth);
      case op_foreign: return foreign();
      default: return damaged();
    }
  }

  PyObject* moment(Leaf kind, bool remember, int depth) {
    const std::byte* const from = at_;
    if (!load(kind)) return nullptr;
    if (left() < size_of(kind)) return damaged();
    at_ += size_of(kind);
    // Remembered before its zone is read, as the encoder does it; but of a zone, which is foreign, nothing is noted.
    if (at_ == end_ || static_cast<std::uint8_t>(*at_) != op_foreign) return damaged();
    PyObject* const zone = value(depth);
    if (zone == nullptr) return nullptr;
    PyObject* const made = read_with_zone(kind, reinterpret_cast<const std::uint8_t*>(from), zone);
    Py_DECREF(zone);
    return made != nullptr ? noted(made, remember) : damaged();
  }

  PyObject* foreign() {
    std::uint32_t number;
    if (left() < sizeof number) return damaged();
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    if constexpr (plain) {
      if (reading_.foreign != nullptr && number < static_cast<std::size_t>(PyList_GET_SIZE(reading_.foreign)))
        return Py_NewRef(PyList_GET_ITEM(reading_.foreign, number));
    }
    return damaged();
  }

  [[gnu::always_inline]] PyObject* noted(PyObject* made, bool remember) {
    if constexpr (instances) return reading_.hold(made, remember);
    if (!remember || made == nullptr) return made;
    if (count_ < few) {
      first_[count_] = made;
    } else {
      more_.push_back(made);
    }
    ++count_;
    if constexpr (plain) reading_.heights.push_back(0);
    return made;
  }

  static constexpr std::size_t few = 32;
  const std::byte* at_;
  const std::byte* const end_;
  const std::byte* const begin_;
  std::size_t elements_left_;
  static inline std::uint64_t items_ = 0;  // guarded by the GIL
  const std::uint64_t item_ = ++items_;
  Reading reading_;
  // Borrowed: each is held by what it was put into, up to the root, which the caller holds.
  PyObject* first_[few];
  std::vector<PyObject*> more_;
  std::size_t count_ = 0;
  PyObject* open_[most_depth + 2];  // tuples and sets being filled
  int open_count_ = 0;
  DecoderShape* shapes_[most_shapes];  // that the item has named, in that order
  int shape_count_ = 0;
};

template <class Reading>
PyObject* decode_all(Decoder<Reading>&& decoder) {
  PyObject* const object = decoder.value(0);
  if (object == nullptr) return nullptr;
  if (decoder.at_end()) return object;
  foreign([object] { Py_DECREF(object); });
  return decoder.damaged();
}

}  // namespace

PyObject* decode(const std::byte* data, std::size_t size) { return decode_all(Decoder<NativeReading>(data, size)); }

PyObject* decode_instances(const std::byte* data, std::size_t size) {
  return decode_all(Decoder<InstanceReading>(data, size));
}

PyObject* decode_plain(const std::byte* data, std::size_t size, PyObject* foreign) {
  return decode_all(Decoder<PlainReading>(data, size, foreign, std::vector<std::uint16_t>()));
}

}  // namespace conveyor::python
