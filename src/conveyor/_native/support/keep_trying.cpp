#include "keep_trying.hpp"

#include "conveyor/memory/ending.hpp"

namespace conveyor::python {

bool parse_producer_count(nb::handle count, std::uint32_t& into) {
  const long long wanted = foreign([&] { return PyLong_AsLongLong(count.ptr()); });
  if (wanted == -1 && PyErr_Occurred() != nullptr && PyErr_ExceptionMatches(PyExc_OverflowError) == 0) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) != 0)
      raise_format(PyExc_TypeError, "n is %R; it must be an integer from 0 to %u", count.ptr(),
                   Producers::most_expected);
    return false;
  }
  PyErr_Clear();
  if (wanted < 0 || wanted > Producers::most_expected) {
    raise_format(PyExc_ValueError, "n is %S; it must be from 0 to %u", count.ptr(), Producers::most_expected);
    return false;
  }
  into = static_cast<std::uint32_t>(wanted);
  return true;
}

}  // namespace conveyor::python
