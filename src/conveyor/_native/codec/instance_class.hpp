// Which classes' instances the encoder writes itself: those of which pickle would write nothing but the class, the
// elements of a tuple, and the default state (attributes in `__dict__` and in slots).
//
// All of this is read without running Python code. What is known of a class holds as long as its version tag, which
// CPython takes away when the class or one of its bases changes; tags are not used again, so that a class which has
// gone is not mistaken for a new one at its address. What no tag tells (the name leads to another class now, somebody
// has registered a reducer) is looked at once in each item.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "class_name.hpp"
#include "object_codec.hpp"

namespace conveyor::python {

// The names of the attributes that an instance has, in their order: first those of `__dict__`, then those of slots.
struct WrittenLayout {
  WrittenLayout() = default;
  WrittenLayout(const WrittenLayout&) = delete;
  WrittenLayout& operator=(const WrittenLayout&) = delete;
  ~WrittenLayout() {
    for (PyObject* const name : names) Py_DECREF(name);  // strings: no code runs
  }

  std::vector<PyObject*> names;
  std::size_t in_dict = 0;
  std::string definition;    // as it is written, with its length before it
  std::uint64_t item = 0;    // that it has been written in
  std::uint32_t number = 0;  // in there
};

class InstanceClass {
 public:
  struct Slot {
    PyObject* name;
    Py_ssize_t offset;
  };

  InstanceClass() = default;
  InstanceClass(const InstanceClass&) = delete;
  InstanceClass& operator=(const InstanceClass&) = delete;
  ~InstanceClass() { clear(); }

  InstanceForm form() const { return form_; }
  const std::vector<Slot>& slots() const { return slots_; }
  // The attributes of an instance, which has that for good: borrowed; null without an error: there are none. False: not
  // ours.
  bool attributes(PyObject* object, PyObject*& dict) const;
  // The layout of these attributes, and of the slots that are not empty. Null: not ours.
  WrittenLayout* layout(PyObject* object, PyObject* dict);

 private:
  friend class InstanceClasses;

  void clear();
  bool is_known(PyTypeObject* type) const;
  void inspect(PyTypeObject* type);
  bool is_simple(PyTypeObject* type);
  bool find_form(PyTypeObject* type);
  bool find_slots(PyTypeObject* type);
  bool has_usual_size(PyTypeObject* type) const;
  bool has_layout(const WrittenLayout& layout, PyObject* object, PyObject* dict) const;
  std::unique_ptr<WrittenLayout> make_layout(PyObject* object, PyObject* dict) const;

  static constexpr std::size_t most_layouts = 4;
  unsigned version_ = 0;
  bool simple_ = false;
  bool taken_ = false;        // in this item
  bool has_dict_ = false;
  InstanceForm form_ = InstanceForm::plain;
  std::uint64_t item_ = 0;    // in which it was looked at last
  std::size_t next_ = 0;      // the layout to be replaced next
  ClassName name_;
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<WrittenLayout>> layouts_;
};

// All classes met lately. Guarded by the GIL, which is never released while an item is encoded.
class InstanceClasses {
 public:
  void begin();
  // Null: not ours, as far as this item goes.
  InstanceClass* find(PyTypeObject* type) {
    if (type == last_type_) return last_;
    return look(type);
  }
  // The layout's number in this item; `is_new`: its definition is to follow.
  std::uint32_t number(WrittenLayout& layout, bool& is_new) {
    is_new = layout.item != item_;
    if (is_new) {
      layout.item = item_;
      layout.number = next_number_++;
    }
    return layout.number;
  }

 private:
  InstanceClass* look(PyTypeObject* type);

  static constexpr std::size_t most_classes = 1024;
  std::unordered_map<PyTypeObject*, InstanceClass> classes_;
  std::uint64_t item_ = 0;
  std::uint32_t next_number_ = 0;
  PyTypeObject* last_type_ = nullptr;
  InstanceClass* last_ = nullptr;
};

}  // namespace conveyor::python
