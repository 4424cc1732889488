#include "key_codec.hpp"

#include <cmath>

#include "../codec/object_ops.hpp"

namespace conveyor::python {
namespace {

// In front of what conveyor.shared._keys has put in a key's place. No op: only the original is ever decoded.
constexpr std::uint8_t told_otherwise = 0x3f;

class Canonical {
 public:
  explicit Canonical(Buffer& out) : out_(out) {}
  bool exact = true;

  bool value(PyObject* object, int depth) {
    PyTypeObject* const type = Py_TYPE(object);
    if (type == &PyUnicode_Type || type == &PyLong_Type || type == &PyBytes_Type || object == Py_None)
      return scalar(object);
    if (type == &PyBool_Type) {
      exact = false;
      out_.put(object == Py_True ? small_int + 1 : small_int);
      return true;
    }
    if (type == &PyFloat_Type) return real(PyFloat_AS_DOUBLE(object), object);
    if (type == &PyTuple_Type && depth < deepest) return tuple(object, depth);
    return other(object, depth);
  }

 private:
  // One object by itself has no references, but may be marked as one that could be referred to.
  bool scalar(PyObject* object) {
    const std::size_t at = out_.size();
    if (encode(object, out_) == Kind::pickle) return other(object, 0);  // a very long one
    auto& op = reinterpret_cast<std::uint8_t&>(out_.data()[at]);
    if (op < small_int) op &= static_cast<std::uint8_t>(~remembered);
    return true;
  }

  bool real(double number, PyObject* object) {
    if (std::isfinite(number) && std::trunc(number) == number) {
      exact = false;
      const nb::object whole = nb::steal(PyLong_FromDouble(number));
      return whole.is_valid() && scalar(whole.ptr());
    }
    if (!std::isnan(number)) return scalar(object);
    const nb::object nan = nb::steal(PyFloat_FromDouble(std::nan("")));
    return nan.is_valid() && scalar(nan.ptr());
  }

  bool tuple(PyObject* object, int depth) {
    const Py_ssize_t size = PyTuple_GET_SIZE(object);
    if (size < 256) {
      out_.put(op_tuple8);
      out_.put(static_cast<std::uint8_t>(size));
    } else {
      const auto narrow = static_cast<std::uint32_t>(size);
      if (static_cast<Py_ssize_t>(narrow) != size) return too_large();
      out_.put(op_tuple32);
      out_.put(&narrow, 4);
    }
    for (Py_ssize_t i = 0; i < size; ++i) {
      if (!value(PyTuple_GET_ITEM(object, i), depth + 1)) return false;
    }
    return true;
  }

  bool other(PyObject* object, int depth) {
    if (depth > deepest) return too_large();
    exact = false;
    const nb::object module = import_module("conveyor.shared._keys");
    if (!module.is_valid()) return false;
    // (whether it equals the key, what is to be compared in its place)
    const nb::object told = call_method(module, "comparable", nb::handle(object));
    if (!told.is_valid()) return false;
    if (PyTuple_GET_ITEM(told.ptr(), 0) != Py_True) out_.put(told_otherwise);
    return value(PyTuple_GET_ITEM(told.ptr(), 1), depth + 1);
  }

  static bool too_large() {
    PyErr_SetString(PyExc_TypeError, "the key is nested too deeply, or too large");
    return false;
  }

  Buffer& out_;
};

}  // namespace

bool encode_key(const DictStore& store, const ValueCodec& codec, nb::handle key, bool to_store, EncodedKey& into) {
  Canonical canonical(into.canonical);
  if (!canonical.value(key.ptr(), 0)) return false;
  if (into.canonical.size() > UINT32_MAX) {
    PyErr_SetString(PyExc_TypeError, "the key is too large: it takes more than 4 GiB");
    return false;
  }
  if (to_store && !canonical.exact) {
    static const ValueCodec* const plain = new ValueCodec(nb::str("auto"));  // never destroyed
    if (!plain->encode(key, into.original)) return false;
    const auto kind = static_cast<Kind>(into.original.bytes.kind);
    if (codec.is_users() && (kind == Kind::pickle || kind == Kind::instances)) {
      raise_format(PyExc_TypeError,
                   "key is %R, a %s, which only pickle can carry, and this dict has a codec that does without; "
                   "use a str, bytes, number or tuple of them",
                   key.ptr(), Py_TYPE(key.ptr())->tp_name);
      return false;
    }
    into.key.original = into.original.bytes;
  }
  into.key.canonical = {into.canonical.data(), into.canonical.size()};
  into.key.hash = store.hash(into.canonical.data(), into.canonical.size());
  return true;
}

nb::object decode_key(Copy& copy, const DictStore::Item& item) {
  static const ValueCodec* const plain = new ValueCodec(nb::str("auto"));  // never destroyed
  const auto kind = item.original ? item.key.kind : static_cast<std::uint8_t>(Kind::native);
  return plain->decode(kind, copy.data() + item.key.offset, item.key.size);
}

nb::object canonical_bytes(nb::handle key) {
  Buffer out;
  if (!Canonical(out).value(key.ptr(), 0)) return {};
  return nb::steal(
      PyBytes_FromStringAndSize(reinterpret_cast<const char*>(out.data()), static_cast<Py_ssize_t>(out.size())));
}

}  // namespace conveyor::python
