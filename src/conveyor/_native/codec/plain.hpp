// Plain data: the object encoding for bytes that come from elsewhere, by a network or in a file.
//
// What the encoding has no word for is no plain data, instead of going to pickle: reading it never runs
// code that the bytes name. It is larger where `encode` declines for speed's sake (long strings, zones
// of datetimes, deeper nesting), and narrower where a hostile writer could do harm:
//
// - What is hashed (keys of dicts, elements of sets) refers to nothing but str and bytes, whose hashes are
//   kept: else a few bytes could say a tuple of tuples of tuples that takes for ever to hash.
// - Containers announce together no more elements than there are bytes, so that nested lies about lengths
//   cannot take memory. A reference counts with the height of what it refers to, so that a chain of them
//   is no deeper than `deepest_plain` either: hashing a tuple recurses in C without a check.
//
// What only Python code can take apart (arrays and scalars of NumPy, time zones) is "foreign": the encoding
// holds its number, and the preamble before it, written by codecs/foreign_values.py, says what it is.
#pragma once

#include <nanobind/nanobind.h>

#include <vector>

#include "object_codec.hpp"
#include "object_leaves.hpp"

namespace conveyor::python {

// Why an object is no plain data.
enum class Refused : std::uint8_t { type, value, too_deep, too_large, inside_itself };

struct Refusal {
  PyObject* object = nullptr;  // borrowed of the item: valid as long as no Python code has run
  Refused why = Refused::type;
};

// Appends. False: `refusal` says what is in the way. Sets no Python error, and runs no Python code.
bool encode_plain(PyObject* object, Buffer& into, std::vector<PyObject*>& foreign, Refusal& refusal);

// New reference, or null with a Python error set: BadMessage for damaged bytes. `foreign`: a list, or null.
PyObject* decode_plain(const std::byte* data, std::size_t size, PyObject* foreign);

// Whether Python code takes it apart: an exact array or scalar of NumPy, timezone or ZoneInfo.
bool is_foreign(PyObject* object);
bool is_zone(PyObject* object);

// ---- the decoder's two ways

// What only plain data needs to know when it is read; nothing, and no time, for the other.
struct NativeReading {};
struct PlainReading {
  PyObject* foreign;                   // a list, borrowed; or null
  std::vector<std::uint16_t> heights;  // of what was noted; 0 as long as it is open
  int reach = 0;                       // the depth of the deepest value so far of the container that is open
  int in_keys = 0;                     // how many dicts' keys and sets we are in
};

}  // namespace conveyor::python
