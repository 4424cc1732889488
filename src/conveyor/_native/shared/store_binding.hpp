// What the bindings of shared dicts and lists have in common: how a call waits, and what it says when it fails.
#pragma once

#include <nanobind/nanobind.h>

#include "../payload/value_codec.hpp"
#include "../support/deadline.hpp"
#include "../support/plain_type.hpp"
#include "conveyor/store/store.hpp"

namespace conveyor::python {

// Repeats `operation(deadline)` until it gets the lock: the first time with the GIL, as it hardly ever takes long,
// and then without it. `interrupted`: a Python error is set.
template <class Operation>
StoreStatus keep_trying(Operation operation) {
  StoreStatus status = operation(Nanoseconds{0});
  while (status == StoreStatus::busy || status == StoreStatus::interrupted) {
    {
      const WithoutGil released;
      status = operation(monotonic_now() + longest_slice);
    }
    if ((status == StoreStatus::busy || status == StoreStatus::interrupted) && !look_for_signals())
      return StoreStatus::interrupted;
  }
  return status;
}

// The same for what a claim may forbid: waits until it is given back, or its owner is dead.
template <class Operation>
StoreStatus keep_trying_while_claimed(Store& store, const Deadline& until, Operation operation) {
  // How long a wait may last before somebody looks again whether the claimant lives.
  constexpr Nanoseconds look = 50'000'000;
  for (Slices slices(store.waiters(), WaitsFor::claim, look);;) {
    const std::uint64_t seen = store.claims_now();
    const StoreStatus status = keep_trying(operation);
    if ((status != StoreStatus::claimed && status != StoreStatus::crowded) || until.passed()) return status;
    {
      const WithoutGil released;
      store.wait_released(seen, until.at, slices);
    }
    if (!look_for_signals(slices)) return StoreStatus::interrupted;
  }
}

// Null with a Python error set. `what`: "dict" or "list".
nb::object raise_store(StoreStatus status, const Store& store, const char* what, std::size_t payload = 0);
// Memory for a new one is address space; so much of it.
std::uint64_t wanted_region_size();

// A store and the codec of its values.
template <class Kind>
struct Shared {
  Shared(std::shared_ptr<Region> region, nb::object its_codec, std::uint64_t max_bytes)
      : store(std::move(region), max_bytes), codec(std::move(its_codec)) {
    const StoreStatus status = keep_trying([&](Nanoseconds deadline) { return store.open(deadline); });
    if (status != StoreStatus::ok) {
      raise_store(status, store, what);
      throw nb::python_error();
    }
  }
  // For the garbage collector: a user's codec may refer to what it is a codec of.
  int traverse(visitproc visit, void* arg) {
    Py_VISIT(codec.codec().ptr());
    return 0;
  }
  void forget() { codec.forget(); }

  static constexpr const char* what = Kind::type.kind == RegionKind::dict ? "dict" : "list";
  Kind store;
  ValueCodec codec;
};

template <class Type>
nb::object figures(Type& self) {
  std::uint64_t length = 0, version = 0, used = 0;
  const StoreStatus status =
      keep_trying([&](Nanoseconds deadline) { return self.store.figures(deadline, length, version, used); });
  if (status != StoreStatus::ok) return raise_store(status, self.store, Type::what);
  return nb::make_tuple(length, version, used);
}

// Whether something was changed since `version`; False: not by the deadline.
template <class Type>
nb::object wait_changed(Type& self, std::uint64_t version, nb::handle timeout) {
  Deadline deadline;
  if (!parse_deadline(nb::bool_(true), timeout, deadline)) return {};
  Slices slices(self.store.waiters(), WaitsFor::change);
  while (self.store.version() == version) {
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      self.store.wait_changed(version, deadline.at, slices);
    }
    if (!look_for_signals(slices)) return {};
  }
  return nb::bool_(true);
}

// Slots, which a subclass takes over: a method of that name would be looked up at each use.
template <class Type>
Py_ssize_t length_slot(PyObject* object) {
  Type* const self = value_in<Type>(object);
  if (self == nullptr) return -1;
  std::uint64_t length = 0, version = 0, used = 0;
  const StoreStatus status =
      keep_trying([&](Nanoseconds deadline) { return self->store.figures(deadline, length, version, used); });
  if (status == StoreStatus::ok) return static_cast<Py_ssize_t>(length);
  raise_store(status, self->store, Type::what);
  return -1;
}
template <class Type, auto get>
PyObject* subscript_slot(PyObject* object, PyObject* key) {
  return run_slot<PyObject*>(nullptr, [&] {
    Type* const self = value_in<Type>(object);
    return self == nullptr ? nullptr : get(*self, key).release().ptr();
  });
}
template <class Type, auto set, auto erase>
int assign_slot(PyObject* object, PyObject* key, PyObject* value) {
  return run_slot(-1, [&] {
    Type* const self = value_in<Type>(object);
    if (self == nullptr) return -1;
    return (value == nullptr ? erase(*self, key) : set(*self, key, value)).is_valid() ? 0 : -1;
  });
}

template <class Type>
void bind_common(PlainType<Type>& bound) {
  bound.generic()
      .init([](void* at, std::shared_ptr<Region> region, nb::object codec,
               std::uint64_t max_bytes) { new (at) Type(std::move(region), std::move(codec), max_bytes); },
            {"region"_p, "codec"_p, "max_bytes"_p})
      .property("_region", [](Type& self) { return self.store.shared_region(); })
      .property("_max_bytes", [](Type& self) { return self.store.max_bytes(); })
      .def("_figures", function<&figures<Type>>)
      .def("_wait_changed", function<&wait_changed<Type>>, {"version"_p, "timeout"_p})
      .def("_check", [](Type& self) { return self.store.check(monotonic_now() + 10'000'000'000); })
      .slot(Py_mp_length, length_slot<Type>);
}

}  // namespace conveyor::python
