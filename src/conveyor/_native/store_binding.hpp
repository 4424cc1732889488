// What the bindings of shared dicts and lists have in common: how a call waits, and what it says when it fails.
#pragma once

#include <nanobind/nanobind.h>

#include "channel.hpp"
#include "conveyor/store.hpp"
#include "value_codec.hpp"

namespace conveyor::python {

// Repeats `operation(deadline)` until it gets the lock: the first time with the GIL, as it hardly ever takes long,
// and then without it. `interrupted`: a Python error is set.
template <class Operation>
StoreStatus insist(Operation operation) {
  StoreStatus status = operation(Nanoseconds{0});
  while (status == StoreStatus::busy || status == StoreStatus::interrupted) {
    {
      const WithoutGil released;
      status = operation(monotonic_now() + longest_portion);
    }
    if ((status == StoreStatus::busy || status == StoreStatus::interrupted) && PyErr_CheckSignals() != 0)
      return StoreStatus::interrupted;
  }
  return status;
}

// The same for what a claim may forbid: waits until it is given back, or its owner is dead.
template <class Operation>
StoreStatus insist_on_claimed(Store& store, const Deadline& until, Operation operation) {
  // How long a wait may last before somebody looks again whether the claimant lives.
  constexpr Nanoseconds look = 50'000'000;
  for (;;) {
    const std::uint64_t seen = store.claims_now();
    const StoreStatus status = insist(operation);
    if ((status != StoreStatus::claimed && status != StoreStatus::crowded) || until.passed()) return status;
    {
      const WithoutGil released;
      Slices slices;
      const Nanoseconds soon = monotonic_now() + look;
      store.wait_released(seen, until.at < soon ? until.at : soon, slices);
    }
    if (PyErr_CheckSignals() != 0) return StoreStatus::interrupted;
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
    const StoreStatus status = insist([&](Nanoseconds deadline) { return store.open(deadline); });
    if (status != StoreStatus::ok) {
      raise_store(status, store, Kind::type.kind == RegionKind::dict ? "dict" : "list");
      throw nb::python_error();
    }
  }
  Kind store;
  ValueCodec codec;
};

// A user's codec may refer to what it is a codec of: the garbage collector must see it.
template <class Type>
struct Collected {
  static int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<Type>(self)->codec.codec().ptr());
    return 0;
  }
  static int clear(PyObject* self) {
    if (nb::inst_ready(self)) nb::inst_ptr<Type>(self)->codec.forget();
    return 0;
  }
  static inline PyType_Slot slots[] = {
      {Py_tp_traverse, reinterpret_cast<void*>(traverse)}, {Py_tp_clear, reinterpret_cast<void*>(clear)}, {0, nullptr}};
};

template <class Type>
nb::object figures(Type& self, const char* what) {
  std::uint64_t length = 0, version = 0, used = 0;
  const StoreStatus status =
      insist([&](Nanoseconds deadline) { return self.store.figures(deadline, length, version, used); });
  if (status != StoreStatus::ok) return raise_store(status, self.store, what);
  return nb::make_tuple(length, version, used);
}

// Whether something was changed since `version`; False: not by the deadline.
template <class Type>
nb::object wait_changed(Type& self, std::uint64_t version, nb::handle timeout) {
  Deadline deadline;
  if (!parse_deadline(nb::bool_(true), timeout, deadline)) return {};
  Slices slices;
  while (self.store.version() == version) {
    if (deadline.passed()) return nb::bool_(false);
    {
      const WithoutGil released;
      self.store.wait_changed(version, deadline.at, slices);
    }
    if (PyErr_CheckSignals() != 0) return {};
  }
  return nb::bool_(true);
}

template <class Type, class Class>
void bind_common(Class& bound, const char* what) {
  using namespace nb::literals;
  bound.def(nb::init<std::shared_ptr<Region>, nb::object, std::uint64_t>(), "region"_a, "codec"_a, "max_bytes"_a)
      .def_prop_ro("_region", [](Type& self) { return self.store.shared_region(); })
      .def_prop_ro("_max_bytes", [](Type& self) { return self.store.max_bytes(); })
      .def("_figures", [what](Type& self) { return figures(self, what); })
      .def("_wait_changed", &wait_changed<Type>, "version"_a, "timeout"_a.none())
      .def("_check", [](Type& self) { return self.store.check(monotonic_now() + 10'000'000'000); })
      .def("__len__", [what](Type& self) -> Py_ssize_t {
        std::uint64_t length = 0, version = 0, used = 0;
        const StoreStatus status =
            insist([&](Nanoseconds deadline) { return self.store.figures(deadline, length, version, used); });
        if (status == StoreStatus::ok) return static_cast<Py_ssize_t>(length);
        raise_store(status, self.store, what);
        throw nb::python_error();
      });
}

}  // namespace conveyor::python
