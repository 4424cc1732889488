#include "plain_type.hpp"

#include <structmember.h>

#include <cstring>
#include <string>

namespace conveyor::python {
namespace {

// CPython keeps what it is given here.
const char* kept(const std::string& text) {
  auto* const copy = new char[text.size() + 1];
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

template <class Entry>
Entry* kept(std::vector<Entry>&& entries) {
  entries.push_back({});
  return (new std::vector<Entry>(std::move(entries)))->data();
}

}  // namespace

void raise_uninitialised(PyObject* self) {
  PyErr_Format(PyExc_ValueError, "the %s is not initialised: its class must call super().__init__()",
               Py_TYPE(self)->tp_name);
}

PyObject* make_object(PyTypeObject* type, PyObject*, PyObject*) {
  // Not the allocator alone: `object` knows what an abstract class is. The arguments are `__init__`'s.
  const nb::object nothing = nb::steal(PyTuple_New(0));
  return nothing.is_valid() ? PyBaseObject_Type.tp_new(type, nothing.ptr(), nullptr) : nullptr;
}

void TypePlan::method(const char* name, FastCall call, const Signature& signature, const char* doc) {
  const char* const text = kept(signature.text() + "\n--\n\n" + (doc == nullptr ? "" : doc));
  methods_.push_back(
      {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call)), METH_FASTCALL | METH_KEYWORDS, text});
}

void TypePlan::property(const char* name, getter get, setter set, const char* doc) {
  properties_.push_back({name, get, set, doc, nullptr});
}

void TypePlan::generic() { methods_.push_back({"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, nullptr}); }

nb::object TypePlan::make(std::size_t size, std::size_t weak_offset, unsigned flags, PyTypeObject* base) {
  slot(Py_tp_methods, kept(std::move(methods_)));
  slot(Py_tp_getset, kept(std::move(properties_)));
  if (doc_ != nullptr) slot(Py_tp_doc, const_cast<char*>(doc_));
  if (base == nullptr) {
    slot(Py_tp_members, kept(std::vector<PyMemberDef>{{"__weaklistoffset__", T_PYSSIZET,
                                                       static_cast<Py_ssize_t>(weak_offset), READONLY, nullptr}}));
  }
  auto* const spec = new PyType_Spec{kept(std::string("conveyor._native.") + name_), static_cast<int>(size), 0, flags,
                                     kept(std::move(slots_))};
  nb::object type = nb::steal(PyType_FromSpecWithBases(spec, reinterpret_cast<PyObject*>(base)));
  if (!type.is_valid()) throw nb::python_error();
  return type;
}

}  // namespace conveyor::python
