// What a SharedList does in C++; what is left is in shared_list.py.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <deque>
#include <vector>

#include "../support/errors.hpp"
#include "conveyor/store/list_store.hpp"
#include "docs.hpp"
#include "store_binding.hpp"

namespace conveyor::python {
namespace {

using Sequence = Shared<ListStore>;

nb::object failed(Sequence& self, StoreStatus status, std::size_t payload = 0) {
  return raise_store(status, self.store, Sequence::what, payload);
}

nb::object out_of_range(const char* text) {
  PyErr_SetString(PyExc_IndexError, text);
  return {};
}

// -1 with a Python error set, which is one of a list.
bool parse_index(nb::handle index, std::int64_t& into) {
  if (PyIndex_Check(index.ptr()) == 0) {
    PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %s", Py_TYPE(index.ptr())->tp_name);
    return false;
  }
  into = foreign([&] { return PyNumber_AsSsize_t(index.ptr(), PyExc_IndexError); });
  return into != -1 || PyErr_Occurred() == nullptr;
}

bool parse_range(nb::handle slice, ListStore::Range& range) {
  Py_ssize_t start, stop, step;
  if (foreign([&] { return PySlice_Unpack(slice.ptr(), &start, &stop, &step); }) != 0) return false;
  range = {start, stop, step};
  return true;
}

nb::object copy_range(Sequence& self, const ListStore::Range& range, std::uint64_t& version) {
  Copy copy;
  std::vector<Part> items;
  const StoreStatus status = keep_trying([&](Nanoseconds deadline) {
    copy.clear();
    items.clear();
    return self.store.copy(range, deadline, copy, items, version);
  });
  if (status != StoreStatus::ok) return failed(self, status);
  nb::object made = nb::steal(PyList_New(static_cast<Py_ssize_t>(items.size())));
  if (!made.is_valid()) return {};
  for (std::size_t i = 0; i < items.size(); ++i) {
    nb::object item = self.codec.decode(copy, items[i]);
    if (!item.is_valid()) return {};
    PyList_SET_ITEM(made.ptr(), static_cast<Py_ssize_t>(i), item.release().ptr());
  }
  return made;
}

nb::object get_at(Sequence& self, nb::handle index) {
  if (PySlice_Check(index.ptr()) != 0) {
    ListStore::Range range;
    std::uint64_t version;
    return parse_range(index, range) ? copy_range(self, range, version) : nb::object();
  }
  std::int64_t at;
  if (!parse_index(index, at)) return {};
  Copy copy;
  Part item;
  const StoreStatus status = keep_trying([&](Nanoseconds deadline) {
    copy.clear();
    return self.store.get(at, deadline, copy, item);
  });
  if (status == StoreStatus::missing) return out_of_range("list index out of range");
  return status == StoreStatus::ok ? self.codec.decode(copy, item) : failed(self, status);
}

nb::object replace(Sequence& self, const ListStore::Range& range, nb::handle items) {
  const nb::object all =
      nb::steal(foreign([&] { return PySequence_Fast(items.ptr(), "can only assign an iterable"); }));
  if (!all.is_valid()) return {};
  std::deque<Encoded> encoded;
  std::vector<Bytes> bytes;
  std::size_t size = 0;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(all.ptr()); ++i) {
    // Encoding may run Python code, which may change the list: no item is borrowed.
    const nb::object item = nb::borrow(PySequence_Fast_GET_ITEM(all.ptr(), i));
    Encoded& each = encoded.emplace_back();
    if (!self.codec.encode(item, each)) return {};
    bytes.push_back(each.bytes);
    size += each.bytes.size;
  }
  std::uint64_t expected = 0;
  const StoreStatus status =
      keep_trying([&](Nanoseconds deadline) { return self.store.replace(range, bytes, deadline, expected); });
  if (status == StoreStatus::changed) {
    PyErr_Format(PyExc_ValueError, "attempt to assign sequence of size %zu to extended slice of size %llu",
                 bytes.size(), static_cast<unsigned long long>(expected));
    return {};
  }
  return status == StoreStatus::ok ? nb::none() : failed(self, status, size);
}

nb::object set_at(Sequence& self, nb::handle index, nb::handle value) {
  if (PySlice_Check(index.ptr()) != 0) {
    ListStore::Range range;
    return parse_range(index, range) ? replace(self, range, value) : nb::object();
  }
  std::int64_t at;
  Encoded encoded;
  if (!parse_index(index, at) || !self.codec.encode(value, encoded)) return {};
  const StoreStatus status =
      keep_trying([&](Nanoseconds deadline) { return self.store.set(at, encoded.bytes, deadline); });
  if (status == StoreStatus::missing) return out_of_range("list assignment index out of range");
  return status == StoreStatus::ok ? nb::none() : failed(self, status, encoded.bytes.size);
}

nb::object erase_at(Sequence& self, nb::handle index) {
  StoreStatus status;
  if (PySlice_Check(index.ptr()) != 0) {
    ListStore::Range range;
    if (!parse_range(index, range)) return {};
    status = keep_trying([&](Nanoseconds deadline) { return self.store.remove_range(range, deadline); });
  } else {
    std::int64_t at;
    if (!parse_index(index, at)) return {};
    status = keep_trying([&](Nanoseconds deadline) { return self.store.remove(at, deadline, nullptr, nullptr); });
    if (status == StoreStatus::missing) return out_of_range("list assignment index out of range");
  }
  return status == StoreStatus::ok ? nb::none() : failed(self, status);
}

nb::object insert(Sequence& self, std::int64_t at, nb::handle value) {
  Encoded encoded;
  if (!self.codec.encode(value, encoded)) return {};
  const StoreStatus status =
      keep_trying([&](Nanoseconds deadline) { return self.store.insert(at, encoded.bytes, deadline); });
  return status == StoreStatus::ok ? nb::none() : failed(self, status, encoded.bytes.size);
}

nb::object pop_at(Sequence& self, nb::handle index) {
  std::int64_t at;
  if (!parse_index(index, at)) return {};
  Copy copy;
  Part item;
  DecodeThenRemove removal{self.codec.always_decodable()};
  for (nb::object decoded;;) {
    const StoreStatus status = keep_trying([&](Nanoseconds deadline) {
      return self.store.remove(at, deadline, &copy, &item, ListStore::any_version, &removal);
    });
    if (status == StoreStatus::missing) {
      std::uint64_t length = 0, version, used;
      keep_trying([&](Nanoseconds deadline) { return self.store.figures(deadline, length, version, used); });
      return out_of_range(length == 0 ? "pop from empty list" : "pop index out of range");
    }
    if (status == StoreStatus::ok && decoded.is_valid()) return decoded;
    if (status != StoreStatus::ok && status != StoreStatus::changed) return failed(self, status);
    decoded = self.codec.decode(copy, item);
    if (status == StoreStatus::ok || !decoded.is_valid()) return decoded;
  }
}

// True: done. False: the list is not what it was at that version any more.
nb::object told(Sequence& self, StoreStatus status) {
  if (status == StoreStatus::changed || status == StoreStatus::missing) return nb::bool_(false);
  return status == StoreStatus::ok ? nb::object(nb::bool_(true)) : failed(self, status);
}

// By its number, as what asks for a sequence does (NumPy, for one).
PyObject* item_slot(PyObject* object, Py_ssize_t at) {
  return run_slot<PyObject*>(nullptr, [&] {
    Sequence* const self = value_in<Sequence>(object);
    return self == nullptr ? nullptr : get_at(*self, nb::int_(at)).release().ptr();
  });
}

}  // namespace

void bind_shared_list(nb::module_& module) {
  PlainType<Sequence> sequence("ListSequence", docs::ListSequence);
  bind_common(sequence);
  sequence.slot(Py_sq_length, length_slot<Sequence>)
      .slot(Py_sq_item, item_slot)
      .slot(Py_mp_subscript, subscript_slot<Sequence, &get_at>)
      .slot(Py_mp_ass_subscript, assign_slot<Sequence, &set_at, &erase_at>)
      .def(
          "append", [](Sequence& self, nb::handle value) { return insert(self, INT64_MAX, value); }, {"value"_p},
          docs::ListSequence_append)
      .def(
          "insert",
          [](Sequence& self, nb::handle index, nb::handle value) {
            std::int64_t at;
            return parse_index(index, at) ? insert(self, at, value) : nb::object();
          },
          {"index"_p, "value"_p}, docs::ListSequence_insert)
      .def("pop", function<&pop_at>, {"index"_p = -1}, docs::ListSequence_pop)
      .def("_extend", [](Sequence& self, nb::handle items) { return replace(self, {INT64_MAX}, items); }, {"items"_p})
      .def(
          "clear",
          [](Sequence& self) {
            const StoreStatus status = keep_trying([&](Nanoseconds deadline) { return self.store.clear(deadline); });
            return status == StoreStatus::ok ? nb::none() : failed(self, status);
          },
          {}, docs::ListSequence_clear)
      .def(
          "reverse",
          [](Sequence& self) {
            const StoreStatus status = keep_trying([&](Nanoseconds deadline) { return self.store.reverse(deadline); });
            return status == StoreStatus::ok ? nb::none() : failed(self, status);
          },
          {}, docs::ListSequence_reverse)
      .def("_snapshot",
           [](Sequence& self) {
             std::uint64_t version = 0;
             const nb::object items = copy_range(self, {}, version);
             return items.is_valid() ? nb::object(nb::make_tuple(items, version)) : items;
           })
      .def("_remove_at",
           [](Sequence& self, std::int64_t index, std::uint64_t version) {
             return told(self, keep_trying([&](Nanoseconds deadline) {
                           return self.store.remove(index, deadline, nullptr, nullptr, version);
                         }));
           },
           {"index"_p, "version"_p})
      .def("_reorder",
           [](Sequence& self, std::vector<std::uint64_t> order, std::uint64_t version) {
             return told(
                 self, keep_trying([&](Nanoseconds deadline) { return self.store.reorder(order, version, deadline); }));
           },
           {"order"_p, "version"_p});
  sequence.add_to(module);
}

}  // namespace conveyor::python
