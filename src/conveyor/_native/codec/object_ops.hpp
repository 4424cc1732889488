// The words of the object encoding: what encoder and decoder agree on.
#pragma once

#include <cstdint>

namespace conveyor::python {

// The first byte of each value. Values from `small_int` on are the integers 0 to 127 themselves.
// With `remembered` added, the value gets the next number, for later references to it.
enum Op : std::uint8_t {
  op_none,
  op_false,
  op_true,
  op_int8,
  op_int32,
  op_int64,
  op_int_large,
  op_float,
  op_ascii8,
  op_ascii32,
  op_latin1,
  op_ucs2,
  op_ucs4,  // str
  op_bytes8,
  op_bytes32,
  op_tuple8,
  op_tuple32,
  op_list8,
  op_list32,
  op_dict8,
  op_dict32,
  op_set,
  op_frozenset,
  op_reference,
  op_complex,  // from here on in the order of Leaf
  op_date,
  op_time,
  op_datetime,
  op_timedelta,
  op_decimal,
  op_uuid,
  // Of plain data only, see plain.hpp.
  op_bytearray,
  op_decimal32,
  op_time_zone,      // a time's seven bytes, and its zone
  op_datetime_zone,  // a datetime's eleven bytes, and its zone
  op_foreign,        // what the preamble describes under this number
  op_preamble = 0x3F,  // no value: the bytes begin with a preamble
  remembered = 0x40,
  small_int = 0x80,
};

// Deeper nesting goes to pickle, which has its own limit and its own error.
constexpr int deepest = 64;
// Deeper nesting is no plain data. What refers to itself by references counts as deep as it can be walked.
constexpr int deepest_plain = 256;
}  // namespace conveyor::python
