#include "decoder_shapes.hpp"

#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "dict_layout.hpp"
#include "object_text.hpp"

namespace conveyor::python {
namespace {

// The keys of all shapes that live, by their letters, and of how many: in an item whose dicts share a key, it comes out as one.
struct SharedKey {
  PyObject* key;
  std::size_t shapes;
};
using SharedKeys = std::unordered_map<std::string_view, SharedKey>;
SharedKeys& shared_keys() {
  static SharedKeys* const keys = new SharedKeys;  // never destroyed: it would outlive the interpreter
  return *keys;
}
std::string_view letters_of(PyObject* key) {
  return {static_cast<const char*>(PyUnicode_DATA(key)), static_cast<std::size_t>(PyUnicode_GET_LENGTH(key))};
}

// Borrowed, and held for the shape until `drop_key`. Null: not ASCII, or with an error set, no memory.
PyObject* hold_key(const std::byte* text, std::size_t size) {
  PyObject* const made = make_ascii(text, static_cast<Py_ssize_t>(size));
  if (made == nullptr) return nullptr;
  // By the letters of the object, which live as long as the entry.
  SharedKey& held = shared_keys().try_emplace(letters_of(made), SharedKey{made, 0}).first->second;
  if (held.shapes++ != 0) Py_DECREF(made);
  return held.key;
}

void drop_key(PyObject* key) {
  const auto found = shared_keys().find(letters_of(key));
  if (--found->second.shapes != 0) return;
  shared_keys().erase(found);
  Py_DECREF(key);
}

// Null: the block is none, or with an error set, there was no memory.
std::unique_ptr<DecoderShape> make_decoder_shape(const std::byte* from, std::size_t size) {
  auto made = std::make_unique<DecoderShape>();
  // Copied first: what was looked at is then what is used, whatever happens to the shared memory.
  made->block.assign(from, from + size);
  const std::byte* at = made->block.data();
  const std::byte* const end = at + size;
  const auto count = static_cast<std::size_t>(*at++);
  if (count == 0 || count > static_cast<std::size_t>(most_keys)) return nullptr;
  made->keys.reserve(count);
  made->model = PyDict_New();
  if (made->model == nullptr) return nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    if (at == end) return nullptr;
    const auto length = static_cast<std::size_t>(*at++);
    if (length > static_cast<std::size_t>(end - at)) return nullptr;
    PyObject* const key = hold_key(at, length);
    if (key == nullptr) return nullptr;
    made->keys.push_back(key);
    at += length;
    if (PyDict_SetItem(made->model, key, Py_None) != 0) return nullptr;
  }
  const bool whole = at == end && PyDict_GET_SIZE(made->model) == static_cast<Py_ssize_t>(count);  // no key twice
  return whole ? std::move(made) : nullptr;
}

}  // namespace

DecoderShape::~DecoderShape() {
  Py_XDECREF(model);  // of str and None: no code runs
  for (PyObject* const key : keys) drop_key(key);
}

DecoderShape* DecoderShapes::find_further(Place& place, const std::byte* block, std::size_t size) {
  if (is(place.second, block, size)) {
    std::swap(place.first, place.second);
    return ++place.first->uses, place.first;
  }
  if (size == 0 || size > most_block) return nullptr;
  // Making a dict may run the garbage collector, and that any code, which may decode: the place is looked at afterwards.
  DecoderShape* const made = make_decoder_shape(block, size).release();
  if (made == nullptr) return nullptr;
  DecoderShape* const oldest = place.second;
  place.second = place.first;
  place.first = made;
  made->uses = 2;
  if (oldest != nullptr) release(oldest);
  return made;
}

PyObject* fill_shape(const DecoderShape& shape, PyObject* made, PyObject** values) {
  const auto count = shape.keys.size();
  if (made == nullptr) made = PyDict_Copy(shape.model);
  DictEntry* const entries = made == nullptr ? nullptr : entries_of(made);
  bool direct = entries != nullptr && PyDict_GET_SIZE(made) == static_cast<Py_ssize_t>(count);
  // One that was there before its values may have been found and changed by any code that the garbage collector ran.
  for (std::size_t i = 0; direct && i < count; ++i)
    direct = entries[i].key == shape.keys[i] && entries[i].value == Py_None;
  if (direct) {
    bool tracked = false;
    for (std::size_t i = 0; i < count; ++i) {
      entries[i].value = values[i];
      tracked |= PyType_HasFeature(Py_TYPE(values[i]), Py_TPFLAGS_HAVE_GC) != 0;
      Py_DECREF(Py_None);  // which was there
    }
    // A copy of a dict whose values are none of the collector's is not looked at by it, where CPython leaves such dicts out.
    if (tracked && PyObject_GC_IsTracked(made) == 0) PyObject_GC_Track(made);
    return made;
  }
  bool stored = made != nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    stored = stored && PyDict_SetItem(made, shape.keys[i], values[i]) == 0;
    Py_DECREF(values[i]);
  }
  if (stored) return made;
  Py_XDECREF(made);
  return nullptr;
}

}  // namespace conveyor::python
