// What the worker processes of pipelines need beside queues.
#include <nanobind/nanobind.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "conveyor/process/normal_end.hpp"
#include "conveyor/worker/meter.hpp"

#include "../queue/channel.hpp"
#include "../support/plain_type.hpp"

namespace nb = nanobind;

namespace conveyor::python {
namespace {

using namespace nb::literals;

// A Meter on memory that somebody else lends; it holds on to it.
class LentMeter {
 public:
  explicit LentMeter(const nb::handle memory) {
    if (foreign([&] { return PyObject_GetBuffer(memory.ptr(), &view_, PyBUF_WRITABLE); }) != 0)
      throw nb::python_error();
    if (view_.len < static_cast<Py_ssize_t>(sizeof(MeterWords)) ||
        reinterpret_cast<std::uintptr_t>(view_.buf) % alignof(MeterWords) != 0) {
      foreign([&] { PyBuffer_Release(&view_); });
      throw nb::value_error("memory must be aligned, and hold the words of a meter");
    }
    meter_ = new (storage_) Meter(*static_cast<MeterWords*>(view_.buf));
  }
  ~LentMeter() {
    foreign([this] { PyBuffer_Release(&view_); });
  }
  LentMeter(const LentMeter&) = delete;
  LentMeter& operator=(const LentMeter&) = delete;
  Meter& meter() { return *meter_; }

 private:
  Py_buffer view_{};
  alignas(Meter) std::byte storage_[sizeof(Meter)];
  Meter* meter_;
};

// Looks whether any of these has an item, for so long; no wake-up is awaited, and none is asked for.
bool spin_for_any(const nb::list& channels, double seconds) {
  std::vector<const Stream*> streams;
  std::vector<std::unique_ptr<Channel::Use>> uses;  // another thread may close one of them
  for (const nb::handle each : channels) {
    auto& channel = plain_cast<Channel>(each.ptr());
    streams.push_back(&channel.stream());
    uses.push_back(std::make_unique<Channel::Use>(channel));
  }
  const auto any = [&streams] {
    for (const Stream* stream : streams)
      if (!stream->empty()) return true;
    return false;
  };
  if (any()) return true;
  static const bool may_spin = usable_cpus() > 1;
  if (!may_spin || streams.empty()) return false;
  const Nanoseconds end = monotonic_now() + static_cast<Nanoseconds>(seconds * 1e9);
  const WithoutGil released;
  do {
    for (int turn = 0; turn < 16; ++turn) {
      cpu_pause();
      if (any()) return true;
    }
  } while (monotonic_now() < end);
  return false;
}

}  // namespace

void bind_processes(nb::module_& module) {
  // At the very end of an interpreter that returns or exits. What ends by os._exit comes by `end_normally`.
  std::atexit(end_normally);
  module.def("end_normally", &end_normally);
  nb::class_<LentMeter>(module, "Meter")
      .def(nb::init<nb::handle>(), "memory"_a)
      .def("idle", [](LentMeter& self) { self.meter().idle(); })
      .def("begin", [](LentMeter& self) { self.meter().begin(); })
      .def("pause", [](LentMeter& self) { self.meter().pause(); })
      .def("lap", [](LentMeter& self) { return self.meter().lap(); });
  module.def("spin_for_any", &spin_for_any, "channels"_a, "seconds"_a);
  module.def(
      "signal_at_parents_death", [](int number) { return prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) == 0; }, "number"_a);
  module.def("is_dumpable", [] { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1; });
}

}  // namespace conveyor::python
