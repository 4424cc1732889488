#include "instance_class.hpp"

#include <structmember.h>

#include <cstring>

#include "../support/loaded.hpp"

namespace conveyor::python {
namespace {

PyObject* interned(const char* name) { return PyUnicode_InternFromString(name); }

// What the class says under this name, its bases included: borrowed, or null. No metaclass and no descriptor is asked.
PyObject* of_type(PyTypeObject* type, PyObject* name) { return name == nullptr ? nullptr : _PyType_Lookup(type, name); }

bool is_inherited_from(PyTypeObject* base, PyTypeObject* type, PyObject* name) {
  PyObject* const found = of_type(type, name);
  return found != nullptr && found == of_type(base, name);
}

// Of a class written in Python: what its own body, or an assignment, has under this name.
PyObject* of_body(PyTypeObject* type, PyObject* name) {
  if (name == nullptr || type->tp_dict == nullptr) return nullptr;
  PyObject* const found = PyDict_GetItemWithError(type->tp_dict, name);
  PyErr_Clear();
  return found;
}

// All that collections.namedtuple makes have a `__getnewargs__` of this one code, which gives the elements.
PyObject* code_of_named_tuples() {
  static PyObject* known = nullptr;  // kept for the life of the process
  if (known != nullptr) return known;
  PyObject* const maker = of_module("collections", "namedtuple");
  if (maker == nullptr || !PyFunction_Check(maker)) return nullptr;
  PyObject* const name = interned("__getnewargs__");
#if PY_VERSION_HEX >= 0x030B0000
  PyObject* const constants = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(maker))->co_consts;
#endif
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(constants); ++i) {
    PyObject* const each = PyTuple_GET_ITEM(constants, i);
    if (PyCode_Check(each) && reinterpret_cast<PyCodeObject*>(each)->co_name == name) known = Py_NewRef(each);
  }
  Py_XDECREF(name);
  return known;
}

// What ForkingPickler, copyreg and this package know how to pickle: where pickle looks first.
bool has_reducer(PyTypeObject* type) {
  static PyObject* tables[3] = {};  // kept for the life of the process
  if (tables[0] == nullptr)
    tables[0] = Py_XNewRef(of_class(of_module("multiprocessing.reduction", "ForkingPickler"), "_extra_reducers"));
  if (tables[1] == nullptr) tables[1] = Py_XNewRef(of_module("copyreg", "dispatch_table"));
  if (tables[2] == nullptr) tables[2] = Py_XNewRef(of_module("conveyor._memory.reducers", "TABLE"));
  for (PyObject* const table : tables) {
    if (table == nullptr) continue;
    PyObject *key, *reducer;
    // Walked, a dozen entries: a lookup might ask a metaclass's __eq__. A class is pickled with its instances.
    for (Py_ssize_t at = 0; PyDict_Next(table, &at, &key, &reducer) != 0;) {
      if (key == reinterpret_cast<PyObject*>(type) || key == reinterpret_cast<PyObject*>(Py_TYPE(type))) return true;
    }
  }
  return false;
}

// Before 3.12 any new object that it looks at may set the garbage collector off, and that runs finalizers.
class WithoutCollecting {
 public:
#if PY_VERSION_HEX < 0x030C0000
  WithoutCollecting() : collecting_(PyGC_Disable()) {}
  ~WithoutCollecting() {
    if (collecting_ != 0) PyGC_Enable();
  }

 private:
  const int collecting_;
#else
  WithoutCollecting() {}
#endif
};

// One byte of length and the name in UTF-8. False: it is too long, or has no UTF-8.
bool add_name(std::string& to, PyObject* name) {
  Py_ssize_t size;
  const char* const text = PyUnicode_AsUTF8AndSize(name, &size);
  if (text == nullptr) return PyErr_Clear(), false;
  if (size > 255) return false;
  to.push_back(static_cast<char>(size));
  to.append(text, static_cast<std::size_t>(size));
  return true;
}

PyObject* in_slot(PyObject* object, Py_ssize_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

}  // namespace

void InstanceClass::clear() {
  for (const Slot& slot : slots_) Py_DECREF(slot.name);
  slots_.clear();
  layouts_.clear();
  next_ = 0;
}

bool InstanceClass::is_known(PyTypeObject* type) const {
  return version_ != 0 && type->tp_version_tag == version_ &&
         // Nobody promises that an assignment to `__qualname__` takes the tag away.
         (!simple_ || reinterpret_cast<PyHeapTypeObject*>(type)->ht_qualname == name_.qualname());
}

void InstanceClass::inspect(PyTypeObject* type) {
  clear();
  simple_ = is_simple(type);
  version_ = type->tp_version_tag;  // looking for names has given it one, if there is one to be had
}

bool InstanceClass::is_simple(PyTypeObject* type) {
  static PyObject *const reduce_ex = interned("__reduce_ex__"), *const reduce = interned("__reduce__"),
                         *const getstate = interned("__getstate__"), *const its_class = interned("__class__"),
                         *const module = interned("__module__");
  for (PyObject* const name : {reduce_ex, reduce, getstate, its_class}) {
    if (!is_inherited_from(&PyBaseObject_Type, type, name)) return false;
  }
  if (!is_usual_metaclass(Py_TYPE(type)) || type->tp_getattro != PyObject_GenericGetAttr || type->tp_new == nullptr)
    return false;
  PyObject* const its_module = of_body(type, module);
  PyObject* const qualname = reinterpret_cast<PyHeapTypeObject*>(type)->ht_qualname;
  if (its_module == nullptr || !PyUnicode_CheckExact(its_module) || !PyUnicode_CheckExact(qualname)) return false;
  has_dict_ = type->tp_dictoffset != 0;
#ifdef Py_TPFLAGS_MANAGED_DICT
  has_dict_ = has_dict_ || (type->tp_flags & Py_TPFLAGS_MANAGED_DICT) != 0;
#endif
  return find_form(type) && find_slots(type) && (form_ != InstanceForm::plain || has_usual_size(type)) &&
         name_.set(its_module, qualname);
}

// How an instance is made; false: what it holds beside its attributes is not known here.
bool InstanceClass::find_form(PyTypeObject* type) {
  static PyObject *const arguments = interned("__getnewargs__"), *const arguments_ex = interned("__getnewargs_ex__");
  constexpr unsigned long others = Py_TPFLAGS_LONG_SUBCLASS | Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_BYTES_SUBCLASS |
                                   Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS |
                                   Py_TPFLAGS_BASE_EXC_SUBCLASS | Py_TPFLAGS_TYPE_SUBCLASS;
  if (of_type(type, arguments_ex) != nullptr || (type->tp_flags & others) != 0) return false;
  PyObject* const found = of_type(type, arguments);
  if ((type->tp_flags & Py_TPFLAGS_TUPLE_SUBCLASS) == 0) {
    form_ = InstanceForm::plain;
    return found == nullptr && type->tp_itemsize == 0;
  }
  form_ = InstanceForm::tuple;
  if (found == of_type(&PyTuple_Type, arguments)) return true;
  form_ = InstanceForm::named_tuple;
  return found != nullptr && PyFunction_Check(found) && type->tp_iter == PyTuple_Type.tp_iter &&
         PyFunction_GET_CODE(found) == code_of_named_tuples();
}

// copyreg keeps the names of a class's slots in the class when it is asked for them first. That is Python code: so the
// first instance of a class with slots goes to pickle, which asks.
bool InstanceClass::find_slots(PyTypeObject* type) {
  static PyObject *const names = interned("__slotnames__"), *const own = interned("__slots__");
  PyObject* const known = of_body(type, names);
  if (known == nullptr) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(type->tp_mro); ++i) {
      auto* const base = reinterpret_cast<PyTypeObject*>(PyTuple_GET_ITEM(type->tp_mro, i));
      PyObject* const slots = (base->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 ? nullptr : of_body(base, own);
      if (slots != nullptr && !(PyTuple_CheckExact(slots) && PyTuple_GET_SIZE(slots) == 0)) return false;
    }
    return true;
  }
  if (!PyList_CheckExact(known)) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(known); ++i) {
    PyObject* const name = PyList_GET_ITEM(known, i);
    if (!PyUnicode_CheckExact(name)) return false;
    PyObject* const found = of_type(type, name);
    if (found == nullptr || !Py_IS_TYPE(found, &PyMemberDescr_Type)) return false;
    const PyMemberDef* const member = reinterpret_cast<PyMemberDescrObject*>(found)->d_member;
    if (member->type != T_OBJECT_EX || PyType_IsSubtype(type, PyDescr_TYPE(found)) == 0) return false;
    slots_.push_back({Py_NewRef(name), member->offset});
  }
  return true;
}

// As object.__reduce_ex__ has it: what is larger holds something in C that nobody has asked for.
bool InstanceClass::has_usual_size(PyTypeObject* type) const {
  Py_ssize_t size = PyBaseObject_Type.tp_basicsize + static_cast<Py_ssize_t>(slots_.size() * sizeof(PyObject*));
  if (type->tp_dictoffset > 0) size += static_cast<Py_ssize_t>(sizeof(PyObject*));
  if (type->tp_weaklistoffset > 0) size += static_cast<Py_ssize_t>(sizeof(PyObject*));
  return type->tp_basicsize <= size;
}

bool InstanceClass::attributes(PyObject* object, PyObject*& dict) const {
  dict = nullptr;
  if (!has_dict_) return true;
  const WithoutCollecting quiet;
  PyObject* const made = PyObject_GenericGetDict(object, nullptr);
  if (made == nullptr) return PyErr_Clear(), false;
  Py_DECREF(made);  // the instance holds it
  // Known to somebody else, it could be met again, as the one object that it is.
  if (!PyDict_CheckExact(made) || Py_REFCNT(made) != 1) return false;
  if (PyDict_GET_SIZE(made) != 0) dict = made;
  return true;
}

bool InstanceClass::has_layout(const WrittenLayout& layout, PyObject* object, PyObject* dict) const {
  const std::size_t in_dict = dict == nullptr ? 0 : static_cast<std::size_t>(PyDict_GET_SIZE(dict));
  if (layout.in_dict != in_dict) return false;
  PyObject *key, *value;
  std::size_t i = 0;
  for (Py_ssize_t at = 0; i < in_dict && PyDict_Next(dict, &at, &key, &value) != 0; ++i) {
    if (layout.names[i] != key) return false;
  }
  for (const Slot& slot : slots_) {
    if (in_slot(object, slot.offset) == nullptr) continue;
    if (i == layout.names.size() || layout.names[i] != slot.name) return false;
    ++i;
  }
  return i == layout.names.size();
}

std::unique_ptr<WrittenLayout> InstanceClass::make_layout(PyObject* object, PyObject* dict) const {
  auto made = std::make_unique<WrittenLayout>();
  std::string names;
  PyObject *key, *value;
  if (dict != nullptr) {
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value) != 0;) {
      if (!PyUnicode_CheckExact(key)) return nullptr;
      // `__reduce_ex__` and `__getstate__` are asked of the instance.
      const bool special =
          PyUnicode_GET_LENGTH(key) > 1 && PyUnicode_READ_CHAR(key, 0) == '_' && PyUnicode_READ_CHAR(key, 1) == '_';
      if (special || !add_name(names, key)) return nullptr;
      made->names.push_back(Py_NewRef(key));
    }
  }
  made->in_dict = made->names.size();
  for (const Slot& slot : slots_) {
    if (in_slot(object, slot.offset) == nullptr) continue;
    if (!add_name(names, slot.name)) return nullptr;
    made->names.push_back(Py_NewRef(slot.name));
  }
  const std::size_t in_slots = made->names.size() - made->in_dict;
  if (made->in_dict > 255 || in_slots > 255) return nullptr;
  std::string text = {static_cast<char>(form_), static_cast<char>(made->in_dict), static_cast<char>(in_slots)};
  if (!add_name(text, name_.module()) || !add_name(text, name_.qualname())) return nullptr;
  text += names;
  const auto size = static_cast<std::uint16_t>(text.size());
  if (size != text.size()) return nullptr;
  made->definition.assign(reinterpret_cast<const char*>(&size), sizeof size);
  made->definition += text;
  return made;
}

WrittenLayout* InstanceClass::layout(PyObject* object, PyObject* dict) {
  for (const auto& each : layouts_) {
    if (has_layout(*each, object, dict)) return each.get();
  }
  auto made = make_layout(object, dict);
  if (made == nullptr) return nullptr;
  if (layouts_.size() < most_layouts) return layouts_.emplace_back(std::move(made)).get();
  next_ = (next_ + 1) % most_layouts;
  layouts_[next_] = std::move(made);
  return layouts_[next_].get();
}

void InstanceClasses::begin() {
  ++item_;
  next_number_ = 0;
  last_type_ = nullptr;
  if (classes_.size() > most_classes) classes_.clear();
}

InstanceClass* InstanceClasses::look(PyTypeObject* type) {
  InstanceClass& found = classes_[type];
  if (found.item_ != item_) {
    if (!found.is_known(type)) {
      const WithoutCollecting quiet;
      found.inspect(type);
    }
    found.item_ = item_;
    found.taken_ =
        found.simple_ && found.name_.find_loaded() == reinterpret_cast<PyObject*>(type) && !has_reducer(type);
  }
  last_type_ = type;
  last_ = found.taken_ ? &found : nullptr;
  return last_;
}

}  // namespace conveyor::python
