// The end of a queue: shutting it down, registering as a producer, and what the last getter is told.
#include "../support/errors.hpp"
#include "../support/plain_type.hpp"
#include "channel.hpp"

namespace conveyor::python {

nb::object Channel::raise_end() {
  if (stream_->dropped()) return raise("ShutDown", shut_down_text);
  const std::vector<LostProducer> lost = stream_->lost();
  return lost.empty() ? raise("ShutDown", "the queue was shut down, and all items are taken") : raise_lost(lost);
}

bool Channel::looked_for_lost() {
  if (!stream_) return false;
  if (stream_->leases_used()) {
    const WithoutGil released;
    stream_->look_after_leases();
  }
  if (!stream_->look_is_due()) return false;
  const WithoutGil released;
  stream_->look_for_lost();
  return true;
}

nb::object Channel::shutdown(bool immediate) {
  if (!is_here()) return {};
  const Status status = insist_on_lock([&](Nanoseconds patience) { return stream_->shutdown(immediate, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  return status == Status::ok ? nb::none() : raise_status(status, stream_->segment(), 0);
}

nb::object Channel::enter_producing(bool counts) {
  if (!is_here()) return {};
  const Status status =
      insist_on_lock([&](Nanoseconds patience) { return stream_->enter_producing(counts, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  if (status == Status::no_memory) return raise_no_producer(status);
  if (status != Status::ok) return raise_status(status, stream_->segment(), 0);
  holders_.keep();  // until it is left
  return nb::none();
}

nb::object Channel::leave_producing() {
  if (!is_here()) return {};
  holders_.let_go(fork_generation());
  return insist_on_leaving([&](Nanoseconds patience) { return stream_->leave_producing(patience); });
}

nb::object Channel::expect_producers(nb::handle count) {
  if (!is_here()) return {};
  std::uint32_t number = 0;
  if (!parse_producer_count(count, number)) return {};
  const Status status =
      insist_on_lock([&](Nanoseconds patience) { return stream_->expect_producers(number, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  return status == Status::ok ? nb::none() : raise_status(status, stream_->segment(), 0);
}

nb::object Channel::unfinished() {
  if (!is_here()) return {};
  std::uint64_t count = 0;
  const Status status =
      insist_on_lock([&](Nanoseconds patience) { return stream_->count_unfinished(count, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  return status == Status::ok ? nb::object(nb::int_(count)) : raise_status(status, stream_->segment(), 0);
}

void Channel::settle_drop() {
  if (!stream_ || !stream_->dropped()) return;
  const WithoutGil released;
  stream_->finish_drop();
}

void bind_ending(PlainType<Channel>& channel) {
  channel.def("_task_done", function<&Channel::task_done>)
      .def("_shutdown", function<&Channel::shutdown>, {"immediate"_p})
      .def("_enter_producing", function<&Channel::enter_producing>, {"counts"_p})
      .def("_leave_producing", function<&Channel::leave_producing>)
      .def("_expect_producers", function<&Channel::expect_producers>, {"n"_p})
      .property("_must_look",
                [](Channel& self) {
                  return self.has_stream() && (self.stream().has_producers() || self.stream().leases_used());
                })
      .def("_look_for_lost", function<&Channel::looked_for_lost>)
      .def("_unfinished", function<&Channel::unfinished>);
}

}  // namespace conveyor::python
