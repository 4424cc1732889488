// `Lease`: an item in the hands of Python that goes back unless it is acknowledged.
//
// A type of CPython's own making and not nanobind's: leasing and acknowledging one item must not cost much
// more than getting it.
#pragma once

#include <nanobind/nanobind.h>

#include "channel.hpp"

namespace conveyor::python {

// Null with a Python error set; then the lease is still to be given back. `queue` is the Python object of `channel`.
nb::object make_lease(nb::handle queue, Channel& channel, nb::object item, const LeaseId& lease);

// What is kept of an exception: its type and what it says, in UTF-8, of at most the length of a record's text.
std::string error_text(nb::handle error);

void bind_leases(nb::module_& module);

}  // namespace conveyor::python
