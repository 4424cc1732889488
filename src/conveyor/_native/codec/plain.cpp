#include "plain.hpp"

#include <string_view>

#include "../support/gil.hpp"
#include "../support/loaded.hpp"

namespace conveyor::python {

namespace nb = nanobind;

namespace {

bool is_zone_info(PyTypeObject* type) {
  static PyObject* zone_info = nullptr;  // kept for the life of the process
  if (zone_info == nullptr) {
    if (!std::string_view(type->tp_name).ends_with("ZoneInfo")) return false;
    zone_info = Py_XNewRef(of_module("zoneinfo", "ZoneInfo"));
  }
  return reinterpret_cast<PyObject*>(type) == zone_info;
}

bool is_numpy(PyTypeObject* type) {
  static PyObject *array = nullptr, *scalar = nullptr;  // kept for the life of the process
  const std::string_view name = type->tp_name;
  if (!name.starts_with("numpy.") && name != "record") return false;  // numpy.record is written in Python
  if (array == nullptr) {
    scalar = Py_XNewRef(of_module("numpy", "generic"));
    if (scalar != nullptr) array = Py_XNewRef(of_module("numpy", "ndarray"));
    if (array == nullptr || !PyType_Check(scalar)) return array = nullptr, false;
  }
  return reinterpret_cast<PyObject*>(type) == array ||
         PyType_IsSubtype(type, reinterpret_cast<PyTypeObject*>(scalar)) != 0;
}

const char* name_of(Refused why) {
  switch (why) {
    case Refused::value: return "value";
    case Refused::too_deep: return "too_deep";
    case Refused::too_large: return "too_large";
    case Refused::inside_itself: return "inside_itself";
    default: return "type";
  }
}

// Plain data as Python's part of it uses it: codecs/plain_codec.py.
class PlainCoder {
 public:
  PlainCoder(nb::object refuse, nb::object join) : refuse_(std::move(refuse)), join_(std::move(join)) {}

  // Null: with a Python error set.
  nb::object encode(nb::handle object) const {
    nb::object foreign;
    nb::object tree = encode_tree(object, foreign);
    if (!foreign.is_valid() || !tree.is_valid()) return tree;
    return call(join_, object, tree, foreign);
  }

  nb::object tree(nb::handle object) const {
    nb::object foreign;
    const nb::object tree = encode_tree(object, foreign);
    if (!tree.is_valid()) return {};
    return nb::steal(PyTuple_Pack(2, tree.ptr(), foreign.is_valid() ? foreign.ptr() : Py_None));
  }

 private:
  nb::object encode_tree(nb::handle object, nb::object& foreign) const {
    Buffer buffer;
    std::vector<PyObject*> met;
    Refusal refusal;
    if (!encode_plain(object.ptr(), buffer, met, refusal)) {
      const nb::object obstacle = nb::borrow(refusal.object);  // before any Python code runs
      const nb::object why = nb::steal(PyUnicode_FromString(name_of(refusal.why)));
      if (!why.is_valid()) return {};
      const nb::object error = call(refuse_, object, obstacle, why);
      if (error.is_valid()) PyErr_SetString(PyExc_SystemError, "refuse has not raised");
      return {};
    }
    if (!met.empty()) {
      // Held before anything is made that the garbage collector looks at.
      for (PyObject* const each : met) Py_INCREF(each);
      foreign = nb::steal(PyList_New(static_cast<Py_ssize_t>(met.size())));
      for (std::size_t i = 0; i < met.size(); ++i) {
        if (foreign.is_valid()) {
          PyList_SET_ITEM(foreign.ptr(), static_cast<Py_ssize_t>(i), met[i]);
        } else {
          Py_DECREF(met[i]);
        }
      }
      if (!foreign.is_valid()) return {};
    }
    return nb::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(buffer.data()),
                                               static_cast<Py_ssize_t>(buffer.size())));
  }

  nb::object refuse_, join_;
};

}  // namespace

bool is_zone(PyObject* object) {
  PyTypeObject* const type = Py_TYPE(object);
  return (type == leaf_types[leaf_timezone] && type != nullptr) || is_zone_info(type);
}

bool is_foreign(PyObject* object) { return is_numpy(Py_TYPE(object)) || is_zone(object); }

void bind_plain(nb::module_& module) {
  using namespace nb::literals;
  nb::class_<PlainCoder>(module, "PlainCoder")
      .def(nb::init<nb::object, nb::object>(), "refuse"_a, "join"_a)
      .def("encode", &PlainCoder::encode, "obj"_a.none())
      .def("tree", &PlainCoder::tree, "obj"_a.none())
      .def(
          "decode",
          [](const PlainCoder&, nb::handle data, nb::handle foreign) -> nb::object {
            Py_buffer view;
            if (python::foreign([&] { return PyObject_GetBuffer(data.ptr(), &view, PyBUF_SIMPLE); }) != 0) return {};
            nb::object made =
                nb::steal(decode_plain(static_cast<const std::byte*>(view.buf), static_cast<std::size_t>(view.len),
                                       foreign.is_none() ? nullptr : foreign.ptr()));
            python::foreign([&] { PyBuffer_Release(&view); });
            return made;
          },
          "data"_a, "foreign"_a = nb::none());
}

}  // namespace conveyor::python
