// What another library calls back, gathered without a line of Python.
#include <nanobind/nanobind.h>

#include "gil.hpp"

namespace nb = nanobind;

namespace conveyor::python {

void bind_gathering(nb::module_& module) {
  module.def("call_with_tuple", [](const nb::handle call, const nb::args& arguments) {
    PyObject* made = foreign([&] { return PyObject_CallOneArg(call.ptr(), arguments.ptr()); });
    if (made == nullptr) throw nb::python_error();
    return nb::steal(made);
  });
}

}  // namespace conveyor::python
