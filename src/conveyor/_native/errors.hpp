// From the core's words to Python's exceptions. Each function sets the Python error and returns null,
// which a bound method may return as it is: no C++ exception is thrown on the common paths.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "conveyor/segment.hpp"
#include "conveyor/stream.hpp"

namespace conveyor::python {

namespace nb = nanobind;

// What a put is told.
inline constexpr const char* shut_down_text = "the queue was shut down";
nb::object raise(const char* name, const char* text);  // an exception of conveyor.errors
nb::object raise_empty();
// `needed`: bytes that there was no room for, as an attribute of that name; 0: not said.
nb::object raise_full(const char* text = nullptr, std::uint64_t needed = 0);
std::string crowded_producers_text();
nb::object raise_status(Status status, const Segment& segment, std::uint64_t payload);
// The pending Python exception, whole, and no longer pending; null if there is none.
nb::object take_exception();
void set_exception(const nb::object& error);
[[noreturn]] void rethrow(const SegmentError& error);

}  // namespace conveyor::python
