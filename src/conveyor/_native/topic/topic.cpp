// The Python face of topics.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "../support/errors.hpp"
#include "../support/plain_type.hpp"
#include "docs.hpp"
#include "topic_channel.hpp"

namespace conveyor::python {

template <>
inline constexpr bool is_plain<TopicChannel> = true;

void bind_topic_ending(PlainType<TopicChannel>& topic);

namespace {

int get_buffer(PyObject* exporter, Py_buffer* view, int flags) {
  const EventMemory& memory = *nb::inst_ptr<EventMemory>(exporter);
  return PyBuffer_FillInfo(view, exporter, const_cast<std::byte*>(memory.data), static_cast<Py_ssize_t>(memory.size), 1,
                           flags);
}

// As a slot: a method of that name would cost as much again as reading an event.
PyObject* next(PyObject* object) {
  SubscriptionChannel* const self = value_in<SubscriptionChannel>(object);
  return self == nullptr ? nullptr : self->next().release().ptr();
}

nb::dict statistics(TopicChannel& channel) {
  const TopicFigures seen = channel.topic_log().figures();
  nb::dict result;
  result["published"] = seen.published;
  result["bytes_published"] = seen.bytes;
  result["publish_waits"] = seen.waits;
  result["max_bytes"] = seen.capacity;
  result["bytes_kept"] = seen.kept_bytes;
  result["memory_held"] = channel.region()->memory_held();
  result["memory_pinned"] = seen.pinned_bytes;
  nb::list slots;
  for (const SubscriberFigures& slot : seen.slots) {
    slots.append(nb::make_tuple(owner_pid(slot.owner), static_cast<int>(slot.mode), slot.number, slot.lag, slot.missed,
                                slot.received, is_alive(slot.owner)));
  }
  result["subscribers"] = slots;
  return result;
}

void make_topic(void* at, std::shared_ptr<Region> region, std::uint64_t keep, bool copies_devices) {
  guarded([&] { new (at) TopicChannel(std::move(region), keep, copies_devices); });
}

void bind_topic(nb::module_& module) {
  PlainType<TopicChannel> topic("TopicChannel", docs::TopicChannel);
  bind_topic_ending(topic);
  topic.generic()
      .init(function<&make_topic>, {"region"_p, "keep"_p, "copies_devices"_p = false})
      .property("_region", [](TopicChannel& self) { return self.region(); })
      .property("_keep", [](TopicChannel& self) { return self.topic_log().header().keep; })
      .def("_statistics", function<&statistics>)
      .def("_check", function<&TopicChannel::check>, {"patience"_p = 10.0})
      .def(
          "publish",
          [](TopicChannel& self, nb::handle event, nb::handle key, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(Py_True, timeout, deadline) ? self.publish(event, key, deadline) : nb::object();
          },
          {"event"_p, "key"_p = nb::none(), "timeout"_p = nb::none()}, docs::TopicChannel_publish)
      .def(
          "publish_many",
          [](TopicChannel& self, nb::handle events, nb::handle key, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(Py_True, timeout, deadline) ? self.publish_many(events, key, deadline) : nb::object();
          },
          {"events"_p, "key"_p = nb::none(), "timeout"_p = nb::none()}, docs::TopicChannel_publish_many)
      .def("_wait_room",
           [](TopicChannel& self, nb::handle timeout) {
             Deadline deadline;
             return parse_deadline(Py_True, timeout, deadline) ? self.wait_room(deadline) : nb::object();
           },
           {"timeout"_p = nb::none()})
      .def("_wait_event",
           [](TopicChannel& self, std::uint64_t position, nb::handle timeout) {
             Deadline deadline;
             return parse_deadline(Py_True, timeout, deadline) ? self.wait_event(position, deadline) : nb::object();
           },
           {"position"_p, "timeout"_p = nb::none()});
  topic.add_to(module);
}

void make_subscription(void* at, TopicChannel& of, std::vector<std::string> patterns, int mode, int from,
                       std::uint64_t number, nb::object filter) {
  std::vector<KeyPattern> compiled(patterns.begin(), patterns.end());
  auto* const self = new (at) SubscriptionChannel(of.shared(), of.region(), std::move(compiled), std::move(filter));
  if (self->join(static_cast<SubscriberMode>(mode), static_cast<From>(from), number)) return;
  self->~SubscriptionChannel();
  throw nb::python_error();
}

void bind_subscription(nb::module_& module) {
  PlainType<SubscriptionChannel> subscription("SubscriptionChannel", docs::SubscriptionChannel);
  subscription.generic()
      .init(function<&make_subscription>, {"topic"_p, "patterns"_p, "mode"_p, "from_"_p, "number"_p, "filter"_p})
      .slot(Py_tp_iter, PyObject_SelfIter)
      .slot(Py_tp_iternext, next)
      .def(
          "get",
          [](SubscriptionChannel& self, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(Py_True, timeout, deadline) ? self.get(deadline) : nb::object();
          },
          {"timeout"_p = nb::none()}, docs::SubscriptionChannel_get)
      .def(
          "get_nowait", [](SubscriptionChannel& self) { return self.get({forever, true}); }, {},
          docs::SubscriptionChannel_get_nowait)
      .def(
          "get_many",
          [](SubscriptionChannel& self, Py_ssize_t max_events, nb::handle timeout) {
            if (max_events < 1) {
              PyErr_Format(PyExc_ValueError, "max_events is %zd; it must be at least 1", max_events);
              return nb::object();
            }
            Deadline deadline;
            return parse_deadline(Py_True, timeout, deadline)
                       ? self.get_many(static_cast<std::size_t>(max_events), deadline)
                       : nb::object();
          },
          {"max_events"_p = 100, "timeout"_p = nb::none()}, docs::SubscriptionChannel_get_many)
      .def(
          "close",
          [](Self<SubscriptionChannel> self) {
            self->close();
            // Afterwards: a signal's handler that raises in there has kept nothing open.
            return call_method(self.object, "_was_closed");
          },
          {}, docs::SubscriptionChannel_close)
      .def("_was_closed", [](SubscriptionChannel&) {})
      .property("closed", [](SubscriptionChannel& self) { return !self.subscriber().joined(); })
      .property("seq", [](SubscriptionChannel& self) { return self.subscriber().number(); })
      .property("missed", [](SubscriptionChannel& self) { return self.subscriber().missed(); })
      .property("lag", [](SubscriptionChannel& self) { return self.subscriber().lag(); })
      .property("_position", [](SubscriptionChannel& self) { return self.subscriber().position(); })
      .def("_settle", [](SubscriptionChannel& self) {
        if (self.usable()) self.subscriber().settle();
      });
  subscription.add_to(module);
}

}  // namespace

void bind_topics(nb::module_& module) {
  static PyType_Slot memory_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)}, {0, nullptr}};
  nb::class_<EventMemory>(module, "EventMemory", nb::type_slots(memory_slots))
      .def("__len__", [](const EventMemory& self) { return self.size; });
  module.attr("TOPIC_HEADER") = sizeof(TopicHeader);
  module.attr("TOPIC_LAYOUT") = topic_layout_version;
  bind_topic(module);
  bind_subscription(module);
}

}  // namespace conveyor::python
