// Short strings that came lately: records have the same keys and words again and again, and a string that is there
// already needs no memory, no copy and no hash.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "object_text.hpp"

namespace conveyor::python {

// Of ASCII texts of at most `Longest` bytes, 2 to the power of `SlotBits` of them. Guarded by the GIL. Holds its strings
// for the life of the process.
template <std::size_t Longest, int SlotBits>
class TextCache {
 public:
  static constexpr std::size_t longest = Longest;
  struct Slot {
    PyObject* text;
    std::uint64_t used;  // the number of the last item that it was given to
  };

  // Where the text is, or would be.
  [[gnu::always_inline]] Slot& slot(const std::byte* text, std::size_t size) {
    return slots_[hash(text, size) >> (64 - SlotBits)];
  }
  [[gnu::always_inline]] static bool holds(const Slot& slot, const std::byte* text, std::size_t size) {
    return slot.text != nullptr && static_cast<std::size_t>(PyUnicode_GET_LENGTH(slot.text)) == size &&
           same_bytes(PyUnicode_1BYTE_DATA(slot.text), text, size);
  }
  static void keep(Slot& slot, PyObject* text, std::uint64_t item) {
    PyObject* const old = slot.text;
    slot = {Py_NewRef(text), item};
    Py_XDECREF(old);  // a str: no code runs
  }

 private:
  // Multiply and fold (as in FNV, eight bytes at a time); who puts bad texts slows only itself.
  [[gnu::always_inline]] static std::uint64_t hash(const std::byte* text, std::size_t size) {
    constexpr std::uint64_t factor = 0x9E3779B97F4A7C15;
    std::uint64_t sum = size * factor;
    std::uint64_t word;
    for (; size > sizeof word; size -= sizeof word, text += sizeof word) {
      std::memcpy(&word, text, sizeof word);
      sum = (sum ^ word) * factor;
      sum ^= sum >> 32;
    }
    return (sum ^ short_word(text, size)) * factor;
  }

  Slot slots_[std::size_t{1} << SlotBits] = {};
};

}  // namespace conveyor::python
