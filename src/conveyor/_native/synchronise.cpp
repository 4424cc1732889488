// Semaphores, events, conditions and barriers; their Python names are in conveyor/synchronize.py.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <climits>
#include <optional>
#include <string>
#include <tuple>

#include "conveyor/barrier.hpp"
#include "conveyor/condition.hpp"
#include "conveyor/flag.hpp"
#include "conveyor/semaphore.hpp"
#include "docs.hpp"
#include "state.hpp"

namespace conveyor::python {
namespace {

using namespace nb::literals;

template <class Core, class Cell, CellType type>
class Handle {
 public:
  explicit Handle(std::size_t size = sizeof(Cell)) : held_(type, size) {}
  Handle(std::shared_ptr<Region> region, std::uint64_t offset) : held_(std::move(region), offset, type, sizeof(Cell)) {}
  Cell& cell() const { return held_.template as<Cell>(); }
  Core core() const { return Core(cell()); }
  HeldCell& held() { return held_; }

 private:
  HeldCell held_;
};

struct SemaphoreHandle : Handle<Semaphore, SemaphoreCell, CellType::semaphore> {
  using Handle::Handle;
  bool recovered = false;
};
using EventHandle = Handle<Flag, EventCell, CellType::event>;
using ConditionHandle = Handle<Condition, ConditionCell, CellType::condition>;

struct BarrierHandle : Handle<Barrier, BarrierCell, CellType::barrier> {
  explicit BarrierHandle(std::uint32_t parties) : Handle(Barrier::size_for(parties)), barrier(made(parties)) {}
  BarrierHandle(std::shared_ptr<Region> region, std::uint64_t offset)
      : Handle(std::move(region), offset), barrier(guarded([this] { return core(); })) {}
  Barrier barrier;

 private:
  Barrier made(std::uint32_t parties) {
    cell().parties = parties;
    return core();
  }
};

template <class H>
nb::class_<H> bind_handle(nb::module_& module, const char* name) {
  nb::class_<H> bound(module, name, nb::is_weak_referenceable());
  bound.def_prop_ro("_region", [](H& self) { return self.held().tell(); }).def_prop_ro("_offset", [](H& self) {
    return self.held().offset();
  });
  return bound;
}

bool acquire_semaphore(SemaphoreHandle& self, nb::handle block, nb::handle timeout) {
  Deadline deadline;
  if (!parse_deadline(block, timeout, deadline)) throw nb::python_error();
  Semaphore semaphore = self.core();
  Acquired how = Acquired::none;
  if (!wait_without_gil(Acquired::interrupted, how,
                        [&] { return deadline.immediate ? semaphore.try_acquire() : semaphore.acquire(deadline.at); }))
    throw nb::python_error();
  if (how == Acquired::none) return false;
  self.recovered = how == Acquired::after_death;
  return true;
}

void release_semaphore(SemaphoreHandle& self, std::int64_t n) {
  if (n < 1 || n > INT_MAX) throw nb::value_error(("n is " + std::to_string(n) + "; it must be at least 1").c_str());
  const auto count = static_cast<std::uint32_t>(n);
  Semaphore semaphore = self.core();
  Semaphore::Released how = Semaphore::Released::done;
  if (!wait_without_gil(Semaphore::Released::interrupted, how, [&] { return semaphore.release(count); }))
    throw nb::python_error();
  if (how == Semaphore::Released::too_many) throw nb::value_error("semaphore or lock released too many times");
}

using Arrived = std::tuple<std::uint32_t, std::uint32_t, bool>;

// (generation, index, whether it is the last); None: the barrier is broken.
std::optional<Arrived> wait_barrier(BarrierHandle& self, nb::handle timeout) {
  const Nanoseconds deadline = deadline_after(timeout);
  Barrier::Arrival arrival;
  Met met = Met::broken;
  if (!wait_without_gil(Met::interrupted, met, [&] { return self.barrier.wait(arrival, deadline); })) {
    // The others cannot become complete any more.
    nb::object raised = take_exception();
    if (arrival.arrived) self.barrier.spoil();
    set_exception(raised);
    throw nb::python_error();
  }
  if (met == Met::broken || met == Met::timed_out) return std::nullopt;
  return Arrived{arrival.generation, arrival.index, met == Met::last};
}

}  // namespace

void bind_synchronise(nb::module_& module) {
  bind_handle<SemaphoreHandle>(module, "SemaphoreBase")
      .def(
          "__init__",
          [](SemaphoreHandle* self, std::uint32_t value, std::uint32_t bound) {
            new (self) SemaphoreHandle();
            self->core().initialise(value, bound);
          },
          "value"_a, "bound"_a)
      .def(nb::init<std::shared_ptr<Region>, std::uint64_t>(), "region"_a, "offset"_a)
      .def("acquire", &acquire_semaphore, docs::SemaphoreBase_acquire, "block"_a = true, "timeout"_a = nb::none())
      .def("release", &release_semaphore, docs::SemaphoreBase_release, "n"_a = 1)
      .def(
          "get_value", [](SemaphoreHandle& self) { return self.core().value(); }, docs::SemaphoreBase_get_value)
      .def_ro("recovered", &SemaphoreHandle::recovered, docs::SemaphoreBase_recovered)
      .def("__enter__", [](SemaphoreHandle& self) { return acquire_semaphore(self, Py_True, nb::none()); })
      .def(
          "__exit__", [](SemaphoreHandle& self, nb::handle, nb::handle, nb::handle) { release_semaphore(self, 1); },
          nb::arg().none(), nb::arg().none(), nb::arg().none())
      .def_prop_ro("_bound", [](SemaphoreHandle& self) { return snapshot(self.cell().bound); });

  bind_handle<EventHandle>(module, "EventBase")
      .def(nb::init<>())
      .def(nb::init<std::shared_ptr<Region>, std::uint64_t>(), "region"_a, "offset"_a)
      .def(
          "is_set", [](EventHandle& self) { return self.core().is_set(); }, docs::EventBase_is_set)
      .def(
          "set", [](EventHandle& self) { self.core().set(); }, docs::EventBase_set)
      .def(
          "clear", [](EventHandle& self) { self.core().clear(); }, docs::EventBase_clear)
      .def(
          "wait",
          [](EventHandle& self, nb::handle timeout) {
            if (self.core().is_set()) return true;
            const Nanoseconds deadline = deadline_after(timeout);
            Waited how = Waited::timed_out;
            if (!wait_without_gil(Waited::interrupted, how, [&] { return self.core().wait(deadline); }))
              throw nb::python_error();
            return how == Waited::again;
          },
          docs::EventBase_wait, "timeout"_a = nb::none());

  bind_handle<ConditionHandle>(module, "ConditionBase")
      .def(nb::init<>())
      .def(nb::init<std::shared_ptr<Region>, std::uint64_t>(), "region"_a, "offset"_a)
      .def("_enter",
           [](ConditionHandle& self) {
             const Condition::Waiter waiter = self.core().enter();
             return std::tuple(waiter.place, waiter.epoch);
           })
      .def(
          "_sleep",
          [](ConditionHandle& self, std::tuple<std::uint32_t, std::uint32_t> waiter, nb::handle timeout) {
            const auto [place, epoch] = waiter;
            if (place > condition_places) throw nb::value_error("no such place");
            const Nanoseconds deadline = deadline_after(timeout);
            Waited how = Waited::timed_out;
            if (!wait_without_gil(Waited::interrupted, how, [&] { return self.core().wait({place, epoch}, deadline); }))
              throw nb::python_error();
            return how == Waited::again;
          },
          "waiter"_a, "timeout"_a.none())
      .def(
          "_leave",
          [](ConditionHandle& self, std::tuple<std::uint32_t, std::uint32_t> waiter) {
            const auto [place, epoch] = waiter;
            if (place > condition_places) throw nb::value_error("no such place");
            return self.core().leave({place, epoch});
          },
          "waiter"_a)
      .def(
          "_notify", [](ConditionHandle& self, std::uint32_t count) { self.core().notify(count); }, "n"_a)
      .def_prop_ro("_waiting", [](ConditionHandle& self) { return self.core().waiting(); });

  bind_handle<BarrierHandle>(module, "BarrierBase")
      .def(nb::init<std::uint32_t>(), "parties"_a)
      .def(nb::init<std::shared_ptr<Region>, std::uint64_t>(), "region"_a, "offset"_a)
      .def("_wait", &wait_barrier, "timeout"_a.none())
      .def(
          "_open",
          [](BarrierHandle& self, std::uint32_t generation, std::uint32_t index) {
            return self.barrier.open({generation, index, true}) == Met::all;
          },
          "generation"_a, "index"_a)
      .def("abort", [](BarrierHandle& self) { self.barrier.spoil(); })
      .def("reset", [](BarrierHandle& self) { self.barrier.reset(); })
      .def_prop_ro("parties", [](BarrierHandle& self) { return self.barrier.parties(); })
      .def_prop_ro("n_waiting", [](BarrierHandle& self) { return self.barrier.waiting(); })
      .def_prop_ro("broken", [](BarrierHandle& self) { return self.barrier.is_broken(); });
}

}  // namespace conveyor::python
