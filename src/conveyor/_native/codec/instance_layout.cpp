#include "instance_layout.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "../support/errors.hpp"

namespace conveyor::python {
namespace {

// Guarded by the GIL.
struct KeptLayouts {
  static constexpr std::size_t slots = 256;
  static constexpr std::size_t longest = 2048;
  InstanceLayout* at[slots] = {};
};

// A name in UTF-8 with its length before it: new reference; null, and no error, for bytes that are none.
PyObject* read_name(const char*& at, const char* end) {
  if (at == end) return nullptr;
  const auto size = static_cast<unsigned char>(*at++);
  if (end - at < size) return nullptr;
  PyObject* const name = PyUnicode_DecodeUTF8(at, size, "strict");
  if (name == nullptr) return PyErr_Clear(), nullptr;
  at += size;
  return name;
}

bool parse(InstanceLayout& into) {
  const char* at = into.definition.data();
  const char* const end = at + into.definition.size();
  if (end - at < 3) return false;
  const auto form = static_cast<std::uint8_t>(*at++);
  if (form > static_cast<std::uint8_t>(InstanceForm::tuple)) return false;
  into.form = static_cast<InstanceForm>(form);
  into.in_dict = static_cast<unsigned char>(*at++);
  const std::size_t count = into.in_dict + static_cast<unsigned char>(*at++);
  const nb::object module = nb::steal(read_name(at, end));
  const nb::object qualname = module.is_valid() ? nb::steal(read_name(at, end)) : nb::object();
  if (!qualname.is_valid() || !into.name.set(module.ptr(), qualname.ptr())) return false;
  for (std::size_t i = 0; i < count; ++i) {
    PyObject* name = read_name(at, end);
    if (name == nullptr) return false;
    PyUnicode_InternInPlace(&name);
    into.names.push_back(name);
  }
  return at == end;
}

// By pickle itself, so that the import, what is refused and the words for it are its own: STACK_GLOBAL of two strings.
nb::object find_by_pickle(const ClassName& name) {
  std::string text("\x80\x04");
  for (PyObject* const part : {name.module(), name.qualname()}) {
    Py_ssize_t size;
    const char* const bytes = PyUnicode_AsUTF8AndSize(part, &size);
    if (bytes == nullptr) return {};
    const auto narrow = static_cast<std::uint32_t>(size);
    text += 'X';
    text.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
    text.append(bytes, static_cast<std::size_t>(size));
  }
  text += "\x93.";
  const nb::object module = import_module("pickle");
  const nb::object loads = module.is_valid() ? attribute(module, "loads") : nb::object();
  const nb::object pickled = nb::steal(PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
  return loads.is_valid() && pickled.is_valid() ? call(loads, pickled) : nb::object();
}

void raise_unpickling(const char* format, PyObject* about) {
  const nb::object module = import_module("pickle");
  const nb::object type = module.is_valid() ? attribute(module, "UnpicklingError") : nb::object();
  if (type.is_valid()) raise_format(type.ptr(), format, Py_TYPE(about)->tp_name);
}

// A str, as what `__reduce_ex__` has made of the names.
nb::object make_dict(PyObject* const* names, PyObject* const* values, std::size_t count) {
  nb::object made = nb::steal(PyDict_New());
  for (std::size_t i = 0; made.is_valid() && i < count; ++i) {
    if (PyDict_SetItem(made.ptr(), names[i], values[i]) != 0) return {};
  }
  return made;
}

bool call_setstate(const nb::object& setstate, const InstanceLayout& layout, PyObject* const* values) {
  const std::size_t in_slots = layout.names.size() - layout.in_dict;
  nb::object state = nb::none();
  if (layout.in_dict != 0) state = make_dict(layout.names.data(), values, layout.in_dict);
  if (in_slots != 0 && state.is_valid()) {
    const nb::object slots = make_dict(layout.names.data() + layout.in_dict, values + layout.in_dict, in_slots);
    state = slots.is_valid() ? nb::steal(PyTuple_Pack(2, state.ptr(), slots.ptr())) : nb::object();
  }
  const Last gone(state);
  nb::object result = state.is_valid() ? call(setstate, state) : nb::object();
  const bool done = result.is_valid();
  Last::drop(result);
  return done;
}

PyObject* setstate_name() {
  static PyObject* const name = PyUnicode_InternFromString("__setstate__");
  return name;
}

// New reference; null: there is none, or with a Python error set.
PyObject* optional_attribute(PyObject* object, PyObject* name) {
  PyObject* found = nullptr;
#if PY_VERSION_HEX >= 0x030D0000
  foreign([&] { PyObject_GetOptionalAttr(object, name, &found); });
#else
  foreign([&] { _PyObject_LookupAttr(object, name, &found); });
#endif
  return found;
}

// What is in there may be half a class, or another one soon; pickle's import waits for its end.
// `whole`: the spec of one that is there, held, so that it is no other's.
bool is_being_imported(PyObject* module, nb::object& whole) {
  static PyObject *const its_spec = PyUnicode_InternFromString("__spec__"), *const initializing =
                                                                                PyUnicode_InternFromString(
                                                                                    "_initializing");
  const nb::object spec = nb::borrow(PyDict_GetItemWithError(PyModule_GetDict(module), its_spec));
  if (!spec.is_valid() || spec.is_none()) return PyErr_Clear(), false;
  if (spec.is(whole)) return false;
  const nb::object told = nb::steal(optional_attribute(spec.ptr(), initializing));
  const int is = told.is_valid() ? foreign([&] { return PyObject_IsTrue(told.ptr()); }) : 0;
  PyErr_Clear();
  if (is == 0 && told.is_valid()) {
    nb::object before = std::exchange(whole, spec);
    Last::drop(before);
  }
  return is > 0;
}

// Within `foreign`.
bool set_slots(PyObject* object, const InstanceLayout& layout, PyObject* const* values) {
  for (std::size_t i = layout.in_dict; i < layout.names.size(); ++i) {
    if (PyObject_SetAttr(object, layout.names[i], values[i]) != 0) return false;
  }
  return true;
}

bool set_as_pickle(PyObject* object, const InstanceLayout& layout, PyObject* const* values) {
  nb::object own = nb::steal(optional_attribute(object, setstate_name()));
  const Last own_gone(own);
  if (own.is_valid()) return call_setstate(own, layout, values);
  if (PyErr_Occurred() != nullptr) return false;
  nb::object dict;
  const Last dict_gone(dict);
  if (layout.in_dict != 0) {
    dict = attribute(object, "__dict__");
    if (!dict.is_valid()) return false;
  }
  return foreign([&, to = dict.ptr()] {
    for (std::size_t i = 0; i < layout.in_dict; ++i) {
      const int failed = PyDict_CheckExact(to) ? PyDict_SetItem(to, layout.names[i], values[i])
                                               : PyObject_SetItem(to, layout.names[i], values[i]);
      if (failed != 0) return false;
    }
    return set_slots(object, layout, values);
  });
}

// Without Python code. So that a new instance gets no `__dict__` made before somebody asks for it.
bool can_be_direct(PyTypeObject* type, const InstanceLayout& layout) {
  static PyObject* const its_dict = PyUnicode_InternFromString("__dict__");
  // With object's own `__new__` it is an instance of this class, and has nothing yet.
  if (type->tp_new != PyBaseObject_Type.tp_new || type->tp_getattro != PyObject_GenericGetAttr ||
      _PyType_Lookup(type, setstate_name()) != nullptr)
    return false;
  if (layout.in_dict == 0) return true;
  PyObject* const place = _PyType_Lookup(type, its_dict);
  if (place == nullptr || !Py_IS_TYPE(place, &PyGetSetDescr_Type)) return false;
  for (std::size_t i = 0; i < layout.in_dict; ++i) {
    PyObject* const found = _PyType_Lookup(type, layout.names[i]);
    if (found != nullptr && Py_TYPE(found)->tp_descr_set != nullptr) return false;
  }
  return true;
}

bool is_direct(PyTypeObject* type, const InstanceLayout& layout) {
  if (layout.known != type || layout.version == 0 || layout.version != type->tp_version_tag) {
    layout.direct = can_be_direct(type, layout);
    layout.known = type;
    layout.version = type->tp_version_tag;
  }
  return layout.direct;
}

}  // namespace

void let_go(InstanceLayout* layout) {
  if (layout == nullptr || --layout->users != 0) return;
  nb::object whole = std::move(layout->whole);
  delete layout;
  Last::drop(whole);
}

InstanceLayout* read_layout(const std::byte* data, std::size_t size) {
  static KeptLayouts* const kept = new KeptLayouts;  // never destroyed: it would outlive the interpreter
  const std::string_view seen(reinterpret_cast<const char*>(data), size);
  const bool keeps = size <= KeptLayouts::longest;
  InstanceLayout** const place = keeps ? &kept->at[std::hash<std::string_view>{}(seen) % KeptLayouts::slots] : nullptr;
  if (keeps && *place != nullptr && (*place)->definition == seen) {
    ++(*place)->users;
    return *place;
  }
  auto made = std::make_unique<InstanceLayout>();
  made->definition = seen;
  if (!parse(*made)) return nullptr;
  made->users = keeps ? 2 : 1;
  if (keeps) let_go(std::exchange(*place, made.get()));
  return made.release();
}

PyTypeObject* find_class(const InstanceLayout& layout) {
  const ClassName& name = layout.name;
  const int heard = foreign([&] { return PySys_Audit("pickle.find_class", "OO", name.module(), name.qualname()); });
  if (heard != 0) return nullptr;
  PyObject* const module = name.find_module();
  const bool is_whole = module != nullptr && !is_being_imported(module, layout.whole);
  nb::object found = nb::borrow(is_whole ? name.find_loaded() : nullptr);
  if (!found.is_valid()) found = find_by_pickle(name);
  if (!found.is_valid()) return nullptr;
  if (!PyType_Check(found.ptr())) {
    raise_unpickling("NEWOBJ class argument must be a type, not %.200s", found.ptr());
  } else if (reinterpret_cast<PyTypeObject*>(found.ptr())->tp_new == nullptr) {
    raise_unpickling("NEWOBJ class argument doesn't have __new__: %.200s", found.ptr());
  } else {
    return reinterpret_cast<PyTypeObject*>(found.release().ptr());
  }
  Last::drop(found);
  return nullptr;
}

PyObject* make_instance(PyTypeObject* type, PyObject* arguments) {
  return foreign([&] { return type->tp_new(type, arguments, nullptr); });
}

bool set_state(PyObject* object, PyTypeObject* type, const InstanceLayout& layout, PyObject* const* values) {
  if (!is_direct(type, layout)) return set_as_pickle(object, layout, values);
  return foreign([&] {
    for (std::size_t i = 0; i < layout.in_dict; ++i) {
      if (PyObject_GenericSetAttr(object, layout.names[i], values[i]) != 0) return false;
    }
    return set_slots(object, layout, values);
  });
}

}  // namespace conveyor::python
