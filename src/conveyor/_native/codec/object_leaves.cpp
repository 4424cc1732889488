#include "object_leaves.hpp"

#include <structmember.h>

#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

#include "../support/loaded.hpp"
#include "object_moments.hpp"

namespace conveyor::python {

PyTypeObject* leaf_types[leaf_none] = {&PyComplex_Type};

void keep(Leaf leaf, PyTypeObject* type) {
  Py_INCREF(type);
  leaf_types[leaf] = type;
}

namespace {

// uuid.UUID is a Python class with slots. They are read and written where they lie: asking for an
// attribute by name costs as much as the rest, and an empty one would make an exception.
struct Uuid {
  Py_ssize_t number = 0, is_safe = 0;  // where the slots are
  PyObject* safety[3] = {};            // SafeUUID.unknown, safe, unsafe
} uuid;

bool find_decimal() {
  if (leaf_types[leaf_decimal] != nullptr) return true;
  // The one in C: the other's __str__ is Python code.
  PyObject* const type = of_module("_decimal", "Decimal");
  if (type == nullptr || !PyType_Check(type)) return false;
  keep(leaf_decimal, reinterpret_cast<PyTypeObject*>(type));
  return true;
}

bool find_slot(PyObject* type, const char* name, Py_ssize_t& offset) {
  PyObject* const found = of_class(type, name);
  if (found == nullptr || !Py_IS_TYPE(found, &PyMemberDescr_Type)) return false;
  const PyMemberDef* const member = reinterpret_cast<PyMemberDescrObject*>(found)->d_member;
  offset = member->offset;
  return member->type == T_OBJECT_EX;
}

bool find_uuid() {
  if (leaf_types[leaf_uuid] != nullptr) return true;
  PyObject* const type = of_module("uuid", "UUID");
  PyObject* const members = of_class(of_module("uuid", "SafeUUID"), "_member_map_");
  if (!find_slot(type, "int", uuid.number) || !find_slot(type, "is_safe", uuid.is_safe)) return false;
  const char* const names[3] = {"unknown", "safe", "unsafe"};
  for (int i = 0; i < 3; ++i) {
    if (item_of(members, names[i]) == nullptr) return false;
  }
  for (int i = 0; i < 3; ++i) uuid.safety[i] = Py_NewRef(item_of(members, names[i]));
  keep(leaf_uuid, reinterpret_cast<PyTypeObject*>(type));
  return true;
}

// ---- the bytes

bool write_decimal(PyObject* object, Buffer& into) {
  PyObject* const text = decimal_text(object);
  if (text == nullptr) return false;
  const Py_ssize_t size = PyUnicode_GET_LENGTH(text);
  const bool fits = size < 256;
  if (fits) {
    into.put(static_cast<std::uint8_t>(size));
    into.put(PyUnicode_DATA(text), static_cast<std::size_t>(size));
  }
  Py_DECREF(text);
  return fits;
}

PyObject*& slot(PyObject* object, Py_ssize_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

bool write_uuid(PyObject* object, Buffer& into) {
  PyObject* const number = slot(object, uuid.number);
  if (number == nullptr || !PyLong_CheckExact(number)) return false;
  std::uint8_t safety = 0;
  while (slot(object, uuid.is_safe) != uuid.safety[safety]) {
    if (++safety == 3) return false;
  }
  unsigned char bytes[17];  // one more than the number, for its sign
#if PY_VERSION_HEX >= 0x030D0000
  if (PyLong_AsNativeBytes(number, bytes, 17, Py_ASNATIVEBYTES_LITTLE_ENDIAN) > 17) return false;
#else
  if (_PyLong_NumBits(number) > 128) return false;
  if (_PyLong_AsByteArray(reinterpret_cast<PyLongObject*>(number), bytes, 17, 1, 1) != 0) return PyErr_Clear(), false;
#endif
  if (bytes[16] != 0) return false;
  into.put(safety);
  return into.put(bytes, 16), true;
}

// What str() of a Decimal looks like. Decimal() would take more, and can be told not to raise.
bool is_decimal(const char* at, const char* end) {
  const auto skip = [&](const char* word) {
    const std::size_t length = std::strlen(word);
    if (static_cast<std::size_t>(end - at) < length || std::memcmp(at, word, length) != 0) return false;
    return at += length, true;
  };
  const auto digits = [&] {
    const char* const from = at;
    while (at != end && *at >= '0' && *at <= '9') ++at;
    return at != from;
  };
  skip("-");
  if (skip("Infinity")) return at == end;
  if (skip("NaN") || skip("sNaN")) return digits(), at == end;
  if (!digits() || (skip(".") && !digits())) return false;
  if ((skip("E") || skip("e")) && !((skip("+") || skip("-")) && digits())) return false;
  return at == end;
}

PyObject* read_decimal(const std::byte* from, std::size_t size) {
  // Copied first: what was looked at is then what is converted, whatever happens to the shared memory.
  const std::string text(reinterpret_cast<const char*>(from), size);
  if (!is_decimal(text.data(), text.data() + size)) return nullptr;
  PyObject* const string = PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(size));
  if (string == nullptr) return nullptr;
  PyObject* const made =
      foreign([&] { return PyObject_CallOneArg(reinterpret_cast<PyObject*>(leaf_types[leaf_decimal]), string); });
  Py_DECREF(string);
  if (made == nullptr && PyErr_ExceptionMatches(PyExc_ArithmeticError)) PyErr_Clear();  // an endless exponent
  return made;
}

PyObject* read_uuid(const std::byte* bytes_of_it, std::size_t) {
  const auto* const from = reinterpret_cast<const std::uint8_t*>(bytes_of_it);
  if (from[0] > 2) return nullptr;
  unsigned char bytes[17] = {};
  std::memcpy(bytes, from + 1, 16);
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* const number = PyLong_FromNativeBytes(bytes, 17, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
#else
  PyObject* const number = _PyLong_FromByteArray(bytes, 17, 1, 1);
#endif
  if (number == nullptr) return nullptr;
  // As object.__new__ and UUID.__setstate__ would; UUID itself refuses to be written to.
  PyObject* const made = leaf_types[leaf_uuid]->tp_alloc(leaf_types[leaf_uuid], 0);
  if (made == nullptr) return Py_DECREF(number), nullptr;
  slot(made, uuid.number) = number;
  slot(made, uuid.is_safe) = Py_NewRef(uuid.safety[from[0]]);
  return made;
}

bool write_complex(PyObject* object, Buffer& into) {
  return into.put(&reinterpret_cast<PyComplexObject*>(object)->cval, 16), true;
}

PyObject* read_complex(const std::byte* from, std::size_t) {
  Py_complex number;
  std::memcpy(&number, from, sizeof number);
  return PyComplex_FromCComplex(number);
}

template <Leaf leaf>
PyObject* read_moment_of(const std::byte* from, std::size_t) {
  return read_moment(leaf, reinterpret_cast<const std::uint8_t*>(from));
}

// ---- what is known of each

struct LeafType {
  const char* name;                                            // as its type object has it
  const char* module;                                          // that the decoder imports for it; null: none
  bool (*find)();                                              // in the modules that are loaded
  bool (*write)(PyObject* object, Buffer& into);               // what follows the op
  PyObject* (*read)(const std::byte* from, std::size_t size);  // null without an error: damaged
};

constexpr LeafType known[] = {
    {"complex", nullptr, nullptr, write_complex, read_complex},
    {"datetime.date", "datetime", find_datetime, write_date, read_moment_of<leaf_date>},
    {"datetime.time", "datetime", find_datetime, write_time, read_moment_of<leaf_time>},
    {"datetime.datetime", "datetime", find_datetime, write_datetime, read_moment_of<leaf_datetime>},
    {"datetime.timedelta", "datetime", find_datetime, write_timedelta, read_moment_of<leaf_timedelta>},
    {"decimal.Decimal", "decimal", find_decimal, write_decimal, read_decimal},
    {"UUID", "uuid", find_uuid, write_uuid, read_uuid},
};
static_assert(std::size(known) == leaf_timezone, "one for each of CONVEYOR_LEAVES, in their order");

}  // namespace

// The two that are written in C by their own names: a program may be called datetime.py.
bool load_leaves() {
  for (const char* const name : {"_datetime", "_decimal"}) {
    if (import_module(name).is_valid()) continue;
    if (PyErr_ExceptionMatches(PyExc_ImportError) == 0) return false;
    PyErr_Clear();  // the first that needs it gets the error
  }
  find_datetime();
  find_decimal();
  return true;
}

Leaf find_leaf(PyTypeObject* type) {
  const std::string_view name = type->tp_name;
  for (int leaf = 0; leaf < leaf_timezone; ++leaf) {
    const LeafType& each = known[leaf];
    if (name == each.name && each.find != nullptr && each.find() && leaf_types[leaf] == type)
      return static_cast<Leaf>(leaf);
  }
  return leaf_none;
}

// As pickle does it: str, and Decimal of it, are exact. The first use of decimal in a thread makes the
// thread's context, which the garbage collector looks at, and before 3.12 could be set off by.
PyObject* decimal_text(PyObject* object) {
  const int collecting = PyGC_Disable();
  PyObject* const text = Py_TYPE(object)->tp_str(object);
  if (collecting != 0) PyGC_Enable();
  if (text == nullptr) return PyErr_Clear(), nullptr;
  if (PyUnicode_IS_ASCII(text)) return text;
  return Py_DECREF(text), nullptr;
}

bool pickled_as_usual(Leaf leaf) {
  // Who has not loaded the modules has registered nothing there. A program may run without
  // multiprocessing, so this is asked often.
  static PyObject* const reduction = PyUnicode_InternFromString("multiprocessing.reduction");
  static PyObject *registered = nullptr, *copyreg = nullptr, *usual_complex = nullptr;
  if (registered == nullptr && reduction != nullptr) {
    PyObject* const module = PyDict_GetItemWithError(PyImport_GetModuleDict(), reduction);
    registered = Py_XNewRef(of_class(of_module(module, "ForkingPickler"), "_extra_reducers"));
  }
  if (usual_complex == nullptr) {  // the later one of the two, while another thread imports copyreg
    copyreg = of_module("copyreg", "dispatch_table");
    usual_complex = Py_XNewRef(of_module("copyreg", "pickle_complex"));
    if (usual_complex != nullptr) Py_XINCREF(copyreg);
  }
  const auto is = [](PyObject* type, Leaf wanted) { return type == reinterpret_cast<PyObject*>(leaf_types[wanted]); };
  for (PyObject* const table : {registered, copyreg}) {
    if (table == nullptr) continue;
    PyObject *type, *reducer;
    // Walked, a dozen entries: a lookup might ask a metaclass's __eq__.
    for (Py_ssize_t at = 0; PyDict_Next(table, &at, &type, &reducer) != 0;) {
      // With a datetime its timezone is pickled, and with that its timedelta.
      if (leaf == leaf_datetime && (is(type, leaf_timezone) || is(type, leaf_timedelta))) return false;
      if (is(type, leaf) && (leaf != leaf_complex || table != copyreg || reducer != usual_complex)) return false;
    }
  }
  return true;
}

bool write_leaf(Leaf leaf, PyObject* object, Buffer& into) {
  return leaf < leaf_timezone && known[leaf].write(object, into);
}

bool load(Leaf leaf) {
  if (leaf_types[leaf] != nullptr) return true;
  return known[leaf].find() || (import_module(known[leaf].module).is_valid() && known[leaf].find());
}

std::size_t size_of(Leaf leaf) {
#define CONVEYOR_LEAF(name, number, size) size,
  constexpr std::size_t sizes[] = {CONVEYOR_LEAVES(CONVEYOR_LEAF)};
#undef CONVEYOR_LEAF
  return sizes[leaf];
}

PyObject* read_leaf(Leaf leaf, const std::byte* from, std::size_t size) {
  return load(leaf) ? known[leaf].read(from, size) : nullptr;
}

}  // namespace conveyor::python
