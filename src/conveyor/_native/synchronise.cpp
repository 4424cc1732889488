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
#include "plain_type.hpp"
#include "state.hpp"

namespace conveyor::python {
namespace {

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

// `make`: puts a new one there. The other way is to attach to one that exists.
template <class H, class F>
PlainType<H> handle_type(const char* name, F make, const std::vector<Parameter>& parameters = {}) {
  PlainType<H> bound(name);
  bound.init(make, parameters)
      .init(
          [](void* at, std::shared_ptr<Region> region, std::uint64_t offset) { new (at) H(std::move(region), offset); },
          {"region"_p, "offset"_p})
      .property("_region", [](H& self) { return self.held().tell(); })
      .property("_offset", [](H& self) { return self.held().offset(); });
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

bool wait_event(EventHandle& self, nb::handle timeout) {
  if (self.core().is_set()) return true;
  const Nanoseconds deadline = deadline_after(timeout);
  Waited how = Waited::timed_out;
  if (!wait_without_gil(Waited::interrupted, how, [&] { return self.core().wait(deadline); })) throw nb::python_error();
  return how == Waited::again;
}

using Place = std::tuple<std::uint32_t, std::uint32_t>;

Condition::Waiter waiter_at(const Place& waiter) {
  const auto [place, epoch] = waiter;
  if (place > condition_places) throw nb::value_error("no such place");
  return {place, epoch};
}

bool sleep_condition(ConditionHandle& self, Place waiter, nb::handle timeout) {
  const Condition::Waiter at = waiter_at(waiter);
  const Nanoseconds deadline = deadline_after(timeout);
  Waited how = Waited::timed_out;
  if (!wait_without_gil(Waited::interrupted, how, [&] { return self.core().wait(at, deadline); }))
    throw nb::python_error();
  return how == Waited::again;
}

}  // namespace

void bind_synchronise(nb::module_& module) {
  handle_type<SemaphoreHandle>("SemaphoreBase",
                               [](void* at, std::uint32_t value, std::uint32_t bound) {
                                 auto* const self = new (at) SemaphoreHandle();
                                 self->core().initialise(value, bound);
                               },
                               {"value"_p, "bound"_p})
      .def("acquire", function<&acquire_semaphore>, {"block"_p = true, "timeout"_p = nb::none()},
           docs::SemaphoreBase_acquire)
      .def("release", function<&release_semaphore>, {"n"_p = 1}, docs::SemaphoreBase_release)
      .def(
          "get_value", [](SemaphoreHandle& self) { return self.core().value(); }, {}, docs::SemaphoreBase_get_value)
      .property(
          "recovered", [](SemaphoreHandle& self) { return self.recovered; }, docs::SemaphoreBase_recovered)
      .def("__enter__", [](SemaphoreHandle& self) { return acquire_semaphore(self, Py_True, nb::none()); })
      .def("__exit__", [](SemaphoreHandle& self, nb::handle, nb::handle, nb::handle) { release_semaphore(self, 1); },
           {"kind"_p, "error"_p, "trace"_p})
      .property("_bound", [](SemaphoreHandle& self) { return snapshot(self.cell().bound); })
      .add_to(module);

  handle_type<EventHandle>("EventBase", [](void* at) { new (at) EventHandle(); })
      .def(
          "is_set", [](EventHandle& self) { return self.core().is_set(); }, {}, docs::EventBase_is_set)
      .def(
          "set", [](EventHandle& self) { self.core().set(); }, {}, docs::EventBase_set)
      .def(
          "clear", [](EventHandle& self) { self.core().clear(); }, {}, docs::EventBase_clear)
      .def("wait", function<&wait_event>, {"timeout"_p = nb::none()}, docs::EventBase_wait)
      .add_to(module);

  handle_type<ConditionHandle>("ConditionBase", [](void* at) { new (at) ConditionHandle(); })
      .def("_enter",
           [](ConditionHandle& self) {
             const Condition::Waiter waiter = self.core().enter();
             return Place(waiter.place, waiter.epoch);
           })
      .def("_sleep", function<&sleep_condition>, {"waiter"_p, "timeout"_p})
      .def("_leave", [](ConditionHandle& self, Place waiter) { return self.core().leave(waiter_at(waiter)); },
           {"waiter"_p})
      .def("_notify", [](ConditionHandle& self, std::uint32_t count) { self.core().notify(count); }, {"n"_p})
      .property("_waiting", [](ConditionHandle& self) { return self.core().waiting(); })
      .add_to(module);

  handle_type<BarrierHandle>("BarrierBase", [](void* at, std::uint32_t parties) { new (at) BarrierHandle(parties); },
                             {"parties"_p})
      .def("_wait", function<&wait_barrier>, {"timeout"_p})
      .def("_open",
           [](BarrierHandle& self, std::uint32_t generation, std::uint32_t index) {
             return self.barrier.open({generation, index, true}) == Met::all;
           },
           {"generation"_p, "index"_p})
      .def("abort", [](BarrierHandle& self) { self.barrier.spoil(); })
      .def("reset", [](BarrierHandle& self) { self.barrier.reset(); })
      .property("parties", [](BarrierHandle& self) { return self.barrier.parties(); })
      .property("n_waiting", [](BarrierHandle& self) { return self.barrier.waiting(); })
      .property("broken", [](BarrierHandle& self) { return self.barrier.is_broken(); })
      .add_to(module);
}

}  // namespace conveyor::python
