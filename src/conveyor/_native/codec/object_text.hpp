// str from the bytes of the encoding. Each is null without an error for bytes that are no such text.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace conveyor::python {

// All of at most eight bytes in one word, some of them twice; that and the number of bytes tell them apart from any others.
[[gnu::always_inline]] inline std::uint64_t short_word(const void* data, std::size_t size) {
  const auto* const from = static_cast<const unsigned char*>(data);
  if (size >= 4) {
    std::uint32_t first, last;
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&last, from + size - sizeof last, sizeof last);
    return first | std::uint64_t{last} << 32;
  }
  if (size == 0) return 0;
  return from[0] | std::uint64_t{from[size / 2]} << 8 | std::uint64_t{from[size - 1]} << 16;
}

// As memcmp == 0, without a call for what is short.
[[gnu::always_inline]] inline bool same_bytes(const void* one, const void* other, std::size_t size) {
  return size <= 8 ? short_word(one, size) == short_word(other, size) : std::memcmp(one, other, size) == 0;
}

// As memcpy, without a call for what is short.
[[gnu::always_inline]] inline void copy_short(void* to, const void* from, std::size_t size) {
  if (size > 8) {
    std::memcpy(to, from, size);
  } else if (size >= 4) {
    std::uint32_t first, last;
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&last, static_cast<const char*>(from) + size - sizeof last, sizeof last);
    std::memcpy(to, &first, sizeof first);
    std::memcpy(static_cast<char*>(to) + size - sizeof last, &last, sizeof last);
  } else {
    for (std::size_t i = 0; i < size; ++i) static_cast<char*>(to)[i] = static_cast<const char*>(from)[i];
  }
}

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
    all = short_word(from, size);
  }
  return (all & 0x8080808080808080) == 0;
}

[[gnu::always_inline]] inline PyObject* make_ascii(const std::byte* data, Py_ssize_t size) {
  const auto* const from = reinterpret_cast<const unsigned char*>(data);
  if (!is_ascii(from, static_cast<std::size_t>(size))) return nullptr;
  if (size == 1) return PyUnicode_FromOrdinal(*from);  // as unpickling does: there is one of each
  PyObject* const made = PyUnicode_New(size, 127);
  if (made != nullptr) copy_short(PyUnicode_1BYTE_DATA(made), from, static_cast<std::size_t>(size));
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
