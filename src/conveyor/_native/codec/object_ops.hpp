// The words of the object encoding: what encoder and decoder agree on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace conveyor::python {

// The types outside of builtins that have an encoding of their own (object_leaves.hpp), and complex: name, the op that is its
// for ever, and how many bytes follow that; of a Decimal the one that follows says how many more. A new one gets the next number
// that no op has.
#define CONVEYOR_LEAVES(LEAF) \
  LEAF(complex, 24, 16)       \
  LEAF(date, 25, 4)           \
  LEAF(time, 26, 7)           \
  LEAF(datetime, 27, 11)      \
  LEAF(timedelta, 28, 12)     \
  LEAF(decimal, 29, 1)        \
  LEAF(uuid, 30, 17)

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
#define CONVEYOR_OP(name, number, size) op_##name = number,
  CONVEYOR_LEAVES(CONVEYOR_OP)
#undef CONVEYOR_OP
  // Of plain data only, see plain.hpp.
  op_bytearray = 31,
  op_decimal32,
  op_time_zone,      // a time's seven bytes, and its zone
  op_datetime_zone,  // a datetime's eleven bytes, and its zone
  op_foreign,        // what the preamble describes under this number
  // Never of plain data: reading it imports, and runs the class's code. See instance_class.hpp.
  op_instance = 40,
  // Of the native encoding only: dicts of one shape, see encoder_shapes.hpp. A shape is named once in an item.
  op_shape =
      48,  // the block's size (2 bytes), the block (how many keys, and of each its length and its letters), the values
  op_shape_again,  // which of the item's shapes it is (1 byte), the values
  op_shape_key,  // a str that is a key of one: which shape, which key (1 byte each)
  op_preamble = 0x3F,  // no value: the bytes begin with a preamble
  remembered = 0x40,
  small_int = 0x80,
};

// What was written stays readable.
static_assert(op_reference == 23 && op_bytearray == 31 && op_foreign == 35 && op_instance == 40);

// Of dicts that go by their shape: how many keys they have, how long the block of these is, and how many shapes an item has.
constexpr int least_keys = 1;
constexpr int most_keys = 64;
constexpr std::size_t most_block = 1024;
constexpr int most_shapes = 32;
// Where in what is written of a shape its block begins, and the first of its keys.
constexpr std::size_t shape_size = 3;
constexpr std::size_t shape_head = shape_size + 1;

// Deeper nesting goes to pickle, which has its own limit and its own error.
constexpr int deepest = 64;
// Deeper nesting is no plain data. What refers to itself by references counts as deep as it can be walked.
constexpr int deepest_plain = 256;
}  // namespace conveyor::python
