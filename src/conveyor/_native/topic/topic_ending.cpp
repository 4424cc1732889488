// The end of a topic: shutting it down, registering as a producer, and what each subscriber is told.
#include <nanobind/stl/pair.h>

#include "../support/errors.hpp"
#include "../support/plain_type.hpp"
#include "topic_channel.hpp"

namespace conveyor::python {

nb::object SubscriptionChannel::raise_end() {
  const std::vector<LostProducer> lost = subscriber_.topic_log().lost();
  return lost.empty() ? raise("ShutDown", "the topic was shut down, and all its events were received")
                      : raise_lost(lost);
}

bool looked_for_lost(TopicLog& topic_log) {
  if (!topic_log.look_is_due()) return false;
  const WithoutGil released;
  topic_log.look_for_lost();
  return true;
}

nb::object TopicChannel::shutdown() {
  const Deadline at_once{forever, true};
  for (RetrySlices patience(at_once);;) {
    const Nanoseconds slice = patience.slice();
    Status status;
    {
      const WithoutGil released;
      status = topic_log_->end(slice);
    }
    if (status == Status::ok) return nb::none();
    if (!look_for_signals()) return {};
    if (slice == 0) return raise_topic_status(Status::busy, *topic_log_, 0, 0);
  }
}

nb::object TopicChannel::enter_producing(bool counts) {
  const Status status =
      keep_trying_for_lock([&](Nanoseconds patience) { return topic_log_->enter_producing(counts, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  if (status == Status::ok) return nb::none();
  if (status == Status::crowded || status == Status::no_memory) return raise_no_producer(status);
  return raise_topic_status(status, *topic_log_, 0, 0);
}

nb::object TopicChannel::expect_producers(nb::handle count) {
  std::uint32_t number = 0;
  if (!parse_producer_count(count, number)) return {};
  const Status status =
      keep_trying_for_lock([&](Nanoseconds patience) { return topic_log_->expect_producers(number, patience); });
  if (PyErr_Occurred() != nullptr) return {};
  return status == Status::ok ? nb::none() : raise_topic_status(status, *topic_log_, 0, 0);
}

void bind_topic_ending(PlainType<TopicChannel>& topic) {
  topic.def("_shutdown", function<&TopicChannel::shutdown>)
      .property("_is_shut_down", [](TopicChannel& self) { return self.topic_log().ended(); })
      .property("_identity",
                [](TopicChannel& self) {
                  const Identity& identity = self.region()->identity();
                  return std::pair(identity.device, identity.inode);
                })
      .def("_enter_producing", function<&TopicChannel::enter_producing>, {"counts"_p})
      .def("_leave_producing",
           [](TopicChannel& self) {
             return keep_trying_to_leave(
                 [&](Nanoseconds patience) { return self.topic_log().leave_producing(patience); });
           })
      .def("_expect_producers", function<&TopicChannel::expect_producers>, {"n"_p});
}

}  // namespace conveyor::python
