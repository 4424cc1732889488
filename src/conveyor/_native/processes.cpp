// What the worker processes of pipelines need beside queues.
#include <nanobind/nanobind.h>
#include <sys/prctl.h>

#include <conveyor/meter.hpp>

namespace nb = nanobind;

namespace conveyor::python {
namespace {

using namespace nb::literals;

// A Meter on memory that somebody else lends; it holds on to it.
class LentMeter {
 public:
  explicit LentMeter(const nb::handle memory) {
    if (PyObject_GetBuffer(memory.ptr(), &view_, PyBUF_WRITABLE) != 0) throw nb::python_error();
    if (view_.len < static_cast<Py_ssize_t>(sizeof(MeterWords)) ||
        reinterpret_cast<std::uintptr_t>(view_.buf) % alignof(MeterWords) != 0) {
      PyBuffer_Release(&view_);
      throw nb::value_error("memory must be aligned, and hold the words of a meter");
    }
    meter_ = new (storage_) Meter(*static_cast<MeterWords*>(view_.buf));
  }
  ~LentMeter() { PyBuffer_Release(&view_); }
  LentMeter(const LentMeter&) = delete;
  LentMeter& operator=(const LentMeter&) = delete;
  Meter& meter() { return *meter_; }

 private:
  Py_buffer view_{};
  alignas(Meter) std::byte storage_[sizeof(Meter)];
  Meter* meter_;
};

}  // namespace

void bind_processes(nb::module_& module) {
  nb::class_<LentMeter>(module, "Meter")
      .def(nb::init<nb::handle>(), "memory"_a)
      .def("idle", [](LentMeter& self) { self.meter().idle(); })
      .def("begin", [](LentMeter& self) { self.meter().begin(); })
      .def("lap", [](LentMeter& self) { return self.meter().lap(); });
  module.def(
      "signal_at_parents_death", [](int number) { return prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) == 0; }, "number"_a);
}

}  // namespace conveyor::python
