// Shapes of dicts that were sent lately: the very same keys in the same order. Of records there are many of each, and
// their keys are then compared by address and written as one block.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dict_layout.hpp"
#include "object_ops.hpp"

namespace conveyor::python {

struct EncoderShape {
  ~EncoderShape() {
    for (PyObject* const key : keys) Py_DECREF(key);  // a str: no code runs
  }
  std::vector<PyObject*> keys;   // held: an address that is compared is that of a living object
  std::vector<std::byte> block;  // as it is written: op, size, keys
  std::uint64_t bits = 0;        // `bit_of` each key
  std::uint32_t round = 0;       // the item that had it last,
  std::uint8_t index = 0;        // and which of that item's shapes it was
};

// Guarded by the GIL. Holds the keys of at most two for each place for the life of the process.
class EncoderShapes {
 public:
  // What an object's address is in a set of objects that may say yes where it should say no.
  static std::uint64_t bit_of(const PyObject* object) { return std::uint64_t{1} << (mixed(object) >> 58); }

  void begin() {
    used_count_ = 0;
    key_bits_ = 0;
    text_bits_ = 0;
    if (++round_ == 0) forget_rounds();
  }

  // Of a dict with these entries; null if it goes key by key. It becomes a shape when it is met a second time, as most
  // dicts are no records.
  [[gnu::always_inline]] EncoderShape* find(const DictEntry* entries, Py_ssize_t count) {
    if (count > most_keys || count < least_keys) return nullptr;
    Place& place =
        places_[(mixed(entries[0].key) ^ mixed(entries[count - 1].key) * 3 ^ static_cast<std::uint64_t>(count) << 57) >>
                (64 - place_bits)];
    if (is(place.first.get(), entries, count)) return place.first.get();
    return find_further(place, entries, count);
  }

  bool in_item(const EncoderShape& shape) const { return shape.round == round_; }
  bool has_room() const { return used_count_ != most_shapes; }
  void use(EncoderShape& shape) {
    shape.round = round_;
    shape.index = static_cast<std::uint8_t>(used_count_);
    used_[used_count_++] = &shape;
    key_bits_ |= shape.bits;
  }

  // Whether it may be a key of one of the item's shapes, and of which one it is: then `key` is its index there.
  [[gnu::always_inline]] bool may_be_key(const PyObject* object) const {
    return key_bits_ != 0 && (key_bits_ & bit_of(object)) != 0;
  }
  const EncoderShape* find_key(const PyObject* object, std::uint8_t& key) const;

  // The str that have numbers in the item: what is met with one is referred to by it, as a key, too.
  [[gnu::always_inline]] void note_text(const PyObject* object) { text_bits_ |= bit_of(object); }
  bool may_have_numbers(const EncoderShape& shape) const { return (text_bits_ & shape.bits) != 0; }

 private:
  static constexpr int place_bits = 7;
  // The second is the one that was met longer ago.
  struct Place {
    std::unique_ptr<EncoderShape> first, second;
    std::uint64_t seen = 0;  // of the keys that were met last and are no shape yet
  };

  static std::uint64_t mixed(const PyObject* object) {
    return (reinterpret_cast<std::uintptr_t>(object) >> 4) * 0x9E3779B97F4A7C15;
  }
  [[gnu::always_inline]] static bool is(const EncoderShape* shape, const DictEntry* entries, Py_ssize_t count) {
    if (shape == nullptr || static_cast<Py_ssize_t>(shape->keys.size()) != count) return false;
    PyObject* const* const keys = shape->keys.data();
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (keys[i] != entries[i].key) return false;
    }
    return true;
  }
  EncoderShape* find_further(Place& place, const DictEntry* entries, Py_ssize_t count);
  void forget_rounds();

  Place places_[std::size_t{1} << place_bits];
  const EncoderShape* used_[most_shapes];
  std::uint32_t round_ = 0;
  int used_count_ = 0;
  std::uint64_t key_bits_ = 0;
  std::uint64_t text_bits_ = 0;
};

}  // namespace conveyor::python
