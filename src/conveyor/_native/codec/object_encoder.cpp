#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "../support/gil.hpp"
#include "encoder_shapes.hpp"
#include "instance_class.hpp"
#include "object_codec.hpp"
#include "object_leaves.hpp"
#include "object_memo.hpp"
#include "object_moments.hpp"
#include "object_ops.hpp"
#include "plain.hpp"

namespace conveyor::python {
namespace {

// A larger bytes or str inside a container goes to pickle, which passes it on without copying it first.
constexpr Py_ssize_t large_leaf = 16 * 1024;

template <class Kind>
class Encoder {
  static constexpr bool plain = std::is_same_v<Kind, Plain>;
  static constexpr int most_depth = plain ? deepest_plain : deepest;
  static constexpr Py_ssize_t most_leaf = plain ? std::numeric_limits<std::int32_t>::max() : large_leaf;

 public:
  Encoder(Buffer& into, Memo& memo, EncoderShapes& shapes, Kind kind = {})
      : out_(into), memo_(memo), shapes_(shapes), kind_(std::move(kind)) {}

  bool run(PyObject* object) { return value(object, 0) && !recursive_; }
  bool has_instances() const { return has_instances_; }

 private:
  bool refuse([[maybe_unused]] PyObject* object, [[maybe_unused]] Refused why) {
    if constexpr (plain) kind_.refusal = {object, why};
    return false;
  }

  bool value(PyObject* object, int depth) {
    PyTypeObject* const type = Py_TYPE(object);
    if (type == &PyLong_Type) return integer(object);
    if (type == &PyUnicode_Type) return text(object);
    if (object == Py_None) return out_.put(op_none), true;
    if (type == &PyFloat_Type) {
      const double number = PyFloat_AS_DOUBLE(object);
      std::byte* const at = out_.extend(9);
      at[0] = static_cast<std::byte>(op_float);
      std::memcpy(at + 1, &number, 8);
      return true;
    }
    if (type == &PyBool_Type) return out_.put(object == Py_True ? op_true : op_false), true;
    if (type == &PyBytes_Type) return bytes(object);
    if (depth < most_depth) {
      if (type == &PyTuple_Type) return tuple(object, depth + 1);
      if (type == &PyDict_Type) return dict(object, depth + 1);
      if (type == &PyList_Type) return list(object, depth + 1);
      if (type == &PySet_Type || type == &PyFrozenSet_Type) return set(object, type == &PySet_Type, depth + 1);
    } else if (plain && (type == &PyTuple_Type || type == &PyDict_Type || type == &PyList_Type || type == &PySet_Type ||
                         type == &PyFrozenSet_Type)) {
      return refuse(object, Refused::too_deep);
    }
    if constexpr (!plain) {
      if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0) {
        if (InstanceClass* const found = class_of(type); found != nullptr)
          return depth < most_depth && instance(object, *found, depth + 1);
      }
    }
    return leaf(object);
  }

  enum class Meeting { first, again, refused };

  // Of an object met before it writes a reference; else `mark` is what to add to its op.
  [[gnu::always_inline]] Meeting meet(PyObject* object, std::uint8_t& mark, [[maybe_unused]] int depth = 0) {
    mark = 0;
    if (Py_REFCNT(object) == 1) return Meeting::first;
    const std::int64_t number = memo_.find_or_add(object);
    if (number < 0) {
      mark = remembered;
      if constexpr (plain) kind_.heights.push_back(0);
      return Meeting::first;
    }
    // A tuple or frozenset inside itself: rare, and pickle knows how. The decoder can then be sure
    // that no half-filled tuple is ever reached.
    for (int i = 0; i < open_count_; ++i) {
      if (open_[i] != object) continue;
      recursive_ = true;
      if (plain) return refuse(object, Refused::inside_itself), Meeting::refused;
    }
    const auto narrow = static_cast<std::uint32_t>(number);
    if constexpr (plain) {
      const int reach = depth + kind_.heights[narrow];
      if (reach > most_depth) return refuse(object, Refused::too_deep), Meeting::refused;
      if (reach > kind_.reach) kind_.reach = reach;
    }
    out_.put(op_reference);
    out_.put(&narrow, 4);
    return Meeting::again;
  }

  // The same for what is no str and no bytes. In plain data nothing refers to it from where it is hashed.
  [[gnu::always_inline]] Meeting meet_value(PyObject* object, std::uint8_t& mark, int depth) {
    if constexpr (plain) {
      mark = 0;
      if (kind_.in_keys != 0) return Meeting::first;
    }
    return meet(object, mark, depth);
  }

  // Writes a container's op and length, and by `elements` what is in it. `depth` is that of the elements.
  template <class Head, class Elements>
  [[gnu::always_inline]] bool container(PyObject* object, int depth, Head head, Elements elements) {
    std::uint8_t mark;
    const Meeting meeting = meet_value(object, mark, depth - 1);
    if (meeting != Meeting::first) return meeting == Meeting::again;
    if constexpr (!plain) {
      return head(mark) && elements();
    } else {
      const std::size_t number = kind_.heights.size() - 1;  // if it has one
      const int before = kind_.reach;
      kind_.reach = depth;
      if (!head(mark)) return refuse(object, Refused::too_large);
      if (!elements()) return false;
      if (mark != 0) kind_.heights[number] = static_cast<std::uint16_t>(kind_.reach - (depth - 1));
      if (before > kind_.reach) kind_.reach = before;
      return true;
    }
  }

  // The op and the length, in one or four bytes; `wide` is the op after `narrow`.
  bool head(std::uint8_t narrow, std::uint8_t mark, Py_ssize_t length) {
    if (length < 256) {
      std::byte* const at = out_.extend(2);
      at[0] = static_cast<std::byte>(narrow | mark);
      at[1] = static_cast<std::byte>(length);
      return true;
    }
    return head32(narrow + 1, mark, length);
  }
  // The op, the length and so many bytes.
  [[gnu::always_inline]] bool counted(std::uint8_t narrow, std::uint8_t mark, const void* from, Py_ssize_t length) {
    if (length < 256) [[likely]] {
      std::byte* const at = out_.extend(2 + static_cast<std::size_t>(length));
      at[0] = static_cast<std::byte>(narrow | mark);
      at[1] = static_cast<std::byte>(length);
      std::memcpy(at + 2, from, static_cast<std::size_t>(length));
      return true;
    }
    if (!head32(narrow + 1, mark, length)) return false;
    out_.put(from, static_cast<std::size_t>(length));
    return true;
  }
  bool head32(int op, std::uint8_t mark, Py_ssize_t length) {
    if (length > std::numeric_limits<std::int32_t>::max()) return false;
    const auto narrow = static_cast<std::uint32_t>(length);
    std::byte* const at = out_.extend(5);
    at[0] = static_cast<std::byte>(op | mark);
    std::memcpy(at + 1, &narrow, 4);
    return true;
  }

  bool integer(PyObject* object) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0) return large_integer(object);
    if (number >= 0 && number < 128) return out_.put(static_cast<std::uint8_t>(small_int + number)), true;
    if (number >= -128 && number < 128) {
      std::byte* const at = out_.extend(2);
      at[0] = static_cast<std::byte>(op_int8);
      at[1] = static_cast<std::byte>(number);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
      const auto narrow = static_cast<std::int32_t>(number);
      std::byte* const at = out_.extend(5);
      at[0] = static_cast<std::byte>(op_int32);
      std::memcpy(at + 1, &narrow, 4);
    } else {
      std::byte* const at = out_.extend(9);
      at[0] = static_cast<std::byte>(op_int64);
      std::memcpy(at + 1, &number, 8);
    }
    return true;
  }

  // Little-endian two's complement, as pickle's LONG1.
  bool large_integer(PyObject* object) {
#if PY_VERSION_HEX >= 0x030D0000
    const Py_ssize_t size = PyLong_AsNativeBytes(object, nullptr, 0, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
    if (size < 0 || size > most_leaf || !head32(op_int_large, 0, size)) return refuse(object, Refused::too_large);
    return PyLong_AsNativeBytes(object, out_.extend(static_cast<std::size_t>(size)), size,
                                Py_ASNATIVEBYTES_LITTLE_ENDIAN) >= 0;
#else
    const std::size_t bits = _PyLong_NumBits(object);
    const std::size_t size = bits / 8 + 1;
    if (size > static_cast<std::size_t>(most_leaf) || !head32(op_int_large, 0, static_cast<Py_ssize_t>(size)))
      return refuse(object, Refused::too_large);
    return _PyLong_AsByteArray(reinterpret_cast<PyLongObject*>(object),
                               reinterpret_cast<unsigned char*>(out_.extend(size)), size, 1, 1) == 0;
#endif
  }

  bool text(PyObject* object) {
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(object) != 0) return PyErr_Clear(), refuse(object, Refused::too_large);
#endif
    const Py_ssize_t length = PyUnicode_GET_LENGTH(object);
    const int width = PyUnicode_KIND(object);
    if (length * width > most_leaf) return refuse(object, Refused::too_large);
    std::uint8_t mark;
    if constexpr (!plain) {
      if (shapes_.may_be_key(object) && shape_key(object)) return true;
    }
    if (const Meeting meeting = meet(object, mark); meeting != Meeting::first) return meeting == Meeting::again;
    if constexpr (!plain) {
      if (mark != 0) shapes_.note_text(object);
    }
    if (PyUnicode_IS_ASCII(object)) return counted(op_ascii8, mark, PyUnicode_DATA(object), length);
    if (!head32(width == 1 ? op_latin1 : width == 2 ? op_ucs2 : op_ucs4, mark, length)) return false;
    out_.put(PyUnicode_DATA(object), static_cast<std::size_t>(length * width));
    return true;
  }

  bool bytes(PyObject* object) {
    const Py_ssize_t length = PyBytes_GET_SIZE(object);
    if (length > most_leaf) return refuse(object, Refused::too_large);
    std::uint8_t mark;
    if (const Meeting meeting = meet(object, mark); meeting != Meeting::first) return meeting == Meeting::again;
    return counted(op_bytes8, mark, PyBytes_AS_STRING(object), length);
  }

  bool leaf(PyObject* object) {
    const Leaf kind = leaf_of(Py_TYPE(object));
    if constexpr (plain) return plain_leaf(object, kind);
    if (kind == leaf_none) return false;
    if ((usual_ >> kind & 1) == 0) {  // once in an item: no Python code runs that could change it
      if (!pickled_as_usual(kind)) return false;
      usual_ |= 1U << kind;
    }
    std::uint8_t mark;
    if (const Meeting meeting = meet(object, mark); meeting != Meeting::first) return meeting == Meeting::again;
    out_.put(op_of(kind) | mark);
    return write_leaf(kind, object, out_);
  }

  bool plain_leaf(PyObject* object, Leaf kind) {
    if (is_foreign(object)) return foreign(object);
    const bool byte_array = Py_IS_TYPE(object, &PyByteArray_Type);
    if (kind == leaf_none && !byte_array) return refuse(object, Refused::type);
    std::uint8_t mark;
    if (const Meeting meeting = meet_value(object, mark, 0); meeting != Meeting::first)
      return meeting == Meeting::again;
    if (byte_array) {
      const Py_ssize_t length = PyByteArray_GET_SIZE(object);
      if (!head32(op_bytearray, mark, length)) return refuse(object, Refused::too_large);
      return out_.put(PyByteArray_AS_STRING(object), static_cast<std::size_t>(length)), true;
    }
    if (kind == leaf_decimal) return decimal(object, mark);
    PyObject* const zone = zone_of(kind, object);
    if (zone == nullptr) {
      out_.put(op_of(kind) | mark);
      return write_leaf(kind, object, out_) || refuse(object, Refused::value);
    }
    if (!is_zone(zone)) return refuse(zone, Refused::type);
    out_.put((kind == leaf_time ? op_time_zone : op_datetime_zone) | mark);
    return write_without_zone(kind, object, out_) ? foreign(zone) : refuse(object, Refused::value);
  }

  bool decimal(PyObject* object, std::uint8_t mark) {
    PyObject* const text = decimal_text(object);
    if (text == nullptr) return refuse(object, Refused::value);
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    bool fits = true;
    if (length < 256) {
      out_.put(op_decimal | mark);
      out_.put(static_cast<std::uint8_t>(length));
    } else {
      fits = head32(op_decimal32, mark, length);
    }
    if (fits) out_.put(PyUnicode_DATA(text), static_cast<std::size_t>(length));
    Py_DECREF(text);
    return fits || refuse(object, Refused::too_large);
  }

  bool foreign(PyObject* object) {
    std::uint32_t number = 0;
    if constexpr (plain) {
      number = static_cast<std::uint32_t>(kind_.foreign.size());
      if (Py_REFCNT(object) > 1) number = kind_.foreign_numbers.try_emplace(object, number).first->second;
      if (number == kind_.foreign.size()) kind_.foreign.push_back(object);
    }
    out_.put(op_foreign);
    return out_.put(&number, 4), true;
  }

  bool tuple(PyObject* object, int depth) {
    const Py_ssize_t length = PyTuple_GET_SIZE(object);
    return container(
        object, depth, [&](std::uint8_t mark) { return head(op_tuple8, mark, length); },
        [&] {
          open_[open_count_++] = object;
          for (Py_ssize_t i = 0; i < length; ++i) {
            if (!value(PyTuple_GET_ITEM(object, i), depth)) return false;
          }
          --open_count_;
          return true;
        });
  }

  bool list(PyObject* object, int depth) {
    const Py_ssize_t length = PyList_GET_SIZE(object);
    return container(
        object, depth, [&](std::uint8_t mark) { return head(op_list8, mark, length); },
        [&] {
          for (Py_ssize_t i = 0; i < length; ++i) {
            if (!value(PyList_GET_ITEM(object, i), depth)) return false;
          }
          return true;
        });
  }

  bool dict(PyObject* object, int depth) {
    if constexpr (!plain) {
      if (const DictEntry* const entries = entries_of(object); entries != nullptr) {
        EncoderShape* const shape = shapes_.find(entries, PyDict_GET_SIZE(object));
        if (shape != nullptr && (shapes_.in_item(*shape) || is_new_to_item(*shape)))
          return shaped(object, *shape, entries, depth);
      }
    }
    return container(
        object, depth, [&](std::uint8_t mark) { return head(op_dict8, mark, PyDict_GET_SIZE(object)); },
        [&] {
          PyObject *key, *item;
          for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &item) != 0;) {
            if (!hashed(key, depth) || !value(item, depth)) return false;
          }
          return true;
        });
  }

  // Its keys have no numbers yet: else they would have to be referred to, one by one.
  bool is_new_to_item(const EncoderShape& shape) const {
    return shapes_.has_room() &&
           (!shapes_.may_have_numbers(shape) ||
            std::none_of(shape.keys.begin(), shape.keys.end(), [&](PyObject* key) { return memo_.has(key); }));
  }

  bool shaped(PyObject* object, EncoderShape& shape, const DictEntry* entries, int depth) {
    return container(
        object, depth,
        [&](std::uint8_t mark) {
          std::byte* at;
          if (shapes_.in_item(shape)) {
            at = out_.extend(2);
            at[0] = static_cast<std::byte>(op_shape_again);
            at[1] = static_cast<std::byte>(shape.index);
          } else {
            at = out_.extend(shape.block.size());
            std::memcpy(at, shape.block.data(), shape.block.size());
            shapes_.use(shape);
          }
          at[0] |= static_cast<std::byte>(mark);
          return true;
        },
        [&] {
          const std::size_t count = shape.keys.size();
          for (std::size_t i = 0; i < count; ++i) {
            if (!value(entries[i].value, depth)) return false;
          }
          return true;
        });
  }

  // Of a str that may be a key of one of the item's shapes. False: it is none.
  bool shape_key(PyObject* object) {
    std::uint8_t key;
    const EncoderShape* const shape = shapes_.find_key(object, key);
    if (shape == nullptr) return false;
    std::byte* const at = out_.extend(3);
    at[0] = static_cast<std::byte>(op_shape_key);
    at[1] = static_cast<std::byte>(shape->index);
    at[2] = static_cast<std::byte>(key);
    return true;
  }

  static const PySetObject& table_of(PyObject* set) { return *reinterpret_cast<const PySetObject*>(set); }

  // Not by an iterator: making one may run the garbage collector, and that any Python code.
  bool set(PyObject* object, bool is_mutable, int depth) {
    return container(
        object, depth,
        [&](std::uint8_t mark) { return head32(is_mutable ? op_set : op_frozenset, mark, PySet_GET_SIZE(object)); },
        [&] {
          open_[open_count_++] = object;
          // The table itself, which is public: an entry without a key is free, and one whose hash is -1, which no object
          // has, was deleted. It is looked at anew for each, as `_PySet_NextEntry` does, which 3.14 keeps to itself.
          for (Py_ssize_t at = 0; at <= table_of(object).mask; ++at) {
            const setentry& entry = table_of(object).table[at];
            if (entry.key != nullptr && entry.hash != -1 && !hashed(entry.key, depth)) return false;
          }
          --open_count_;
          return true;
        });
  }

  static InstanceClasses& classes() {
    static InstanceClasses* const known = new InstanceClasses;  // guarded by the GIL, as the memo
    return *known;
  }

  InstanceClass* class_of(PyTypeObject* type) {
    if (!looks_at_classes_) classes().begin();
    looks_at_classes_ = true;
    return classes().find(type);
  }

  // The class and the names of the attributes, the first time; the elements of a tuple; the attributes.
  bool instance(PyObject* object, InstanceClass& its, int depth) {
    std::uint8_t mark;
    if (const Meeting meeting = meet(object, mark); meeting != Meeting::first) return meeting == Meeting::again;
    PyObject* dict;
    if (!its.attributes(object, dict)) return false;
    WrittenLayout* const layout = its.layout(object, dict);
    if (layout == nullptr) return false;
    has_instances_ = true;
    bool is_new;
    const std::uint32_t number = classes().number(*layout, is_new);
    out_.put(op_instance | mark);
    short_number(number);
    if (is_new) out_.put(layout->definition.data(), layout->definition.size());
    if (its.form() != InstanceForm::plain && !elements(object, depth)) return false;
    PyObject *key, *item;
    for (Py_ssize_t at = 0; dict != nullptr && PyDict_Next(dict, &at, &key, &item) != 0;) {
      if (!value(item, depth)) return false;
    }
    for (const InstanceClass::Slot& slot : its.slots()) {
      PyObject* const in_slot = *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + slot.offset);
      if (in_slot != nullptr && !value(in_slot, depth)) return false;
    }
    return true;
  }

  bool elements(PyObject* object, int depth) {
    const Py_ssize_t length = PyTuple_GET_SIZE(object);
    if (length > std::numeric_limits<std::int32_t>::max()) return false;
    short_number(static_cast<std::uint32_t>(length));
    open_[open_count_++] = object;
    for (Py_ssize_t i = 0; i < length; ++i) {
      if (!value(PyTuple_GET_ITEM(object, i), depth)) return false;
    }
    --open_count_;
    return true;
  }

  void short_number(std::uint32_t number) {
    out_.put(static_cast<std::uint8_t>(number < 255 ? number : 255));
    if (number >= 255) out_.put(&number, sizeof number);
  }

  [[gnu::always_inline]] bool hashed(PyObject* object, int depth) {
    if constexpr (plain) ++kind_.in_keys;
    const bool done = value(object, depth);
    if constexpr (plain) --kind_.in_keys;
    return done;
  }

  Buffer& out_;
  Memo& memo_;
  EncoderShapes& shapes_;
  Kind kind_;
  PyObject* open_[most_depth];  // tuples and sets being written
  int open_count_ = 0;
  unsigned usual_ = 0;  // leaf types that are known to be pickled as usual, a bit each
  bool recursive_ = false;
  bool looks_at_classes_ = false;
  bool has_instances_ = false;
};

}  // namespace

void Buffer::grow(std::size_t more) {
  std::size_t capacity = capacity_ * 2;
  while (capacity < size_ + more) capacity *= 2;
  std::unique_ptr<std::byte[]> larger(new std::byte[capacity]);
  std::memcpy(larger.get(), data(), size_);
  heap_ = std::move(larger);
  capacity_ = capacity;
}

namespace {

Memo& begin_memo() {
  static Memo* const memo = new Memo;  // guarded by the GIL, which is never released in here
  memo->begin();
  return *memo;
}
EncoderShapes& begin_shapes() {
  static EncoderShapes* const shapes = new EncoderShapes;  // as the memo
  shapes->begin();
  return *shapes;
}

}  // namespace

Kind encode(PyObject* object, Buffer& into) {
  const std::size_t before = into.size();
  Encoder<Native> encoder(into, begin_memo(), begin_shapes());
  if (encoder.run(object)) return encoder.has_instances() ? Kind::instances : Kind::native;
  into.cut(before);
  return Kind::pickle;
}

bool encode_plain(PyObject* object, Buffer& into, std::vector<PyObject*>& foreign, Refusal& refusal) {
  return Encoder<Plain>(into, begin_memo(), begin_shapes(), {foreign, refusal, {}, {}}).run(object);
}

}  // namespace conveyor::python
