#include "codec_choice.hpp"

#include "../support/errors.hpp"
#include "pickling.hpp"

namespace conveyor::python {
namespace {

// FNV-1a (Fowler, Noll, Vo); never 0.
std::uint64_t hash_of(const nb::object& text) {
  const char* name = PyUnicode_AsUTF8(text.ptr());
  if (name == nullptr) throw nb::python_error();
  std::uint64_t hash = 0xcbf29ce484222325;
  for (; *name != 0; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 0x100000001b3;
  return hash == 0 ? 1 : hash;
}

}  // namespace

CodecChoice::CodecChoice(nb::object codec) {
  import_for_items();
  if (PyUnicode_Check(codec.ptr()) != 0) {
    native_ = PyUnicode_CompareWithASCIIString(codec.ptr(), "pickle") != 0;
    if (PyUnicode_CheckExact(codec.ptr()) != 0) return;
    const nb::object copies = attribute(codec, "copies_devices");
    if (!copies.is_valid()) PyErr_Clear();
    copies_devices_ = copies.ptr() == Py_True;
    return;
  }
  native_ = false;
  const nb::object name = attribute(codec, "name");
  if (!name.is_valid()) throw nb::python_error();
  id_ = hash_of(name);
  codec_ = std::move(codec);
}

bool CodecChoice::pack(nb::handle object, Payload& into) const {
  into.copies_devices = copies_devices_;
  return is_users() ? pack_by_codec(object, into) : pickle(object.ptr(), into);
}

bool CodecChoice::pack_by_codec(nb::handle object, Payload& into) const {
  into.kind = Kind::custom;
  into.codec = id_;
  const nb::object made = call_method(codec_, "dumps", object);
  if (!made.is_valid()) return false;
  if (PyTuple_Check(made.ptr()) == 0 || PyTuple_GET_SIZE(made.ptr()) != 2) {
    raise_format(PyExc_TypeError, "dumps of %R returned %R; it must return a tuple (header, buffers)", codec_.ptr(),
                 made.ptr());
    return false;
  }
  if (!into.add(PyTuple_GET_ITEM(made.ptr(), 0))) return false;
  const nb::object all = nb::steal(
      foreign([&] { return PySequence_Fast(PyTuple_GET_ITEM(made.ptr(), 1), "buffers from dumps are no sequence"); }));
  if (!all.is_valid()) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(all.ptr()); ++i) {
    if (!into.add_source(PySequence_Fast_GET_ITEM(all.ptr(), i))) return false;
  }
  return true;
}

}  // namespace conveyor::python
