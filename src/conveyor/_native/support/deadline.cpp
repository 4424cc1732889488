#include "deadline.hpp"

#include <algorithm>
#include <cmath>

namespace conveyor::python {

Nanoseconds RetrySlices::slice() {
  const Nanoseconds now = monotonic_now();
  if (ends_ == 0) ends_ = deadline_.immediate ? now + grace : deadline_.at;
  return ends_ == forever ? longest_slice : std::clamp<Nanoseconds>(ends_ - now, 0, longest_slice);
}

bool parse_any_deadline(nb::handle block, nb::handle timeout, Deadline& deadline) {
  const int blocking = block.ptr() == Py_True ? 1 : foreign([&] { return PyObject_IsTrue(block.ptr()); });
  if (blocking < 0) return false;
  if (blocking == 0) {
    deadline.immediate = true;
    return true;
  }
  if (timeout.is_none()) return true;
  const double seconds = foreign([&] { return PyFloat_AsDouble(timeout.ptr()); });
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) return false;
  if (std::isnan(seconds)) {
    PyErr_SetString(PyExc_ValueError, "timeout is nan; it must be a number of seconds, or None to wait for ever");
    return false;
  }
  if (seconds <= 0) {
    deadline.immediate = true;
  } else if (seconds < 9e9) {
    deadline.at = monotonic_now() + static_cast<Nanoseconds>(seconds * 1e9);
  }
  return true;
}

}  // namespace conveyor::python
