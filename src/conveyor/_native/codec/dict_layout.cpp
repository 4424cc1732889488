#include "dict_layout.hpp"

#include <cstddef>
#include <cstdio>

namespace conveyor::python {

bool dict_layout_is_known = false;

namespace {

// A dict with as many keys as that has an index of another size: of one byte for each place, and of two.
constexpr int tried_sizes[] = {1, 5, 6, 11, 64, 200};

// Of a dict that was filled with `count` keys: what the layout says of it is what the API says.
bool is_as_told(PyObject* dict, int count) {
  const DictEntry* const entries = entries_of(dict);
  if (entries == nullptr) return false;
  PyObject *key, *value;
  int i = 0;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value) != 0; ++i) {
    if (i == count || entries[i].key != key || entries[i].value != value) return false;
  }
  return i == count;
}

// Whether dicts of this size are what we think, with all ways that a dict can be another one. No code of anybody else's
// runs: keys and values are str.
bool holds_for(int count) {
  PyObject* const dict = PyDict_New();
  PyObject* const other = PyLong_FromLong(count);
  bool holds = dict != nullptr && other != nullptr;
  char text[16];
  for (int i = 0; holds && i < count; ++i) {
    std::snprintf(text, sizeof text, "key %d", i);
    PyObject* const key = PyUnicode_FromString(text);
    holds = key != nullptr && PyDict_SetItem(dict, key, key) == 0;
    Py_XDECREF(key);
  }
  holds = holds && is_as_told(dict, count);
  PyObject* const copy = holds ? PyDict_Copy(dict) : nullptr;
  holds = copy != nullptr && is_as_told(copy, count) && entries_of(copy) != entries_of(dict);
  holds = holds && PyDict_DelItemString(copy, "key 0") == 0 && entries_of(copy) == nullptr;  // a gap
  holds = holds && PyDict_SetItem(dict, other, other) == 0 && entries_of(dict) == nullptr;   // a key that is no str
  Py_XDECREF(copy);
  Py_XDECREF(other);
  Py_XDECREF(dict);
  return holds;
}

}  // namespace

void find_dict_layout() {
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x03100000 && !defined(Py_GIL_DISABLED)
  dict_layout_is_known = sizeof(void*) == 8;
  for (const int count : tried_sizes) dict_layout_is_known = dict_layout_is_known && holds_for(count);
  PyErr_Clear();
#endif
}

}  // namespace conveyor::python
