// Semaphores, events, conditions and barriers; their Python names are in conveyor/synchronize.py.
#include <nanobind/stl/optional.h>

#include <climits>
#include <optional>
#include <string>

#include "../support/plain_type.hpp"
#include "conveyor/sync/barrier.hpp"
#include "conveyor/sync/condition.hpp"
#include "conveyor/sync/flag.hpp"
#include "conveyor/sync/semaphore.hpp"
#include "docs.hpp"
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
  if (!wait_without_gil(self.held(), Acquired::interrupted, how, [&](Slices& slices) {
        return deadline.immediate ? semaphore.try_acquire() : semaphore.acquire(deadline.at, slices);
      }))
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
  if (!wait_without_gil(Semaphore::Released::interrupted, how, [&](Slices&) { return semaphore.release(count); }))
    throw nb::python_error();
  if (how == Semaphore::Released::too_many) throw nb::value_error("semaphore or lock released too many times");
}

// The others are told, whatever the handlers of signals raise meanwhile; `raised` is raised in the end.
[[noreturn]] void break_off(BarrierHandle& self, nb::object raised) {
  keep_trying_without_gil(false, [&] { return self.barrier.spoil(); });
  set_exception(raised);
  throw nb::python_error();
}

// A number that no other party gets; None: the barrier is broken. Once all have come, it is open or broken before any
// Python code but `action` runs.
std::optional<std::uint32_t> wait_barrier(BarrierHandle& self, nb::handle timeout, nb::handle action) {
  const Nanoseconds deadline = deadline_after(timeout);
  Barrier::Arrival arrival;
  Met met = Met::broken;
  if (!wait_without_gil(self.held(), Met::interrupted, met,
                        [&](Slices& slices) { return self.barrier.wait(arrival, deadline, slices); })) {
    nb::object raised = take_exception();
    if (arrival.arrived) break_off(self, std::move(raised));  // the others cannot become complete any more
    set_exception(raised);
    throw nb::python_error();
  }
  if (met == Met::last) {
    if (!action.is_none() && !call(action).is_valid()) break_off(self, take_exception());
    met = keep_trying_without_gil(Met::interrupted, [&] { return self.barrier.open(arrival); });
  }
  return met == Met::all ? std::optional(arrival.index) : std::nullopt;
}

// ---- a condition's lock: of ours, or a semaphore of multiprocessing's. All of this is C, which no handler interrupts.

// How often it was taken; null with a Python error set.
nb::object give_up(nb::handle lock, bool ours) {
  if (ours) return call_method(lock, "_give_up");
  nb::object depth = call_method(lock, "_count");
  for (long i = depth.is_valid() ? PyLong_AsLong(depth.ptr()) : 0; i > 0; --i) {
    if (!call_method(lock, "release").is_valid()) return {};
  }
  return depth;
}

// What handlers raise meanwhile comes into `raised`.
void take_back(nb::handle lock, bool ours, const nb::object& depth, nb::object& raised) {
  if (ours) {
    if (!call_method(lock, "_take_back", depth).is_valid()) raised = take_exception();
    return;
  }
  for (long i = PyLong_AsLong(depth.ptr()); i > 0;) {
    if (call_method(lock, "acquire").is_valid()) {
      --i;
    } else {
      raised = take_exception();
    }
  }
}

// Whether we were notified. From the moment we can be chosen until we cannot any more, no Python code runs but that of
// signal handlers: should one raise, what we were told is for somebody who acts on it.
bool wait_condition(ConditionHandle& self, nb::handle lock, bool ours, nb::handle timeout) {
  const Nanoseconds deadline = deadline_after(timeout);
  const nb::object owned = call_method(lock, "_is_mine");
  if (!owned.is_valid()) throw nb::python_error();
  if (owned.ptr() != Py_True) {
    PyErr_SetString(PyExc_AssertionError, "lock is not owned: acquire the condition before wait()");
    throw nb::python_error();
  }
  Condition condition = self.core();
  const Condition::Waiter waiter = condition.enter();
  const nb::object depth = give_up(lock, ours);
  if (!depth.is_valid()) {
    condition.leave(waiter);
    throw nb::python_error();
  }
  Waited how = Waited::timed_out;
  nb::object raised;
  if (!wait_without_gil(self.held(), Waited::interrupted, how,
                        [&](Slices& slices) { return condition.wait(waiter, deadline, slices); }))
    raised = take_exception();
  take_back(lock, ours, depth, raised);
  const bool told = condition.leave(waiter);
  if (!raised.is_valid()) return told || how == Waited::again;
  if (told) condition.notify(1);
  set_exception(raised);
  throw nb::python_error();
}

bool wait_event(EventHandle& self, nb::handle timeout) {
  Flag flag = self.core();
  const std::uint64_t times_set = flag.times_set();
  if (flag.is_set()) return true;
  const Nanoseconds deadline = deadline_after(timeout);
  Waited how = Waited::timed_out;
  const auto wait = [&](Slices& slices) { return flag.wait(times_set, deadline, slices); };
  if (!wait_without_gil(self.held(), Waited::interrupted, how, wait)) throw nb::python_error();
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
      .def("_wait", function<&wait_condition>, {"lock"_p, "ours"_p, "timeout"_p})
      .def("_notify", [](ConditionHandle& self, std::uint32_t count) { self.core().notify(count); }, {"n"_p})
      .property("_waiting", [](ConditionHandle& self) { return self.core().waiting(); })
      .add_to(module);

  handle_type<BarrierHandle>("BarrierBase", [](void* at, std::uint32_t parties) { new (at) BarrierHandle(parties); },
                             {"parties"_p})
      .def("_wait", function<&wait_barrier>, {"timeout"_p, "action"_p})
      .def("abort", [](BarrierHandle& self) { keep_trying_without_gil(false, [&] { return self.barrier.spoil(); }); })
      .def("reset", [](BarrierHandle& self) { keep_trying_without_gil(false, [&] { return self.barrier.reset(); }); })
      .property("parties", [](BarrierHandle& self) { return self.barrier.parties(); })
      .property("n_waiting", [](BarrierHandle& self) { return self.barrier.waiting(); })
      .property("broken", [](BarrierHandle& self) { return self.barrier.is_broken(); })
      .add_to(module);
}

}  // namespace conveyor::python
