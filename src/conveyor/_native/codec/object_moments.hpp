// The types of the module datetime, as leaves: date, time, datetime and timedelta.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "object_leaves.hpp"

namespace conveyor::python {

// Whether the module is loaded; its types are in leaf_types then.
bool find_datetime();

// Each false: not ours.
bool write_date(PyObject* object, Buffer& into);
bool write_time(PyObject* object, Buffer& into);      // naive ones
bool write_datetime(PyObject* object, Buffer& into);  // naive ones, and those in UTC
bool write_timedelta(PyObject* object, Buffer& into);
// Null, and no error: damaged.
PyObject* read_moment(Leaf leaf, const std::uint8_t* from);

// For plain data: the zone of a time or datetime that the functions above do not write, borrowed; null: none.
PyObject* zone_of(Leaf leaf, PyObject* object);
// A time's or a datetime's bytes, without its zone.
bool write_without_zone(Leaf leaf, PyObject* object, Buffer& into);
// New reference. Null without an error: damaged.
PyObject* read_with_zone(Leaf leaf, const std::uint8_t* from, PyObject* zone);

}  // namespace conveyor::python
