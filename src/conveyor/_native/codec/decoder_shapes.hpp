// Shapes of dicts that came lately: a block of keys that is known by its bytes becomes a dict by copying a model, whose
// values are then replaced, without a key being made, hashed or looked up.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "object_ops.hpp"
#include "object_text.hpp"

namespace conveyor::python {

struct DecoderShape {
  ~DecoderShape();
  std::vector<std::byte> block;  // what it is known by
  std::vector<PyObject*> keys;  // held; of any two shapes that live, equal ones are one
  PyObject* model = nullptr;  // a dict of these keys, all values None
  std::uint32_t uses = 0;  // by the cache, and by items that are being decoded
};

inline void release(DecoderShape* shape) {
  if (--shape->uses == 0) delete shape;
}

// New reference, or null with an error set. Steals `values`, one for each key, from the caller, in either case. `made`: null, or the
// copy of the model that is to be filled, also stolen: it was there before its values, as one of them may refer to it.
PyObject* fill_shape(const DecoderShape& shape, PyObject* made, PyObject** values);

// Guarded by the GIL. Holds at most two shapes for each place for the life of the process.
class DecoderShapes {
 public:
  // Of a block of this size, with a use for the caller. Null: it is none, or with an error set, it could not be made.
  [[gnu::always_inline]] DecoderShape* find(const std::byte* block, std::size_t size) {
    Place& place = places_[hash(block, size) >> (64 - place_bits)];
    if (is(place.first, block, size)) return ++place.first->uses, place.first;
    return find_further(place, block, size);
  }

 private:
  static constexpr int place_bits = 7;
  struct Place {
    DecoderShape *first, *second;  // the second was met longer ago
  };

  static bool is(const DecoderShape* shape, const std::byte* block, std::size_t size) {
    return shape != nullptr && shape->block.size() == size && same_bytes(shape->block.data(), block, size);
  }
  static std::uint64_t hash(const std::byte* block, std::size_t size) {
    constexpr std::uint64_t factor = 0x9E3779B97F4A7C15;
    std::uint64_t sum = size;
    std::uint64_t word;
    for (; size >= sizeof word; size -= sizeof word, block += sizeof word) {
      std::memcpy(&word, block, sizeof word);
      sum = ((sum << 5 | sum >> 59) ^ word) * factor;
    }
    return ((sum << 5 | sum >> 59) ^ short_word(block, size)) * factor;
  }
  DecoderShape* find_further(Place& place, const std::byte* block, std::size_t size);

  Place places_[std::size_t{1} << place_bits] = {};
};

}  // namespace conveyor::python
