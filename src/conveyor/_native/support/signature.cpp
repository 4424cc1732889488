#include "signature.hpp"

#include <algorithm>
#include <exception>
#include <new>

#include "gil.hpp"

namespace conveyor::python {
namespace {

void raise_count(const Signature& signature, Py_ssize_t count) {
  if (count > signature.count) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zd argument%s (%zd given)", signature.function, signature.count,
                 signature.count == 1 ? "" : "s", count);
  }
}

bool place(const Signature& signature, PyObject* name, PyObject* value, PyObject** values) {
  for (Py_ssize_t i = 0; i < signature.count; ++i) {
    // Names are interned, but for those that were made up.
    const int same = name == signature.names[i]
                         ? 1
                         : foreign([&] { return PyObject_RichCompareBool(name, signature.names[i], Py_EQ); });
    if (same < 0) return false;
    if (same == 0) continue;
    if (values[i] != nullptr) {
      raise_format(PyExc_TypeError, "%s() got multiple values for argument %R", signature.function, name);
      return false;
    }
    values[i] = value;
    return true;
  }
  raise_format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", signature.function, name);
  return false;
}

bool begin(const Signature& signature, PyObject* const* given, Py_ssize_t count, PyObject** values) {
  if (count > signature.count) {
    raise_count(signature, count);
    return false;
  }
  std::copy(given, given + count, values);
  std::fill(values + count, values + signature.count, nullptr);
  return true;
}

bool complete(const Signature& signature, PyObject** values) {
  for (Py_ssize_t i = 0; i < signature.count; ++i) {
    if (values[i] != nullptr) continue;
    if (i < signature.required) {
      raise_format(PyExc_TypeError, "%s() is missing its argument %R", signature.function, signature.names[i]);
      return false;
    }
    values[i] = signature.fallbacks[i];
  }
  return true;
}

}  // namespace

void Signature::set(const char* its_name, const std::vector<Parameter>& parameters) {
  function = its_name;
  count = static_cast<Py_ssize_t>(parameters.size());
  required = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    names[i] = PyUnicode_InternFromString(parameters[i].name);
    if (names[i] == nullptr) throw nb::python_error();
    fallbacks[i] = nb::object(parameters[i].fallback).release().ptr();
    if (parameters[i].required) ++required;
  }
}

std::string Signature::text() const {
  std::string text = std::string(function) + "($self";
  for (Py_ssize_t i = 0; i < count; ++i) {
    text += std::string(", ") + name_of(static_cast<std::size_t>(i));
    if (i < required) continue;
    const nb::object shown =
        nb::steal(fallbacks[i] == nullptr ? nullptr : foreign([&] { return PyObject_Repr(fallbacks[i]); }));
    text += std::string("=") + (shown.is_valid() ? PyUnicode_AsUTF8(shown.ptr()) : "...");
  }
  return text + ")";
}

bool gather(const Signature& signature, PyObject* const* given, Py_ssize_t count, PyObject* names, PyObject** values) {
  if (!begin(signature, given, count, values)) return false;
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < named; ++i) {
    if (!place(signature, PyTuple_GET_ITEM(names, i), given[count + i], values)) return false;
  }
  return complete(signature, values);
}

bool gather(const Signature& signature, PyObject* arguments, PyObject* keywords, PyObject** values) {
  if (!begin(signature, &PyTuple_GET_ITEM(arguments, 0), PyTuple_GET_SIZE(arguments), values)) return false;
  PyObject *name = nullptr, *value = nullptr;
  for (Py_ssize_t at = 0; keywords != nullptr && PyDict_Next(keywords, &at, &name, &value) != 0;) {
    if (!place(signature, name, value, values)) return false;
  }
  return complete(signature, values);
}

void raise_unfit(const Signature& signature, const Unfit& unfit) {
  raise_format(PyExc_TypeError, "%s() cannot take %R, of type %s, as its argument %R", signature.function, unfit.value,
               Py_TYPE(unfit.value)->tp_name, signature.names[unfit.parameter]);
}

void translate_exception() {
  try {
    throw;
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const nb::builtin_exception& error) {
    switch (error.type()) {
      case nb::exception_type::type_error: PyErr_SetString(PyExc_TypeError, error.what()); break;
      case nb::exception_type::value_error: PyErr_SetString(PyExc_ValueError, error.what()); break;
      case nb::exception_type::index_error: PyErr_SetString(PyExc_IndexError, error.what()); break;
      case nb::exception_type::key_error: PyErr_SetString(PyExc_KeyError, error.what()); break;
      default: PyErr_SetString(PyExc_RuntimeError, error.what());
    }
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

}  // namespace conveyor::python
