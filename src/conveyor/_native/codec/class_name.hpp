// A class as pickle names it: by its module and its qualified name.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <vector>

namespace conveyor::python {

// How `__new__` gets what a tuple's subclass holds.
enum class InstanceForm : std::uint8_t {
  plain = 0,        // no tuple: __new__(cls)
  named_tuple = 1,  // __new__(cls, *elements)
  tuple = 2,        // __new__(cls, elements)
};

// Holds strings only. Used with the GIL.
class ClassName {
 public:
  ClassName() = default;
  ClassName(const ClassName&) = delete;
  ClassName& operator=(const ClassName&) = delete;
  ~ClassName() { clear(); }

  // Both exact strings. False: no memory, and no error set.
  bool set(PyObject* module, PyObject* qualname);
  PyObject* module() const { return module_; }
  PyObject* qualname() const { return qualname_; }
  // The module, where it is loaded; borrowed. Null, and no error: it is not, or is no plain module.
  PyObject* find_module() const;
  // What the name stands for, where its module is loaded and the way to it leads through nothing but a module and
  // classes; borrowed. Null, and no error: it takes Python code to tell, or there is nothing. Runs none itself.
  PyObject* find_loaded() const;

 private:
  void clear();

  PyObject* module_ = nullptr;
  PyObject* qualname_ = nullptr;
  std::vector<PyObject*> path_;  // the parts of the qualified name
};

// Whether attributes of classes of this metaclass are what `type` says: `type` itself, ABCMeta, or that of protocols.
bool is_usual_metaclass(PyTypeObject* metaclass);

}  // namespace conveyor::python
