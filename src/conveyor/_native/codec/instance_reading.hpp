// The decoder's way for items with instances of classes: making those runs Python code, which may look at everything
// that it can reach, change it, and let go of it.
//
// So, as in pickle: values are gathered on a stack of our own until all of a container's, or of a batch of them, are
// there; a tuple or frozenset is made when it can be whole; and what a reference may name is held until the end.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "../support/gil.hpp"
#include "decoder_shapes.hpp"
#include "instance_layout.hpp"

namespace conveyor::python {

// A row that lies inside as long as it is short.
template <class Value, std::size_t few>
class Row {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  Row() = default;
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  void push(Value value) {
    if (size_ == capacity_) grow();
    data_[size_++] = value;
  }
  void cut(std::size_t size) { size_ = size; }
  std::size_t size() const { return size_; }
  Value* data() { return data_; }
  Value& operator[](std::size_t at) { return data_[at]; }
  const Value& operator[](std::size_t at) const { return data_[at]; }

 private:
  void grow() {
    std::unique_ptr<Value[]> larger(new Value[capacity_ * 2]);
    std::memcpy(larger.get(), data_, size_ * sizeof(Value));
    heap_ = std::move(larger);
    data_ = heap_.get();
    capacity_ *= 2;
  }

  std::unique_ptr<Value[]> heap_;
  std::size_t size_ = 0, capacity_ = few;
  Value small_[few];
  Value* data_ = small_;
};

class InstanceReading {
 public:
  InstanceReading() = default;
  ~InstanceReading() {
    foreign([this] {
      for (std::size_t i = stack_.size(); i > 0; --i) Py_DECREF(stack_[i - 1]);
      for (std::size_t i = 0; i < held_.size(); ++i) Py_XDECREF(held_[i]);
      for (std::size_t i = 0; i < known_.size(); ++i) Py_DECREF(reinterpret_cast<PyObject*>(known_[i].type));
    });
    for (std::size_t i = 0; i < known_.size(); ++i) let_go(known_[i].layout);
  }

  PyObject* hold(PyObject* made, bool remember) {
    if (remember && made != nullptr) held_.push(Py_NewRef(made));
    return made;
  }
  // Borrowed; null: there is none of this number, or it is not whole yet.
  PyObject* held(std::uint32_t number) const { return number < held_.size() ? held_[number] : nullptr; }

  // The values of these lie behind in the bytes; new reference, or null with an error set.
  template <class Bytes>
  PyObject* tuple(Bytes& in, Py_ssize_t size, bool remember, int depth) {
    const std::size_t number = reserve(remember);
    return gather(in, size, depth) ? fill(number, remember, take_tuple(size)) : nullptr;
  }

  template <class Bytes>
  PyObject* list(Bytes& in, Py_ssize_t size, bool remember, int depth) {
    return batches(in, hold(PyList_New(0), remember), size, [&](PyObject* made, Py_ssize_t some) {
      return gather(in, some, depth) &&
             put(some, [made](PyObject* const* value) { return PyList_Append(made, *value); });
    });
  }

  template <class Bytes>
  PyObject* dict(Bytes& in, Py_ssize_t size, bool remember, int depth) {
    return batches(in, hold(PyDict_New(), remember), size, [&](PyObject* made, Py_ssize_t some) {
      for (Py_ssize_t i = 0; i < some; ++i) {
        if (!push(in.dict_key(depth + 1)) || !push(in.value(depth + 1))) return false;
      }
      return put(2 * some, [made](PyObject* const* pair) { return PyDict_SetItem(made, pair[0], pair[1]); }, 2);
    });
  }

  // One that a reference may name is there before its values: empty until then, as pickle has it.
  template <class Bytes>
  PyObject* shaped(Bytes& in, const DecoderShape& shape, bool remember, int depth) {
    const std::size_t count = shape.keys.size();
    PyObject* const made = remember ? hold(PyDict_New(), true) : nullptr;
    if (remember && made == nullptr) return nullptr;
    if (!gather(in, static_cast<Py_ssize_t>(count), depth)) return made == nullptr ? nullptr : release(made);
    const std::size_t first = stack_.size() - count;
    if (made == nullptr) {
      stack_.cut(first);
      return foreign([&shape, values = stack_.data() + first] { return fill_shape(shape, nullptr, values); });
    }
    for (std::size_t i = 0; i < count; ++i) {
      PyObject* const key = shape.keys[i];
      if (foreign([=, value = stack_[first + i]] { return PyDict_SetItem(made, key, value); }) != 0)
        return release(made);
    }
    return drop(first), made;
  }

  template <class Bytes>
  PyObject* set(Bytes& in, Py_ssize_t size, bool remember, bool is_mutable, int depth) {
    if (is_mutable) {
      return batches(in, hold(PySet_New(nullptr), remember), size, [&](PyObject* made, Py_ssize_t some) {
        return gather(in, some, depth) && put(some, [made](PyObject* const* value) { return PySet_Add(made, *value); });
      });
    }
    const std::size_t number = reserve(remember);
    if (!gather(in, size, depth)) return nullptr;
    nb::object made = nb::steal(take_tuple(size));
    const Last gone(made);
    return made.is_valid() ? fill(number, remember, foreign([all = made.ptr()] { return PyFrozenSet_New(all); }))
                           : nullptr;
  }

  template <class Bytes>
  PyObject* instance(Bytes& in, bool remember, int depth) {
    std::uint32_t number;
    if (!read_number(in, number) || number > known_.size() || (number == known_.size() && !define(in)))
      return in.damaged();
    const InstanceLayout& layout = *known_[number].layout;  // both stay as long as this
    PyTypeObject* const type = known_[number].type;
    PyObject* made;
    if (layout.form == InstanceForm::plain) {
      static PyObject* const none = PyTuple_New(0);
      made = hold(make_instance(type, none), remember);
    } else {
      const std::size_t place = reserve(remember);
      std::uint32_t size;
      if (!read_number(in, size) || size > in.left()) return in.damaged();
      if (!gather(in, static_cast<Py_ssize_t>(size), depth)) return nullptr;
      nb::object arguments = nb::steal(take_tuple(static_cast<Py_ssize_t>(size)));
      const Last gone(arguments);
      if (arguments.is_valid() && layout.form == InstanceForm::tuple)
        arguments = nb::steal(PyTuple_Pack(1, arguments.ptr()));
      made = arguments.is_valid() ? fill(place, remember, make_instance(type, arguments.ptr())) : nullptr;
    }
    if (made == nullptr || layout.names.empty()) return made;
    const auto count = static_cast<Py_ssize_t>(layout.names.size());
    if (gather(in, count, depth) && set_state(made, type, layout, stack_.data() + stack_.size() - count))
      return drop(stack_.size() - layout.names.size()), made;
    return release(made);
  }

 private:
  struct Known {
    InstanceLayout* layout;
    PyTypeObject* type;
  };
  // So many are put in at a time, as pickle does: code that runs meanwhile sees the container with those before.
  static constexpr Py_ssize_t batch = 1000;

  bool push(PyObject* value) {
    if (value == nullptr) return false;
    stack_.push(value);
    return true;
  }
  void drop(std::size_t size) {
    foreign([this, size] {
      while (stack_.size() > size) {
        PyObject* const gone = stack_[stack_.size() - 1];
        stack_.cut(stack_.size() - 1);
        Py_DECREF(gone);
      }
    });
  }
  static PyObject* release(PyObject* made) {
    foreign([made] { Py_DECREF(made); });
    return nullptr;
  }

  template <class Bytes>
  bool gather(Bytes& in, Py_ssize_t count, int depth) {
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (!push(in.value(depth + 1))) return false;
    }
    return true;
  }

  template <class Bytes, class Batch>
  static PyObject* batches(Bytes&, PyObject* made, Py_ssize_t size, Batch each) {
    if (made == nullptr) return nullptr;
    for (Py_ssize_t left = size; left > 0; left -= batch) {
      if (!each(made, std::min(left, batch))) return release(made);
    }
    return made;
  }

  // The last values of the stack, `step` at a time, into the container that they are for.
  template <class Into>
  bool put(Py_ssize_t count, Into into, Py_ssize_t step = 1) {
    const std::size_t first = stack_.size() - static_cast<std::size_t>(count);
    for (Py_ssize_t i = 0; i < count; i += step) {
      // Where they lie may change: hashing runs Python code, but nothing that pushes here.
      if (foreign([&, at = stack_.data() + first + i] { return into(at); }) != 0) return false;
    }
    return drop(first), true;
  }

  // The last values of the stack, which go over to it.
  PyObject* take_tuple(Py_ssize_t size) {
    PyObject* const made = PyTuple_New(size);
    if (made == nullptr) return nullptr;
    const std::size_t first = stack_.size() - static_cast<std::size_t>(size);
    for (Py_ssize_t i = 0; i < size; ++i) PyTuple_SET_ITEM(made, i, stack_[first + static_cast<std::size_t>(i)]);
    stack_.cut(first);
    return made;
  }

  // The number that a value gets before it is there, as the encoder has it.
  std::size_t reserve(bool remember) {
    if (remember) held_.push(nullptr);
    return held_.size() - 1;
  }
  PyObject* fill(std::size_t number, bool remember, PyObject* made) {
    if (remember) held_[number] = Py_XNewRef(made);
    return made;
  }

  // One byte, or 255 and four more.
  template <class Bytes>
  static bool read_number(Bytes& in, std::uint32_t& number) {
    if (in.left() < 1) return false;
    number = static_cast<std::uint8_t>(*in.skip(1));
    if (number < 255) return true;
    if (in.left() < sizeof number) return false;
    std::memcpy(&number, in.skip(sizeof number), sizeof number);
    return true;
  }

  // A class and its layout, by the next number. False: damaged, or with a Python error set.
  template <class Bytes>
  bool define(Bytes& in) {
    std::uint16_t size;
    if (in.left() < sizeof size) return false;
    std::memcpy(&size, in.skip(sizeof size), sizeof size);
    if (in.left() < size) return false;
    InstanceLayout* const layout = read_layout(in.skip(size), size);
    if (layout == nullptr) return false;
    PyTypeObject* const type = find_class(*layout);
    if (type == nullptr) return let_go(layout), false;
    return known_.push({layout, type}), true;
  }

  Row<PyObject*, 64> stack_;  // values that are not yet where they belong
  Row<PyObject*, 32> held_;   // by number; null: being made
  Row<Known, 4> known_;
};

}  // namespace conveyor::python
