// What the decoder reads of a class: its name, and which attributes the instances that follow have.
//
// The same definition comes in message after message, so those read lately are kept, by their bytes. The class itself
// is looked for in each message, as pickle does: its name may lead to another one now.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <string>
#include <vector>

#include "class_name.hpp"

namespace conveyor::python {

struct InstanceLayout {
  InstanceLayout() = default;
  InstanceLayout(const InstanceLayout&) = delete;
  InstanceLayout& operator=(const InstanceLayout&) = delete;
  ~InstanceLayout() {
    for (PyObject* const name : names) Py_DECREF(name);  // strings: no code runs
  }

  std::string definition;
  InstanceForm form = InstanceForm::plain;
  std::size_t in_dict = 0;
  ClassName name;
  std::vector<PyObject*> names;  // interned; those in `__dict__`, then those of slots
  unsigned users = 0;            // guarded by the GIL
  // The class that the attributes were set of last, never followed; its version tag; and whether they can be set one by
  // one: no `__setstate__`, no data descriptor under one of the names, and `__dict__` is what it says.
  mutable PyTypeObject* known = nullptr;
  mutable unsigned version = 0;
  mutable bool direct = false;
  // The `__spec__` of the class's module, once that was imported to its end; a module that is made anew has another one.
  mutable nanobind::object whole;
};

// A use of it counts; the last one frees it.
void let_go(InstanceLayout* layout);

// A new use; null, and no error: damaged bytes, or no memory. `data` may change meanwhile: what it says is copied first.
InstanceLayout* read_layout(const std::byte* data, std::size_t size);

// What pickle's find_class gives, by importing the module if need be, which must be something that NEWOBJ takes. New
// reference; null with a Python error set. Runs Python code.
PyTypeObject* find_class(const InstanceLayout& layout);

// As pickle's BUILD: to `__setstate__` if there is one, else into `__dict__` and the slots. `values`: one for each name.
// False with a Python error set. Runs Python code. `type`: that `object` was made as by `make_instance`.
bool set_state(PyObject* object, PyTypeObject* type, const InstanceLayout& layout, PyObject* const* values);

// `cls.__new__(cls, *arguments)`: new reference; null with a Python error set. Runs Python code.
PyObject* make_instance(PyTypeObject* type, PyObject* arguments);

}  // namespace conveyor::python
