// Numbers and records in shared memory; their Python names are in conveyor/shared_value.py and shared_struct.py.
#include <climits>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include <nanobind/stl/string.h>

#include "../support/plain_type.hpp"
#include "conveyor/sync/number.hpp"
#include "state.hpp"

namespace conveyor::python {
namespace {

// Of the letters of Python's struct module; 0: no number has it.
std::size_t size_of(char code) {
  switch (code) {
    case '?':
    case 'b':
    case 'B': return 1;
    case 'h':
    case 'H': return 2;
    case 'i':
    case 'I':
    case 'f': return 4;
    case 'l':
    case 'L':
    case 'q':
    case 'Q':
    case 'd': return 8;
    default: return 0;
  }
}

// From Python; false: a Python error is set.
template <class T>
bool convert(PyObject* object, T& value) {
  if constexpr (std::is_floating_point_v<T>) {
    const double wide = foreign([&] { return PyFloat_AsDouble(object); });
    if (wide == -1.0 && PyErr_Occurred() != nullptr) return false;
    value = static_cast<T>(wide);
    if (std::isinf(value) && std::isfinite(wide)) {
      raise_format(PyExc_OverflowError, "%R is too large for a 32-bit float", object);
      return false;
    }
    return true;
  } else {
    int overflow = 0;
    const nb::object index =
        PyLong_Check(object) != 0 ? nb::borrow(object) : nb::steal(foreign([&] { return PyNumber_Index(object); }));
    if (!index.is_valid()) return false;
    const long long narrow = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    bool fits = overflow == 0 && std::in_range<T>(narrow);
    value = static_cast<T>(narrow);
    if constexpr (std::is_same_v<T, unsigned long> || std::is_same_v<T, unsigned long long>) {
      if (overflow > 0) {
        value = static_cast<T>(PyLong_AsUnsignedLongLong(index.ptr()));
        fits = PyErr_Occurred() == nullptr;
        PyErr_Clear();
      }
    }
    if (fits) return true;
    raise_format(PyExc_OverflowError, "%R does not fit: the number must be from %lld to %llu", index.ptr(),
                 static_cast<long long>(std::numeric_limits<T>::min()),
                 static_cast<unsigned long long>(std::numeric_limits<T>::max()));
    return false;
  }
}

template <class T>
PyObject* to_python(T value) {
  if constexpr (std::is_floating_point_v<T>) return PyFloat_FromDouble(static_cast<double>(value));
  if constexpr (std::is_signed_v<T>) return PyLong_FromLongLong(static_cast<long long>(value));
  return PyLong_FromUnsignedLongLong(static_cast<unsigned long long>(value));
}

// Calls `action` with the Number of that type; of a bool, with that of its byte.
template <class Action>
PyObject* with_number(char code, std::byte* at, EventCount& changed, Action action) {
  switch (code) {
    case '?':
    case 'B': return action(Number<std::uint8_t>(at, changed));
    case 'b': return action(Number<std::int8_t>(at, changed));
    case 'h': return action(Number<std::int16_t>(at, changed));
    case 'H': return action(Number<std::uint16_t>(at, changed));
    case 'i': return action(Number<std::int32_t>(at, changed));
    case 'I': return action(Number<std::uint32_t>(at, changed));
    case 'l':
    case 'q': return action(Number<std::int64_t>(at, changed));
    case 'L':
    case 'Q': return action(Number<std::uint64_t>(at, changed));
    case 'f': return action(Number<float>(at, changed));
    default: return action(Number<double>(at, changed));
  }
}

template <class T>
T type_of(const Number<T>&);

// The operations, on a number of any type, wherever it lies.
struct Operations {
  char code;
  std::byte* at;
  EventCount& changed;

  PyObject* present(PyObject* value) const {
    if (code != '?' || value == nullptr) return value;
    const nb::object number = nb::steal(value);
    return PyBool_FromLong(foreign([&] { return PyObject_IsTrue(number.ptr()); }));
  }
  template <class T>
  bool read(PyObject* object, T& value) const {
    if (code != '?') return convert(object, value);
    const int truth = foreign([&] { return PyObject_IsTrue(object); });
    value = static_cast<T>(truth > 0 ? 1 : 0);
    return truth >= 0;
  }
  PyObject* load() const {
    return present(with_number(code, at, changed, [](auto number) { return to_python(number.load()); }));
  }
  PyObject* exchange(PyObject* object) const {
    return present(with_number(code, at, changed, [&](auto number) -> PyObject* {
      decltype(type_of(number)) value{};
      return read(object, value) ? to_python(number.exchange(value)) : nullptr;
    }));
  }
  PyObject* compare_exchange(PyObject* expected, PyObject* wanted) const {
    return with_number(code, at, changed, [&](auto number) -> PyObject* {
      decltype(type_of(number)) before{}, after{};
      if (!read(expected, before) || !read(wanted, after)) return nullptr;
      return PyBool_FromLong(number.compare_exchange(before, after) ? 1 : 0);
    });
  }
  PyObject* add(PyObject* object) const {
    if (code == '?') {
      PyErr_SetString(PyExc_TypeError, "one cannot add to a bool; use exchange() or compare_exchange()");
      return nullptr;
    }
    return with_number(code, at, changed, [&](auto number) -> PyObject* {
      using T = decltype(type_of(number));
      T amount{}, sum{};
      if constexpr (std::is_unsigned_v<T>) {
        // A negative amount is subtracted: from an unsigned number, too.
        if (PyLong_Check(object) != 0 && is_negative(object)) return subtract(number, object);
      }
      if (!convert(object, amount)) return nullptr;
      if (number.add(amount, sum)) return to_python(sum);
      return overflow(object);
    });
  }

 private:
  static bool is_negative(PyObject* object) {
    int beyond = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &beyond);
    return beyond < 0 || (beyond == 0 && value < 0);
  }
  template <class T>
  static PyObject* subtract(Number<T> number, PyObject* object) {
    const nb::object positive = nb::steal(foreign([&] { return PyNumber_Negative(object); }));
    T amount{}, difference{};
    if (!positive.is_valid() || !convert(positive.ptr(), amount)) return nullptr;
    return number.subtract(amount, difference) ? to_python(difference) : overflow(object);
  }
  static PyObject* overflow(PyObject* amount) {
    raise_format(PyExc_OverflowError, "the sum with %R does not fit; nothing was changed", amount);
    return nullptr;
  }
};

char checked_code(const std::string& code) {
  if (code.size() == 1 && size_of(code[0]) != 0) return code[0];
  throw nb::type_error(("no number has type code '" + code + "'; it must be one of ? b B h H i I l L q Q f d").c_str());
}

// Numbers and records are waited for in the same way.
template <class Cell>
class Changing {
 public:
  Changing(CellType type, std::size_t size) : held_(type, size) {
    auto& lock = cell().lock;
    lock.head.type = CellType::rlock;
    lock.head.size = sizeof(LockCell);
  }
  Changing(std::shared_ptr<Region> region, std::uint64_t offset, CellType type)
      : held_(std::move(region), offset, type, sizeof(Cell)) {}
  Cell& cell() const { return held_.as<Cell>(); }
  HeldCell& held() { return held_; }
  std::uint64_t lock_offset() const { return held_.offset() + offsetof(Cell, lock); }
  std::uint32_t announce() const { return cell().changed.announce(); }
  bool sleep(std::uint32_t epoch, double until) const {
    // By Python's clock, which is that of the time namespace.
    const Nanoseconds deadline =
        until < 0 || until > 9e9 ? forever : static_cast<Nanoseconds>(until * 1e9) - clock_offset();
    Waited how = Waited::timed_out;
    const auto wait = [&](Slices& slices) { return cell().changed.sleep(epoch, deadline, slices); };
    if (!wait_without_gil(held_, Waited::interrupted, how, wait)) throw nb::python_error();
    return how == Waited::again;
  }

 private:
  HeldCell held_;
};

struct NumberHandle : Changing<NumberCell> {
  explicit NumberHandle(char wanted) : Changing(CellType::number, sizeof(NumberCell)), code(wanted) {}
  NumberHandle(char wanted, std::shared_ptr<Region> region, std::uint64_t offset)
      : Changing(std::move(region), offset, CellType::number), code(wanted) {}
  Operations operations() const { return {code, reinterpret_cast<std::byte*>(&cell().bits), cell().changed}; }
  char code;
};

struct RecordHandle : Changing<RecordCell> {
  explicit RecordHandle(std::size_t wanted) : Changing(CellType::record, sizeof(RecordCell) + wanted), size(wanted) {}
  RecordHandle(std::shared_ptr<Region> region, std::uint64_t offset, std::size_t wanted)
      : Changing(std::move(region), offset, CellType::record), size(wanted) {
    if (snapshot(cell().head).size < sizeof(RecordCell) + wanted) {
      raise("CorruptSegment", "the record there is smaller");
      throw nb::python_error();
    }
  }
  std::byte* data() const { return reinterpret_cast<std::byte*>(&cell() + 1); }
  Operations operations(const std::string& code, std::size_t at) const {
    const char checked = checked_code(code);
    const std::size_t wide = size_of(checked);
    if (at > size || wide > size - at) throw nb::index_error("there is no such field in the record");
    if (at % wide != 0) throw nb::value_error("the field is not aligned to its size: it cannot be changed in one step");
    return {checked, data() + at, cell().changed};
  }
  std::size_t size;
};

int get_numbers_buffer(PyObject* self, Py_buffer* view, int flags) {
  const RecordHandle* const record = value_in<RecordHandle>(self);
  if (record == nullptr) {
    view->obj = nullptr;
    return -1;
  }
  return PyBuffer_FillInfo(view, self, record->data(), static_cast<Py_ssize_t>(record->size), 0, flags);
}

template <class Handle>
PlainType<Handle> changing_type(const char* name) {
  PlainType<Handle> bound(name);
  bound.property("_region", [](Handle& self) { return self.held().tell(); })
      .property("_offset", [](Handle& self) { return self.held().offset(); })
      .property("_lock_offset", [](Handle& self) { return self.lock_offset(); })
      .def("_announce", [](Handle& self) { return self.announce(); })
      .def("_sleep", [](Handle& self, std::uint32_t epoch, double until) { return self.sleep(epoch, until); },
           {"epoch"_p, "until"_p})
      .def("_notify", [](Handle& self) { self.cell().changed.notify(INT_MAX); });
  return bound;
}

}  // namespace

void bind_numbers(nb::module_& module) {
  changing_type<NumberHandle>("NumberBase")
      .init([](void* at, std::string code) { new (at) NumberHandle(checked_code(code)); }, {"code"_p})
      .init([](void* at, std::string code, std::shared_ptr<Region> region,
               std::uint64_t offset) { new (at) NumberHandle(checked_code(code), std::move(region), offset); },
            {"code"_p, "region"_p, "offset"_p})
      .property("_code", [](NumberHandle& self) { return std::string(1, self.code); })
      .property(
          "value", [](NumberHandle& self) { return self.operations().load(); },
          [](NumberHandle& self, nb::handle value) { return self.operations().exchange(value.ptr()); })
      .def("add", [](NumberHandle& self, nb::handle amount) { return self.operations().add(amount.ptr()); },
           {"amount"_p = 1})
      .def("exchange", [](NumberHandle& self, nb::handle value) { return self.operations().exchange(value.ptr()); },
           {"value"_p})
      .def("compare_exchange",
           [](NumberHandle& self, nb::handle expected, nb::handle value) {
             return self.operations().compare_exchange(expected.ptr(), value.ptr());
           },
           {"expected"_p, "value"_p})
      .add_to(module);

  changing_type<RecordHandle>("RecordBase")
      .init([](void* at, std::size_t size) { new (at) RecordHandle(size); }, {"size"_p})
      .init([](void* at, std::size_t size, std::shared_ptr<Region> region,
               std::uint64_t offset) { new (at) RecordHandle(std::move(region), offset, size); },
            {"size"_p, "region"_p, "offset"_p})
      .slot(Py_bf_getbuffer, get_numbers_buffer)
      .def("_load",
           [](RecordHandle& self, std::string code, std::size_t at) { return self.operations(code, at).load(); },
           {"code"_p, "at"_p})
      .def("_add",
           [](RecordHandle& self, std::string code, std::size_t at, nb::handle amount) {
             return self.operations(code, at).add(amount.ptr());
           },
           {"code"_p, "at"_p, "amount"_p})
      .def("_exchange",
           [](RecordHandle& self, std::string code, std::size_t at, nb::handle value) {
             return self.operations(code, at).exchange(value.ptr());
           },
           {"code"_p, "at"_p, "value"_p})
      .def("_compare_exchange",
           [](RecordHandle& self, std::string code, std::size_t at, nb::handle expected, nb::handle value) {
             return self.operations(code, at).compare_exchange(expected.ptr(), value.ptr());
           },
           {"code"_p, "at"_p, "expected"_p, "value"_p})
      .add_to(module);
}

}  // namespace conveyor::python
