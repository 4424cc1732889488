// Where CPython keeps the entries of a dict whose keys are all exactly str. PyDict_Next takes 50 instructions for
// each, and storing a value under a key that is there already 100; here they are a load and a store.
//
// CPython promises nothing of this layout. So it is tried on dicts made for that purpose when the module is loaded,
// and where it is not found `entries_of` finds no dict's entries, and its callers go by the API.
#pragma once

#include <Python.h>

#include <cstdint>

namespace conveyor::python {

struct DictEntry {
  PyObject* key;
  PyObject* value;
};

// What stands before the entries: this, and an index of 2 ** log2_index_bytes bytes. The same from 3.11 to 3.15.
struct DictKeys {
  Py_ssize_t references;
  std::uint8_t log2_size;
  std::uint8_t log2_index_bytes;
  std::uint8_t kind;
  std::uint32_t version;
  Py_ssize_t usable;
  Py_ssize_t count;  // of entries, those of deleted keys included
};
static_assert(sizeof(DictKeys) == 32 || sizeof(void*) != 8);

inline constexpr std::uint8_t dict_of_str_alone = 1;  // a kind: no other keys, and shared with no other dict

extern bool dict_layout_is_known;  // guarded by the GIL
void find_dict_layout();

// In order; null if they cannot be had like this. They are valid until the dict changes.
[[gnu::always_inline]] inline DictEntry* entries_of(PyObject* dict) {
  const auto* const its = reinterpret_cast<const PyDictObject*>(dict);
  if (!dict_layout_is_known || its->ma_values != nullptr) return nullptr;
  auto* const keys = reinterpret_cast<DictKeys*>(its->ma_keys);
  if (keys->kind != dict_of_str_alone || keys->count != its->ma_used) return nullptr;  // or there are gaps
  return reinterpret_cast<DictEntry*>(reinterpret_cast<char*>(keys + 1) + (std::size_t{1} << keys->log2_index_bytes));
}

}  // namespace conveyor::python
