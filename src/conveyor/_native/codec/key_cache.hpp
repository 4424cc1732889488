// Strings that were keys of dicts lately: records have the same keys again and again, and a key that is
// there already needs no memory, no copy and no hash.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace conveyor::python {

// Guarded by the GIL. Holds its strings for the life of the process: at most `slots` of `longest` bytes.
class KeyCache {
 public:
  static constexpr std::size_t longest = 32;

  // Borrowed, or null if it is not there; `place` is for `keep`, then.
  PyObject* find(const std::byte* text, std::size_t size, std::size_t& place) const {
    place = hash(text, size) >> (64 - slot_bits);
    PyObject* const known = slots_[place];
    const bool same = known != nullptr && static_cast<std::size_t>(PyUnicode_GET_LENGTH(known)) == size &&
                      std::memcmp(PyUnicode_DATA(known), text, size) == 0;
    return same ? known : nullptr;
  }
  void keep(std::size_t place, PyObject* text) {
    PyObject* const old = slots_[place];
    slots_[place] = Py_NewRef(text);
    Py_XDECREF(old);  // a str: no code runs
  }

 private:
  static constexpr int slot_bits = 10;

  // Multiply and fold (as in FNV, eight bytes at a time); who puts bad keys slows only itself.
  static std::uint64_t hash(const std::byte* text, std::size_t size) {
    constexpr std::uint64_t factor = 0x9E3779B97F4A7C15;
    std::uint64_t sum = size * factor;
    std::uint64_t word;
    for (; size >= sizeof word; size -= sizeof word, text += sizeof word) {
      std::memcpy(&word, text, sizeof word);
      sum = (sum ^ word) * factor;
      sum ^= sum >> 32;
    }
    word = 0;
    std::memcpy(&word, text, size);
    return (sum ^ word) * factor;
  }

  PyObject* slots_[std::size_t{1} << slot_bits] = {};
};

}  // namespace conveyor::python
