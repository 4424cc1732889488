#include "encoder_shapes.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace conveyor::python {
namespace {

// Null: one of the keys is no short str of ASCII, or together they are too long.
std::unique_ptr<EncoderShape> make_encoder_shape(const DictEntry* entries, Py_ssize_t count) {
  auto made = std::make_unique<EncoderShape>();
  std::size_t size = shape_head;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* const key = entries[i].key;
    if (!PyUnicode_CheckExact(key)) return nullptr;
#if PY_VERSION_HEX < 0x030C0000
    if (!PyUnicode_IS_READY(key)) return nullptr;
#endif
    if (!PyUnicode_IS_ASCII(key) || PyUnicode_GET_LENGTH(key) > 255) return nullptr;
    size += 1 + static_cast<std::size_t>(PyUnicode_GET_LENGTH(key));
    if (size - shape_size > most_block) return nullptr;
  }
  made->block.resize(size);
  made->keys.reserve(static_cast<std::size_t>(count));
  std::byte* at = made->block.data();
  const auto block = static_cast<std::uint16_t>(size - shape_size);
  *at = static_cast<std::byte>(op_shape);
  std::memcpy(at + 1, &block, sizeof block);
  at[3] = static_cast<std::byte>(count);
  at += shape_head;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* const key = entries[i].key;
    const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(key));
    *at = static_cast<std::byte>(length);
    if (length != 0) std::memcpy(at + 1, PyUnicode_DATA(key), length);
    at += 1 + length;
    made->keys.push_back(Py_NewRef(key));
    made->bits |= EncoderShapes::bit_of(key);
  }
  return made;
}

}  // namespace

EncoderShape* EncoderShapes::find_further(Place& place, const DictEntry* entries, Py_ssize_t count) {
  if (is(place.second.get(), entries, count)) {
    std::swap(place.first, place.second);
    return place.first.get();
  }
  std::uint64_t seen = static_cast<std::uint64_t>(count);
  for (Py_ssize_t i = 0; i < count; ++i) seen = (seen ^ mixed(entries[i].key)) * 0xD6E8FEB86659FD93 + 1;
  if (seen != place.seen) return place.seen = seen, nullptr;
  // One that this item has named is needed until its end.
  if (place.second != nullptr && in_item(*place.second)) return nullptr;
  auto made = make_encoder_shape(entries, count);
  if (made == nullptr) return nullptr;
  place.second = std::move(place.first);
  place.first = std::move(made);
  return place.first.get();
}

const EncoderShape* EncoderShapes::find_key(const PyObject* object, std::uint8_t& key) const {
  for (int i = 0; i < used_count_; ++i) {
    const std::vector<PyObject*>& keys = used_[i]->keys;
    const auto at = std::find(keys.begin(), keys.end(), object);
    if (at == keys.end()) continue;
    key = static_cast<std::uint8_t>(at - keys.begin());
    return used_[i];
  }
  return nullptr;
}

void EncoderShapes::forget_rounds() {
  for (Place& place : places_) {
    for (EncoderShape* const each : {place.first.get(), place.second.get()}) {
      if (each != nullptr) each->round = 0;
    }
  }
  round_ = 1;
}

}  // namespace conveyor::python
