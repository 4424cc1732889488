// What the looks at queues and at regions have in common, as Python gets it.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "conveyor/base/waiters.hpp"
#include "conveyor/memory/label.hpp"
#include "errors.hpp"

namespace conveyor::python {

inline nb::object readable(const std::string& text) {
  return nb::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

inline void add_label(nb::dict& result, const LabelFacts& label) {
  result["label"] = readable(label.name);
  result["place"] = readable(label.place);
  result["made"] = static_cast<double>(label.made) * 1e-9;
  result["maker"] = label.maker;
}

// (owner, thread, what, since): since when by Python's monotonic clock, in seconds.
inline void add_waiters(nb::dict& result, const std::vector<Waiter>& waiters) {
  nb::list list;
  for (const Waiter& one : waiters) {
    const double since = static_cast<double>(one.since + clock_offset()) * 1e-9;
    list.append(nb::make_tuple(one.owner, one.thread, name_of(one.what), since));
  }
  result["waiters"] = list;
}

}  // namespace conveyor::python
