#include "class_name.hpp"

#include "../support/loaded.hpp"

namespace conveyor::python {

void ClassName::clear() {
  for (PyObject* const part : path_) Py_DECREF(part);  // strings: no code runs
  path_.clear();
  Py_CLEAR(module_);
  Py_CLEAR(qualname_);
}

bool ClassName::set(PyObject* module, PyObject* qualname) {
  clear();
  module_ = Py_NewRef(module);
  qualname_ = Py_NewRef(qualname);
  const Py_ssize_t length = PyUnicode_GET_LENGTH(qualname);
  for (Py_ssize_t from = 0; from <= length;) {
    Py_ssize_t dot = PyUnicode_FindChar(qualname, '.', from, length, 1);
    if (dot < 0) dot = length;
    PyObject* const part = PyUnicode_Substring(qualname, from, dot);
    if (part == nullptr) return PyErr_Clear(), false;
    path_.push_back(part);
    from = dot + 1;
  }
  return true;
}

PyObject* ClassName::find_module() const {
  PyObject* const modules = PyImport_GetModuleDict();
  PyObject* const module = PyDict_CheckExact(modules) ? PyDict_GetItemWithError(modules, module_) : nullptr;
  PyErr_Clear();
  return module != nullptr && PyModule_CheckExact(module) ? module : nullptr;
}

PyObject* ClassName::find_loaded() const {
  PyObject* const module = find_module();
  PyObject* found = module == nullptr ? nullptr : PyDict_GetItemWithError(PyModule_GetDict(module), path_.front());
  for (std::size_t i = 1; found != nullptr && i < path_.size(); ++i) {
    const bool usual = PyType_Check(found) && is_usual_metaclass(Py_TYPE(found));
    found = usual ? _PyType_Lookup(reinterpret_cast<PyTypeObject*>(found), path_[i]) : nullptr;
    if (found != nullptr && Py_TYPE(found)->tp_descr_get != nullptr) found = nullptr;
  }
  PyErr_Clear();
  return found;
}

bool is_usual_metaclass(PyTypeObject* metaclass) {
  if (metaclass == &PyType_Type) return true;
  static PyObject *abstract = nullptr, *protocol = nullptr;  // kept for the life of the process
  if (abstract == nullptr) abstract = Py_XNewRef(of_module("abc", "ABCMeta"));
  if (protocol == nullptr) protocol = Py_XNewRef(of_module("typing", "_ProtocolMeta"));
  PyObject* const object = reinterpret_cast<PyObject*>(metaclass);
  return (object == abstract || object == protocol) && metaclass->tp_getattro == PyType_Type.tp_getattro &&
         metaclass->tp_hash == PyType_Type.tp_hash && metaclass->tp_richcompare == PyType_Type.tp_richcompare;
}

}  // namespace conveyor::python
