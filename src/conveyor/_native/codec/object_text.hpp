// str from the bytes of the encoding. Each is null without an error for bytes that are no such text.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace conveyor::python {

[[gnu::always_inline]] inline bool is_ascii(const unsigned char* from, std::size_t size) {
  std::uint64_t all = 0, word;
  if (size >= sizeof word) {
    std::memcpy(&word, from + size - sizeof word, sizeof word);  // the last ones, some of them twice
    all = word;
    for (; size > sizeof word; size -= sizeof word, from += sizeof word) {
      std::memcpy(&word, from, sizeof word);
      all |= word;
    }
  } else {
    for (; size > 0; --size) all |= *from++;
  }
  return (all & 0x8080808080808080) == 0;
}

[[gnu::always_inline]] inline PyObject* make_ascii(const std::byte* data, Py_ssize_t size) {
  const auto* const from = reinterpret_cast<const unsigned char*>(data);
  if (!is_ascii(from, static_cast<std::size_t>(size))) return nullptr;
  if (size == 1) return PyUnicode_FromOrdinal(*from);  // as unpickling does: there is one of each
  PyObject* const made = PyUnicode_New(size, 127);
  if (made != nullptr && size > 0) std::memcpy(PyUnicode_DATA(made), from, static_cast<std::size_t>(size));
  return made;
}

// `kind`: of PyUnicode_Kind, `width`: its bytes for each character.
inline PyObject* make_wide(const std::byte* data, Py_ssize_t size, int kind, Py_ssize_t width) {
  // Into aligned memory of its own kind: the bytes here lie anywhere.
  std::vector<Py_UCS4> aligned(static_cast<std::size_t>(size * width) / 4 + 1);
  std::memcpy(aligned.data(), data, static_cast<std::size_t>(size * width));
  if (width == 4 && std::any_of(aligned.begin(), aligned.begin() + size, [](Py_UCS4 c) { return c > 0x10FFFF; }))
    return nullptr;
  return PyUnicode_FromKindAndData(kind, aligned.data(), size);
}

}  // namespace conveyor::python
