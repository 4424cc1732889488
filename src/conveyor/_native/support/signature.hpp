// What a function of a plain type can be called with, and how its arguments and results are converted.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace conveyor::python {

namespace nb = nanobind;

struct Parameter {
  const char* name;
  bool required = true;
  nb::object fallback = {};  // null: the function gets a null handle
};

// "size"_p must be given, "size"_p = 1 need not be, "size"_p.optional() is then a null handle.
struct ParameterName {
  const char* name;
  template <class Value>
  Parameter operator=(Value&& value) const {
    return {name, false, nb::cast(std::forward<Value>(value))};
  }
  Parameter optional() const { return {name, false}; }
  operator Parameter() const { return {name}; }
};

inline namespace literals {
constexpr ParameterName operator""_p(const char* name, std::size_t) { return {name}; }
}  // namespace literals

inline constexpr std::size_t most_parameters = 8;

// Lives as long as the process.
struct Signature {
  const char* function = nullptr;
  Py_ssize_t count = 0, required = 0;
  PyObject* names[most_parameters] = {};
  PyObject* fallbacks[most_parameters] = {};

  void set(const char* its_name, const std::vector<Parameter>& parameters);
  // "put($self, obj, block=True)", as CPython wants it before a docstring.
  std::string text() const;
  const char* name_of(std::size_t parameter) const { return PyUnicode_AsUTF8(names[parameter]); }
};

// Sorts the arguments of a call into `values`; false with a TypeError set.
bool gather(const Signature& signature, PyObject* const* given, Py_ssize_t count, PyObject* names, PyObject** values);
// The same for a tuple and a dict, or null.
bool gather(const Signature& signature, PyObject* arguments, PyObject* keywords, PyObject** values);

// An argument that is not of the type that the function wants.
struct Unfit {
  std::size_t parameter;
  PyObject* value;
};
void raise_unfit(const Signature& signature, const Unfit& unfit);
// Turns the C++ exception that is being handled into a Python error. An unwinding that is none goes on.
void translate_exception();

// Declares that references to T are found in objects of its plain type.
template <class T>
inline constexpr bool is_plain = false;
template <class T>
T& plain_cast(PyObject* object);  // throws nb::cast_error

template <class A>
decltype(auto) taken(PyObject* value, std::size_t parameter) {
  using Bare = std::remove_cvref_t<A>;
  if constexpr (std::is_same_v<Bare, nb::handle>) {
    return nb::handle(value);
  } else if constexpr (std::is_same_v<Bare, nb::object>) {
    return nb::borrow(value);
  } else {
    static_assert(!std::is_const_v<std::remove_reference_t<A>>, "take it by value");
    try {
      if (value == Py_None) throw nb::cast_error();  // who minds None takes a handle
      if constexpr (is_plain<Bare>) {
        return plain_cast<Bare>(value);
      } else {
        return nb::cast<A>(nb::handle(value));
      }
    } catch (const nb::cast_error&) {
      throw Unfit{parameter, value};
    }
  }
}

// Null: a Python error is set.
template <class R>
PyObject* given(R&& result) {
  using Bare = std::remove_cvref_t<R>;
  if constexpr (std::is_same_v<Bare, PyObject*>) {
    return result;
  } else if constexpr (std::is_base_of_v<nb::object, Bare>) {
    return nb::object(std::forward<R>(result)).release().ptr();
  } else {
    return nb::cast(std::forward<R>(result)).release().ptr();
  }
}

}  // namespace conveyor::python
