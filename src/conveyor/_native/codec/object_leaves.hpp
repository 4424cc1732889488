// The types outside of builtins that have an encoding of their own, and complex, which pickle treats
// like them: what they are, whether a program has told pickle to treat one in another way, and the
// bytes of each.
//
// The encoder runs no Python code: it never imports. An object of a type proves that the type's
// module is loaded, and `sys.modules` is looked into by C alone.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>

#include "../support/gil.hpp"
#include "object_codec.hpp"
#include "object_ops.hpp"

namespace conveyor::python {

enum Leaf : std::uint8_t {
#define CONVEYOR_LEAF(name, number, size) leaf_##name,
  CONVEYOR_LEAVES(CONVEYOR_LEAF)
#undef CONVEYOR_LEAF
      leaf_timezone,  // has no encoding of its own: it is pickled with a datetime, and may be registered
  leaf_none
};
// One number for two of them would be two cases for one value, which does not compile.
constexpr Leaf leaf_of(std::uint8_t op) {
  switch (op) {
#define CONVEYOR_LEAF(name, number, size) \
  case number: return leaf_##name;
    CONVEYOR_LEAVES(CONVEYOR_LEAF)
#undef CONVEYOR_LEAF
    default: return leaf_none;
  }
}
constexpr std::uint8_t op_of(Leaf leaf) {
#define CONVEYOR_LEAF(name, number, size) number,
  constexpr std::uint8_t numbers[] = {CONVEYOR_LEAVES(CONVEYOR_LEAF)};
#undef CONVEYOR_LEAF
  return numbers[leaf];
}

// Those found so far. Kept for the life of the process.
extern PyTypeObject* leaf_types[leaf_none];
void keep(Leaf leaf, PyTypeObject* type);

// Imports what the decoder needs, as far as it is there; see import_for_items. False: a Python error is set.
bool load_leaves();

// Of an object of exactly this type. Looks for the type in the loaded modules when it has the right name.
Leaf find_leaf(PyTypeObject* type);
inline Leaf leaf_of(PyTypeObject* type) {
  for (int leaf = 0; leaf < leaf_timezone; ++leaf) {
    if (leaf_types[leaf] == type) return static_cast<Leaf>(leaf);
  }
  return find_leaf(type);
}

// Whether pickle would take the type's own way: nobody has registered another with ForkingPickler or
// copyreg. Holds until Python code runs.
bool pickled_as_usual(Leaf leaf);

// Appends what follows the op. False: not ours.
bool write_leaf(Leaf leaf, PyObject* object, Buffer& into);

// What str() of a Decimal says, ASCII: new reference; null, and no error: it cannot be had.
PyObject* decimal_text(PyObject* object);

// Imports what the type needs, for the decoder. False: with a Python error set.
bool load(Leaf leaf);

// How many bytes follow the op; a Decimal's first one says how many more.
std::size_t size_of(Leaf leaf);
// New reference. Null: an import failed, with its error set, or without one: damaged bytes.
PyObject* read_leaf(Leaf leaf, const std::byte* from, std::size_t size);

}  // namespace conveyor::python
