#include <algorithm>
#include <limits>
#include <vector>

#include "object_codec.hpp"
#include "object_leaves.hpp"
#include "object_ops.hpp"

#if PY_VERSION_HEX >= 0x030D0000 && PY_VERSION_HEX < 0x030E0000
// Exported for the standard library's _pickle; 3.13 keeps the declaration to itself.
extern "C" PyAPI_FUNC(int) _PySet_NextEntry(PyObject* set, Py_ssize_t* at, PyObject** key, Py_hash_t* hash);
#endif

namespace conveyor::python {
namespace {

// A larger bytes or str inside a container goes to pickle, which passes it on without copying it first.
constexpr Py_ssize_t large_leaf = 16 * 1024;

// Which objects were met already, and their numbers. Emptied by counting `round_` up.
class Memo {
 public:
  void begin() {
    count_ = 0;
    if (slots_.size() > most_kept) slots_.assign(64, Slot{});  // one huge item must not cost memory for ever
    if (++round_ == 0) {
      std::fill(slots_.begin(), slots_.end(), Slot{});
      round_ = 1;
    }
  }
  // The number of an object met before, or -1 after remembering it under the next one.
  std::int64_t find_or_add(PyObject* object) {
    if (count_ * 2 >= slots_.size()) grow();
    Slot& slot = slot_of(object);
    if (slot.round == round_) return slot.number;
    slot = {object, round_, count_};
    ++count_;
    return -1;
  }

 private:
  struct Slot {
    PyObject* object = nullptr;
    std::uint32_t round = 0;
    std::uint32_t number = 0;
  };
  static constexpr std::size_t most_kept = 1 << 16;
  Slot& slot_of(PyObject* object) {
    const std::size_t mask = slots_.size() - 1;
    // Objects are 16-byte aligned: the low bits carry nothing (Fibonacci hashing for the rest).
    std::size_t at = ((reinterpret_cast<std::uintptr_t>(object) >> 4) * 0x9E3779B97F4A7C15ULL >> 40) & mask;
    while (slots_[at].round == round_ && slots_[at].object != object) at = (at + 1) & mask;
    return slots_[at];
  }
  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.size() * 2, Slot{});
    for (const Slot& slot : old) {
      if (slot.round == round_) slot_of(slot.object) = slot;
    }
  }
  std::vector<Slot> slots_ = std::vector<Slot>(64);
  std::uint32_t round_ = 0;
  std::uint32_t count_ = 0;
};

class Encoder {
 public:
  Encoder(Buffer& into, Memo& memo) : out_(into), memo_(memo) {}

  bool run(PyObject* object) { return value(object, 0) && !recursive_; }

 private:
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
    if (depth < deepest) {
      if (type == &PyTuple_Type) return tuple(object, depth + 1);
      if (type == &PyDict_Type) return dict(object, depth + 1);
      if (type == &PyList_Type) return list(object, depth + 1);
#if PY_VERSION_HEX < 0x030E0000
      if (type == &PySet_Type || type == &PyFrozenSet_Type) return set(object, type == &PySet_Type, depth + 1);
#endif
    }
    return leaf(object);
  }

  // Writes a reference and returns true if the object was met before; else `mark` is what to add to its op.
  bool met(PyObject* object, std::uint8_t& mark) {
    mark = 0;
    if (Py_REFCNT(object) == 1) return false;
    const std::int64_t number = memo_.find_or_add(object);
    if (number < 0) {
      mark = remembered;
      return false;
    }
    // A tuple or frozenset inside itself: rare, and pickle knows how. The decoder can then be sure
    // that no half-filled tuple is ever reached.
    for (int i = 0; i < open_count_; ++i) {
      if (open_[i] == object) recursive_ = true;
    }
    const auto narrow = static_cast<std::uint32_t>(number);
    out_.put(op_reference);
    out_.put(&narrow, 4);
    return true;
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
      out_.put(op_int8);
      out_.put(static_cast<std::uint8_t>(number));
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
    if (size < 0 || size > large_leaf || !head32(op_int_large, 0, size)) return false;
    return PyLong_AsNativeBytes(object, out_.extend(static_cast<std::size_t>(size)), size,
                                Py_ASNATIVEBYTES_LITTLE_ENDIAN) >= 0;
#else
    const std::size_t bits = _PyLong_NumBits(object);
    const std::size_t size = bits / 8 + 1;
    if (size > static_cast<std::size_t>(large_leaf) || !head32(op_int_large, 0, static_cast<Py_ssize_t>(size)))
      return false;
    return _PyLong_AsByteArray(reinterpret_cast<PyLongObject*>(object),
                               reinterpret_cast<unsigned char*>(out_.extend(size)), size, 1, 1) == 0;
#endif
  }

  bool text(PyObject* object) {
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(object) != 0) return PyErr_Clear(), false;
#endif
    const Py_ssize_t length = PyUnicode_GET_LENGTH(object);
    const int width = PyUnicode_KIND(object);
    if (length * width > large_leaf) return false;
    std::uint8_t mark;
    if (met(object, mark)) return true;
    if (PyUnicode_IS_ASCII(object)) {
      if (!head(op_ascii8, mark, length)) return false;
    } else if (!head32(width == 1 ? op_latin1 : width == 2 ? op_ucs2 : op_ucs4, mark, length)) {
      return false;
    }
    out_.put(PyUnicode_DATA(object), static_cast<std::size_t>(length * width));
    return true;
  }

  bool bytes(PyObject* object) {
    const Py_ssize_t length = PyBytes_GET_SIZE(object);
    if (length > large_leaf) return false;
    std::uint8_t mark;
    if (met(object, mark)) return true;
    if (!head(op_bytes8, mark, length)) return false;
    out_.put(PyBytes_AS_STRING(object), static_cast<std::size_t>(length));
    return true;
  }

  bool leaf(PyObject* object) {
    const Leaf kind = leaf_of(Py_TYPE(object));
    if (kind == leaf_none) return false;
    if ((usual_ >> kind & 1) == 0) {  // once in an item: no Python code runs that could change it
      if (!pickled_as_usual(kind)) return false;
      usual_ |= 1U << kind;
    }
    std::uint8_t mark;
    if (met(object, mark)) return true;
    out_.put(op_of(kind) | mark);
    return write_leaf(kind, object, out_);
  }

  bool tuple(PyObject* object, int depth) {
    std::uint8_t mark;
    if (met(object, mark)) return true;
    const Py_ssize_t length = PyTuple_GET_SIZE(object);
    if (!head(op_tuple8, mark, length)) return false;
    open_[open_count_++] = object;
    for (Py_ssize_t i = 0; i < length; ++i) {
      if (!value(PyTuple_GET_ITEM(object, i), depth)) return false;
    }
    --open_count_;
    return true;
  }

  bool list(PyObject* object, int depth) {
    std::uint8_t mark;
    if (met(object, mark)) return true;
    const Py_ssize_t length = PyList_GET_SIZE(object);
    if (!head(op_list8, mark, length)) return false;
    for (Py_ssize_t i = 0; i < length; ++i) {
      if (!value(PyList_GET_ITEM(object, i), depth)) return false;
    }
    return true;
  }

  bool dict(PyObject* object, int depth) {
    std::uint8_t mark;
    if (met(object, mark)) return true;
    if (!head(op_dict8, mark, PyDict_GET_SIZE(object))) return false;
    PyObject *key, *item;
    for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &item) != 0;) {
      if (!value(key, depth) || !value(item, depth)) return false;
    }
    return true;
  }

#if PY_VERSION_HEX < 0x030E0000
  // Not by an iterator: making one may run the garbage collector, and that any Python code.
  bool set(PyObject* object, bool is_mutable, int depth) {
    std::uint8_t mark;
    if (met(object, mark)) return true;
    if (!head32(is_mutable ? op_set : op_frozenset, mark, PySet_GET_SIZE(object))) return false;
    open_[open_count_++] = object;
    PyObject* item;
    Py_hash_t hash;
    for (Py_ssize_t at = 0; _PySet_NextEntry(object, &at, &item, &hash) != 0;) {
      if (!value(item, depth)) return false;
    }
    --open_count_;
    return true;
  }
#endif

  Buffer& out_;
  Memo& memo_;
  PyObject* open_[deepest];  // tuples and sets being written
  int open_count_ = 0;
  unsigned usual_ = 0;  // leaf types that are known to be pickled as usual, a bit each
  bool recursive_ = false;
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

bool encode(PyObject* object, Buffer& into) {
  static Memo* const memo = new Memo;  // guarded by the GIL, which is never released in here
  memo->begin();
  const std::size_t before = into.size();
  if (Encoder(into, *memo).run(object)) return true;
  into.cut(before);
  return false;
}

}  // namespace conveyor::python
