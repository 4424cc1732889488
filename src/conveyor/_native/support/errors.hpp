// From the core's words to Python's exceptions. Each function sets the Python error and returns null,
// which a bound method may return as it is: no C++ exception is thrown on the common paths.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "conveyor/queue/segment.hpp"
#include "conveyor/queue/stream.hpp"
#include "gil.hpp"

namespace conveyor::python {

namespace nb = nanobind;

// The pending Python exception, whole, and no longer pending; null if there is none.
nb::object take_exception();
void set_exception(const nb::object& error);
// What a put is told.
inline constexpr const char* shut_down_text = "the queue was shut down";
// An exception of conveyor.errors, by its text, or by what it is made of.
nb::object raise(const char* name, const char* text);
nb::object error_type(const char* name);  // null with a Python error set
template <class... Arguments>
nb::object raise_with(const char* name, const Arguments&... arguments) {
  const nb::object type = error_type(name);
  const nb::object error = type.is_valid() ? call(type, arguments...) : nb::object();
  if (error.is_valid()) set_exception(error);
  return {};
}
nb::object raise_empty();
// `needed`: bytes that there was no room for, as an attribute of that name; 0: not said.
nb::object raise_full(const char* text = nullptr, std::uint64_t needed = 0);
// Why a process cannot enter `producing()`: `crowded`, or `no_memory`.
nb::object raise_no_producer(Status status);
// ProducerLost, of the first of them. Null, with that set.
nb::object raise_lost(const std::vector<LostProducer>& lost);
nb::object raise_status(Status status, const Segment& segment, std::uint64_t payload);
[[noreturn]] void rethrow(const SegmentError& error);
// SegmentError becomes the Python error.
template <class Action>
auto guarded(Action action) {
  try {
    return action();
  } catch (const SegmentError& error) {
    rethrow(error);
  }
}
// OSError: errno says why a queue has no ready descriptor.
[[noreturn]] void raise_unready(const Segment& segment);

}  // namespace conveyor::python
