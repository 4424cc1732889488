// What a SharedDict does in C++; what is left is in shared_dict.py.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <vector>

#include "../support/errors.hpp"
#include "docs.hpp"
#include "key_codec.hpp"
#include "store_binding.hpp"

namespace conveyor::python {
namespace {

using Table = Shared<DictStore>;

nb::object no_key(nb::handle key) {
  PyErr_SetObject(PyExc_KeyError, key.ptr());
  return {};
}

nb::object failed(Table& self, StoreStatus status, std::size_t payload = 0) {
  return raise_store(status, self.store, Table::what, payload);
}

// The value, null with an error set, or null without one: it is not there.
nb::object find(Table& self, nb::handle key) {
  EncodedKey wanted;
  if (!encode_key(self.store, self.codec, key, false, wanted)) return {};
  Copy copy;
  Part value;
  const StoreStatus status = keep_trying([&](Nanoseconds deadline) {
    copy.clear();
    return self.store.get(wanted.key, deadline, copy, value);
  });
  if (status == StoreStatus::missing) return {};
  return status == StoreStatus::ok ? self.codec.decode(copy, value) : failed(self, status);
}

nb::object get(Table& self, nb::handle key, nb::handle instead) {
  nb::object found = find(self, key);
  return found.is_valid() || PyErr_Occurred() != nullptr ? found : nb::borrow(instead);
}

nb::object subscript(Table& self, nb::handle key) {
  nb::object found = find(self, key);
  return found.is_valid() || PyErr_Occurred() != nullptr ? found : no_key(key);
}

nb::object set(Table& self, nb::handle key, nb::handle value) {
  EncodedKey its;
  Encoded encoded;
  if (!encode_key(self.store, self.codec, key, true, its) || !self.codec.encode(value, encoded)) return {};
  const StoreStatus status = keep_trying_while_claimed(
      self.store, {}, [&](Nanoseconds deadline) { return self.store.set(its.key, encoded.bytes, deadline); });
  return status == StoreStatus::ok ? nb::none() : failed(self, status, encoded.bytes.size);
}

nb::object contains(Table& self, nb::handle key) {
  EncodedKey wanted;
  if (!encode_key(self.store, self.codec, key, false, wanted)) return {};
  const StoreStatus status =
      keep_trying([&](Nanoseconds deadline) { return self.store.contains(wanted.key, deadline); });
  if (status == StoreStatus::ok || status == StoreStatus::missing) return nb::bool_(status == StoreStatus::ok);
  return failed(self, status);
}

nb::object set_default(Table& self, nb::handle key, nb::handle value) {
  EncodedKey its;
  Encoded encoded;
  if (!encode_key(self.store, self.codec, key, true, its) || !self.codec.encode(value, encoded)) return {};
  Copy copy;
  Part found;
  const StoreStatus status = keep_trying_while_claimed(self.store, {}, [&](Nanoseconds deadline) {
    copy.clear();
    return self.store.set_default(its.key, encoded.bytes, deadline, copy, found);
  });
  if (status == StoreStatus::ok) return nb::borrow(value);
  return status == StoreStatus::changed ? self.codec.decode(copy, found) : failed(self, status, encoded.bytes.size);
}

// `wanted` False: just remove it. Null without an error set: it is not there.
nb::object remove(Table& self, nb::handle key, bool wanted) {
  EncodedKey its;
  if (!encode_key(self.store, self.codec, key, false, its)) return {};
  Copy copy;
  Part value;
  DecodeThenRemove removal{self.codec.always_decodable()};
  for (nb::object decoded;;) {
    const StoreStatus status = keep_trying_while_claimed(self.store, {}, [&](Nanoseconds deadline) {
      return self.store.remove(its.key, deadline, wanted ? &copy : nullptr, &value, &removal);
    });
    if (status == StoreStatus::missing) return {};
    if (status == StoreStatus::ok && !wanted) return nb::none();
    if (status == StoreStatus::ok && decoded.is_valid()) return decoded;
    if (status != StoreStatus::ok && status != StoreStatus::changed) return failed(self, status);
    decoded = self.codec.decode(copy, value);
    if (status == StoreStatus::ok || !decoded.is_valid()) return decoded;
  }
}

nb::object erase(Table& self, nb::handle key) {
  nb::object done = remove(self, key, false);
  return done.is_valid() || PyErr_Occurred() != nullptr ? done : no_key(key);
}

nb::object pop_key(Table& self, nb::handle key, nb::handle instead) {
  nb::object found = remove(self, key, true);
  if (found.is_valid() || PyErr_Occurred() != nullptr) return found;
  return instead.is_valid() ? nb::borrow(instead) : no_key(key);
}

nb::object pop_item(Table& self) {
  Copy copy;
  DictStore::Item item;
  DecodeThenRemove removal{self.codec.always_decodable()};
  for (nb::object decoded;;) {
    const StoreStatus status = keep_trying_while_claimed(
        self.store, {}, [&](Nanoseconds deadline) { return self.store.remove_last(deadline, copy, item, &removal); });
    if (status == StoreStatus::missing) {
      PyErr_SetString(PyExc_KeyError, "popitem(): dictionary is empty");
      return {};
    }
    if (status == StoreStatus::ok && decoded.is_valid()) return decoded;
    if (status != StoreStatus::ok && status != StoreStatus::changed) return failed(self, status);
    const nb::object key = decode_key(copy, item);
    const nb::object value = key.is_valid() ? self.codec.decode(copy, item.value) : nb::object();
    decoded = value.is_valid() ? nb::object(nb::make_tuple(key, value)) : nb::object();
    if (status == StoreStatus::ok || !decoded.is_valid()) return decoded;
  }
}

nb::object clear(Table& self) {
  const StoreStatus status =
      keep_trying_while_claimed(self.store, {}, [&](Nanoseconds deadline) { return self.store.clear(deadline); });
  return status == StoreStatus::ok ? nb::none() : failed(self, status);
}

// All keys, values, or pairs of one moment.
nb::object snapshot_of(Table& self, bool keys, bool values) {
  Copy copy;
  std::vector<DictStore::Item> items;
  std::uint64_t version = 0;
  const StoreStatus status = keep_trying([&](Nanoseconds deadline) {
    copy.clear();
    items.clear();
    return self.store.copy_all(keys, values, deadline, copy, items, version);
  });
  if (status != StoreStatus::ok) return failed(self, status);
  nb::object made = nb::steal(PyList_New(static_cast<Py_ssize_t>(items.size())));
  if (!made.is_valid()) return {};
  for (std::size_t i = 0; i < items.size(); ++i) {
    nb::object key, value;
    if (keys && !(key = decode_key(copy, items[i])).is_valid()) return {};
    if (values && !(value = self.codec.decode(copy, items[i].value)).is_valid()) return {};
    nb::object item = keys && values ? nb::object(nb::make_tuple(key, value)) : keys ? key : value;
    PyList_SET_ITEM(made.ptr(), static_cast<Py_ssize_t>(i), item.release().ptr());
  }
  return made;
}

// (version of the value, 0: none; version of the dict; the value, if its version is not `known`)
nb::object look(Table& self, nb::handle key, std::uint64_t known) {
  EncodedKey wanted;
  if (!encode_key(self.store, self.codec, key, false, wanted)) return {};
  Copy copy;
  Part value;
  std::uint64_t version = 0, now = 0;
  const StoreStatus status = keep_trying([&](Nanoseconds deadline) {
    copy.clear();
    version = known;
    return self.store.look(wanted.key, deadline, version, now, copy, value);
  });
  if (status != StoreStatus::ok && status != StoreStatus::missing) return failed(self, status);
  nb::object object = nb::none();
  if (status == StoreStatus::ok && version != known) object = self.codec.decode(copy, value);
  return object.is_valid() ? nb::make_tuple(version, now, object) : nb::object();
}

// A value as it lies there: its kind, then its bytes.
nb::object raw_of(Copy& copy, const Part& part) {
  nb::object raw = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(part.size + 1)));
  if (!raw.is_valid()) return {};
  char* const at = PyBytes_AS_STRING(raw.ptr());
  at[0] = static_cast<char>(part.kind);
  copy_bytes(at + 1, copy.data() + part.offset, part.size);
  return raw;
}

// A claim of this process, or what will be one. Given back when it is dropped, whatever was raised in between: by a
// signal's handler, say. Not in Python, where that might be raised in `__del__`, and lost.
struct HeldClaim {
  HeldClaim(nb::object its_table, nb::object its_key) : table(std::move(its_table)), key(std::move(its_key)) {}
  nb::object table, key;
  std::uint64_t number = 0;
  bool was_wanted = false;

  ~HeldClaim() {
    give_back();
    // Not where an exception kept the block from being entered.
    if (!was_wanted && PyErr_Occurred() == nullptr) warn();
  }
  void warn() const {
    foreign([this] {
      if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                           "update(%R) was never entered: it is for `with d.update(key) as v`; to take over the pairs "
                           "of an iterable, call update(dict(pairs))",
                           key.ptr()) != 0)
        PyErr_WriteUnraisable(key.ptr());
    });
  }
  void give_back() {
    if (number == 0) return;
    DictStore& store = plain_cast<Table>(table.ptr()).store;
    const auto attempt = [&](Nanoseconds until) {
      return store.settle({}, number, DictStore::Outcome::keep, {}, until);
    };
    StoreStatus status = attempt(0);
    const Nanoseconds end = monotonic_now() + grace;
    while (status == StoreStatus::busy || status == StoreStatus::interrupted) {
      // Somebody is stopped who holds the dict's lock: it stays ours for now.
      if (monotonic_now() >= end) return;
      const WithoutGil released;
      status = attempt(monotonic_now() + longest_slice);
    }
    number = 0;
  }
};

// The value as it lies there, or None.
nb::object claim(Table& self, nb::handle key, nb::handle timeout, HeldClaim& held) {
  held.was_wanted = true;
  Deadline deadline;
  EncodedKey its;
  if (!parse_deadline(nb::bool_(true), timeout, deadline) || !encode_key(self.store, self.codec, key, true, its))
    return {};
  Copy copy;
  Part value;
  const StoreStatus status = keep_trying_while_claimed(self.store, deadline, [&](Nanoseconds until) {
    copy.clear();
    std::uint64_t its_number = 0;
    const StoreStatus status = self.store.claim(its.key, until, its_number, copy, value);
    if (status == StoreStatus::ok || status == StoreStatus::missing) held.number = its_number;
    return status;
  });
  if (status == StoreStatus::missing) return nb::none();
  return status == StoreStatus::ok ? raw_of(copy, value) : failed(self, status);
}

nb::object decode_raw(Table& self, nb::bytes raw) {
  if (raw.size() == 0) return raise("CorruptSegment", "a value has no kind");
  const auto* const at = reinterpret_cast<const std::byte*>(raw.c_str());
  return self.codec.decode(static_cast<std::uint8_t>(at[0]), at + 1, raw.size() - 1);
}

nb::object settle(Table& self, nb::handle key, HeldClaim& held, DictStore::Outcome outcome, const Bytes& bytes) {
  EncodedKey its;
  if (!encode_key(self.store, self.codec, key, true, its)) return {};
  const StoreStatus status =
      keep_trying([&](Nanoseconds until) { return self.store.settle(its.key, held.number, outcome, bytes, until); });
  if (status == StoreStatus::ok) held.number = 0;
  return status == StoreStatus::ok ? nb::none() : failed(self, status, bytes.size);
}

// Writes the value, unless its bytes are those of `before`, and ends the claim.
nb::object settle_value(Table& self, nb::handle key, HeldClaim& held, nb::handle value, nb::handle before) {
  Encoded encoded;
  if (!self.codec.encode(value, encoded)) return {};
  const Bytes& made = encoded.bytes;
  bool same = false;
  if (PyBytes_Check(before.ptr()) != 0 && static_cast<std::size_t>(PyBytes_GET_SIZE(before.ptr())) == made.size + 1) {
    const char* const old = PyBytes_AS_STRING(before.ptr());
    same = static_cast<std::uint8_t>(old[0]) == made.kind &&
           (made.size == 0 || std::memcmp(old + 1, made.data, made.size) == 0);
  }
  return settle(self, key, held, same ? DictStore::Outcome::keep : DictStore::Outcome::write, made);
}

int contains_slot(PyObject* object, PyObject* key) {
  return run_slot(-1, [&] {
    Table* const self = value_in<Table>(object);
    const nb::object found = self == nullptr ? nb::object() : contains(*self, key);
    return found.is_valid() ? static_cast<int>(found.is(nb::bool_(true))) : -1;
  });
}

}  // namespace

void bind_shared_dict(nb::module_& module) {
  using namespace nb::literals;
  module.def("region_size", &wanted_region_size);
  module.def("canonical_key", &canonical_bytes, "key"_a.none());
  nb::class_<HeldClaim>(module, "HeldClaim")
      .def(nb::init<nb::object, nb::object>(), "table"_a, "key"_a.none())
      .def_prop_ro("is_held", [](const HeldClaim& self) { return self.number != 0; })
      .def("give_back", &HeldClaim::give_back);
  PlainType<Table> table("DictTable", docs::DictTable);
  bind_common(table);
  table.slot(Py_mp_subscript, subscript_slot<Table, &subscript>)
      .slot(Py_mp_ass_subscript, assign_slot<Table, &set, &erase>)
      .slot(Py_sq_contains, contains_slot)
      .def("get", function<&get>, {"key"_p, "default"_p = nb::none()}, docs::DictTable_get)
      .def("setdefault", function<&set_default>, {"key"_p, "default"_p = nb::none()}, docs::DictTable_setdefault)
      .def("pop", function<&pop_key>, {"key"_p, "default"_p.optional()}, docs::DictTable_pop)
      .def("popitem", function<&pop_item>, {}, docs::DictTable_popitem)
      .def("clear", function<&clear>, {}, docs::DictTable_clear)
      .def("_snapshot", function<&snapshot_of>, {"keys"_p, "values"_p})
      .def("_look", function<&look>, {"key"_p, "known"_p})
      .def("_claim", function<&claim>, {"key"_p, "timeout"_p, "claim"_p})
      .def("_decode", function<&decode_raw>, {"raw"_p})
      .def("_settle_value", function<&settle_value>, {"key"_p, "claim"_p, "value"_p, "before"_p})
      .def("_settle",
           [](Table& self, nb::handle key, HeldClaim& held, bool removes) {
             const auto outcome = removes ? DictStore::Outcome::remove : DictStore::Outcome::keep;
             return settle(self, key, held, outcome, {});
           },
           {"key"_p, "claim"_p, "removes"_p});
  table.add_to(module);
}

}  // namespace conveyor::python
