// The Python face of topics.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "docs.hpp"
#include "errors.hpp"
#include "topic_channel.hpp"

namespace conveyor::python {
namespace {

using namespace nb::literals;

int get_buffer(PyObject* exporter, Py_buffer* view, int flags) {
  const EventMemory& memory = *nb::inst_ptr<EventMemory>(exporter);
  return PyBuffer_FillInfo(view, exporter, const_cast<std::byte*>(memory.data), static_cast<Py_ssize_t>(memory.size), 1,
                           flags);
}

// A filter may refer to its subscription: the garbage collector must see it.
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<SubscriptionChannel>(self)->filter().ptr());
  return 0;
}
int clear(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<SubscriptionChannel>(self)->forget();
  return 0;
}
// As a slot: a method of that name would cost as much again as reading an event.
PyObject* iterate(PyObject* self) { return Py_NewRef(self); }
PyObject* next(PyObject* self) { return nb::inst_ptr<SubscriptionChannel>(self)->next().release().ptr(); }

nb::dict statistics(TopicChannel& channel) {
  const FanoutFigures seen = channel.fanout().figures();
  nb::dict result;
  result["published"] = seen.published;
  result["bytes_published"] = seen.bytes;
  result["publish_waits"] = seen.waits;
  result["max_bytes"] = seen.capacity;
  result["bytes_kept"] = seen.kept_bytes;
  result["memory_held"] = channel.region()->memory_held();
  result["memory_pinned"] = seen.pinned_bytes;
  nb::list seats;
  for (const SeatFigures& seat : seen.seats) {
    seats.append(nb::make_tuple(owner_pid(seat.owner), static_cast<int>(seat.mode), seat.number, seat.lag, seat.missed,
                                seat.received, is_alive(seat.owner)));
  }
  result["subscribers"] = seats;
  return result;
}

}  // namespace

void bind_topics(nb::module_& module) {
  static PyType_Slot memory_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)}, {0, nullptr}};
  nb::class_<EventMemory>(module, "EventMemory", nb::type_slots(memory_slots))
      .def("__len__", [](const EventMemory& self) { return self.size; });

  const nb::object subscript =
      nb::module_::import_("builtins").attr("classmethod")(nb::module_::import_("types").attr("GenericAlias"));
  module.attr("TOPIC_HEADER") = sizeof(FanoutHeader);
  module.attr("TOPIC_LAYOUT") = fanout_layout_version;
  nb::class_<TopicChannel> topic(module, "TopicChannel", nb::is_weak_referenceable());
  topic.attr("__class_getitem__") = subscript;
  bind_topic_ending(topic);
  topic
      .def(
          "__init__",
          [](TopicChannel* self, std::shared_ptr<Region> region, std::uint64_t keep) {
            try {
              new (self) TopicChannel(std::move(region), keep);
            } catch (const SegmentError& error) {
              rethrow(error);
            }
          },
          "region"_a, "keep"_a)
      .def_prop_ro("_region", [](TopicChannel& self) { return self.region(); })
      .def_prop_ro("_tail", [](TopicChannel& self) { return self.fanout().tail(); })
      .def_prop_ro("_keep", [](TopicChannel& self) { return self.fanout().header().keep; })
      .def("_statistics", &statistics)
      .def("_check", &TopicChannel::check, "patience"_a = 10.0)
      .def(
          "publish",
          [](TopicChannel& self, nb::handle event, nb::handle key, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::handle(Py_True), timeout, deadline) ? self.publish(event, key, deadline)
                                                                          : nb::object();
          },
          docs::TopicChannel_publish, "event"_a.none(), "key"_a = nb::none(), "timeout"_a = nb::none())
      .def(
          "publish_many",
          [](TopicChannel& self, nb::handle events, nb::handle key, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::handle(Py_True), timeout, deadline) ? self.publish_many(events, key, deadline)
                                                                          : nb::object();
          },
          docs::TopicChannel_publish_many, "events"_a, "key"_a = nb::none(), "timeout"_a = nb::none())
      .def(
          "_wait_room",
          [](TopicChannel& self, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::handle(Py_True), timeout, deadline) ? self.wait_room(deadline) : nb::object();
          },
          "timeout"_a = nb::none())
      .def(
          "_wait_event",
          [](TopicChannel& self, std::uint64_t position, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::handle(Py_True), timeout, deadline) ? self.wait_event(position, deadline)
                                                                          : nb::object();
          },
          "position"_a, "timeout"_a = nb::none());

  static PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                {Py_tp_iter, reinterpret_cast<void*>(iterate)},
                                {Py_tp_iternext, reinterpret_cast<void*>(next)},
                                {0, nullptr}};
  nb::class_<SubscriptionChannel> subscription(module, "SubscriptionChannel", nb::is_weak_referenceable(),
                                               nb::type_slots(slots));
  subscription.attr("__class_getitem__") = subscript;
  subscription
      .def(
          "__init__",
          [](SubscriptionChannel* self, TopicChannel& of, const std::vector<std::string>& patterns, int mode, int from,
             std::uint64_t number, nb::object filter) {
            std::vector<KeyPattern> compiled(patterns.begin(), patterns.end());
            new (self) SubscriptionChannel(of.shared(), std::move(compiled), std::move(filter));
            if (!self->join(static_cast<SeatMode>(mode), static_cast<From>(from), number)) {
              self->~SubscriptionChannel();
              throw nb::python_error();
            }
          },
          "topic"_a, "patterns"_a, "mode"_a, "from_"_a, "number"_a, "filter"_a.none())
      .def(
          "get",
          [](SubscriptionChannel& self, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::handle(Py_True), timeout, deadline) ? self.get(deadline) : nb::object();
          },
          docs::SubscriptionChannel_get, "timeout"_a = nb::none())
      .def(
          "get_nowait", [](SubscriptionChannel& self) { return self.get({forever, true}); },
          docs::SubscriptionChannel_get_nowait)
      .def(
          "get_many",
          [](SubscriptionChannel& self, Py_ssize_t max_events, nb::handle timeout) {
            if (max_events < 1) {
              PyErr_Format(PyExc_ValueError, "max_events is %zd; it must be at least 1", max_events);
              return nb::object();
            }
            Deadline deadline;
            return parse_deadline(nb::handle(Py_True), timeout, deadline)
                       ? self.get_many(static_cast<std::size_t>(max_events), deadline)
                       : nb::object();
          },
          docs::SubscriptionChannel_get_many, "max_events"_a = 100, "timeout"_a = nb::none())
      .def("close", &SubscriptionChannel::close, docs::SubscriptionChannel_close)
      .def_prop_ro("closed", [](SubscriptionChannel& self) { return !self.subscriber().joined(); })
      .def_prop_ro("seq", [](SubscriptionChannel& self) { return self.subscriber().number(); })
      .def_prop_ro("missed", [](SubscriptionChannel& self) { return self.subscriber().missed(); })
      .def_prop_ro("lag", [](SubscriptionChannel& self) { return self.subscriber().lag(); })
      .def_prop_ro("_position", [](SubscriptionChannel& self) { return self.subscriber().position(); })
      .def("_settle", [](SubscriptionChannel& self) {
        if (self.usable()) self.subscriber().settle();
      });
}

}  // namespace conveyor::python
