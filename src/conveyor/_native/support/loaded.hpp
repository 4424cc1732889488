// What lies in modules that are loaded already, found without running Python code. All borrowed.
#pragma once

#include <nanobind/nanobind.h>

namespace conveyor::python {

inline PyObject* item_of(PyObject* dict, const char* name) {  // borrowed; null, and no error, when not there
  if (dict == nullptr || !PyDict_Check(dict)) return nullptr;
  PyObject* const found = PyDict_GetItemString(dict, name);
  PyErr_Clear();
  return found;
}

inline PyObject* of_module(PyObject* module, const char* name) {
  return module != nullptr && PyModule_Check(module) ? item_of(PyModule_GetDict(module), name) : nullptr;
}

inline PyObject* of_module(const char* module, const char* name) {  // of a loaded one
  return of_module(item_of(PyImport_GetModuleDict(), module), name);
}

inline PyObject* of_class(PyObject* type, const char* name) {  // of a class that is written in Python
  return type != nullptr && PyType_Check(type) ? item_of(reinterpret_cast<PyTypeObject*>(type)->tp_dict, name)
                                               : nullptr;
}

}  // namespace conveyor::python
