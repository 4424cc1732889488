// The Python face of a channel, and of the two kinds of queue that stand on it.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <cerrno>
#include <optional>

#include "../support/errors.hpp"
#include "../support/plain_type.hpp"
#include "channel.hpp"
#include "docs.hpp"

namespace conveyor::python {

void bind_ending(PlainType<Channel>& channel);
void bind_figures(PlainType<Channel>& channel);

namespace {

nb::object check(Channel& self, double patience) {
  std::optional<std::string> trouble;
  {
    const WithoutGil released;
    trouble = self.stream().check(static_cast<Nanoseconds>(patience * 1e9));
  }
  return trouble ? nb::cast(*trouble) : nb::none();
}

int watch(Channel& self) {
  const int error = self.stream().watch();
  if (error != 0) {
    errno = error;
    raise_unready(self.stream().segment());
  }
  return self.stream().segment().ready_fd();
}

void bind_channel(nb::module_& module) {
  PlainType<Channel> channel("Channel", docs::Channel);
  bind_ending(channel);
  bind_figures(channel);
  channel
      .init([](void* at, std::shared_ptr<Segment> segment,
               nb::object codec) { new (at) Channel(std::move(segment), std::move(codec)); },
            {"segment"_p, "codec"_p = "auto"})
      .def("_mark_closed", function<&Channel::close>)
      .def("_mark_open", function<&Channel::reopen>)
      .property("_is_closed", [](Channel& self) { return self.closed(); })
      .def("_use_pipe", function<&Channel::use_pipe>, {"end"_p})
      .def("_wake_all", function<&Channel::wake_all>)
      .def("_close_end", function<&Channel::close_end>, {"writing"_p})
      .def("_watch", function<&watch>)
      .def("_use_dead_letters", function<&Channel::use_dead_letters>, {"bury"_p})
      .def("_check", function<&check>, {"patience"_p = 10.0})
      .def("_put_object", [](Channel& self, nb::handle item) { return self.put(nb::none(), item, {}); }, {"item"_p})
      .def("_put_bytes",
           [](Channel& self, nb::handle data, nb::handle block, nb::handle timeout) {
             Deadline deadline;
             return parse_deadline(block, timeout, deadline) ? self.put_bytes(data, deadline) : nb::object();
           },
           {"data"_p, "block"_p = true, "timeout"_p = nb::none()})
      .def("_allocate", function<&Channel::allocate>, {"size"_p})
      .def("_get_object", [](Channel& self) { return self.get({}); })
      .def("_take_each", function<&Channel::take_each>, {"max_items"_p, "unreadable"_p})
      .def("_get_bytes",
           [](Channel& self, nb::handle block, nb::handle timeout) {
             Deadline deadline;
             return parse_deadline(block, timeout, deadline) ? self.get_bytes(deadline) : nb::object();
           },
           {"block"_p = true, "timeout"_p = nb::none()})
      .def("_wait_item",
           [](Channel& self, nb::handle timeout) {
             Deadline deadline;
             return parse_deadline(Py_True, timeout, deadline) ? self.wait_item(deadline) : nb::object();
           },
           {"timeout"_p = nb::none()})
      .def("_wait_room",
           [](Channel& self, std::uint64_t needed, nb::handle timeout) {
             Deadline deadline;
             return parse_deadline(Py_True, timeout, deadline) ? self.wait_room(needed, deadline) : nb::object();
           },
           {"needed"_p, "timeout"_p = nb::none()})
      .def("_wait_tasks",
           [](Channel& self, nb::handle timeout) {
             Deadline deadline;
             return parse_deadline(Py_True, timeout, deadline) ? self.wait_tasks(deadline) : nb::object();
           },
           {"timeout"_p = nb::none()});
  channel.add_to(module);
}

nb::object no_queue_closed(nb::handle self) {
  raise_format(PyExc_ValueError, "Queue %R is closed", self.ptr());
  return {};
}

bool check_max_items(Py_ssize_t max_items) {
  if (max_items < 1) PyErr_Format(PyExc_ValueError, "max_items is %zd; it must be at least 1", max_items);
  return max_items >= 1;
}

void bind_queue_channel(nb::module_& module) {
  PlainType<Channel> queue("QueueChannel");
  queue.generic()
      .def(
          "put",
          [](Self<Channel> self, nb::handle obj, nb::handle block, nb::handle timeout) {
            if (self->closed()) return no_queue_closed(self.object);
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? self->put(self.object, obj, deadline) : nb::object();
          },
          {"obj"_p, "block"_p = true, "timeout"_p = nb::none()}, docs::QueueChannel_put)
      .def(
          "put_nowait",
          [](Self<Channel> self, nb::handle obj) {
            return self->closed() ? no_queue_closed(self.object) : self->put(self.object, obj, {forever, true});
          },
          {"obj"_p}, docs::QueueChannel_put_nowait)
      .def(
          "put_many",
          [](Self<Channel> self, nb::handle items, nb::handle block, nb::handle timeout) {
            if (self->closed()) return no_queue_closed(self.object);
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? self->put_many(self.object, items, deadline)
                                                            : nb::object();
          },
          {"items"_p, "block"_p = true, "timeout"_p = nb::none()}, docs::QueueChannel_put_many)
      .def(
          "get",
          [](Self<Channel> self, nb::handle block, nb::handle timeout) {
            if (self->closed()) return no_queue_closed(self.object);
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? self->get(deadline) : nb::object();
          },
          {"block"_p = true, "timeout"_p = nb::none()}, docs::QueueChannel_get)
      .def(
          "get_nowait",
          [](Self<Channel> self) { return self->closed() ? no_queue_closed(self.object) : self->get({forever, true}); },
          {}, docs::QueueChannel_get_nowait)
      .def(
          "get_many",
          [](Self<Channel> self, Py_ssize_t max_items, nb::handle timeout, nb::handle block) {
            if (self->closed()) return no_queue_closed(self.object);
            Deadline deadline;
            return check_max_items(max_items) && parse_deadline(block, timeout, deadline)
                       ? self->get_many(static_cast<std::size_t>(max_items), deadline)
                       : nb::object();
          },
          {"max_items"_p = 100, "timeout"_p = nb::none(), "block"_p = true}, docs::QueueChannel_get_many)
      .def(
          "lease",
          [](Self<Channel> self, nb::handle timeout, nb::handle seconds) {
            if (self->closed()) return no_queue_closed(self.object);
            Deadline deadline;
            return parse_deadline(Py_True, timeout, deadline) ? self->lease(self.object, deadline, seconds)
                                                              : nb::object();
          },
          {"timeout"_p = nb::none(), "lease_seconds"_p = nb::none()}, docs::QueueChannel_lease)
      .def("_lease_many",
           [](Self<Channel> self, Py_ssize_t max_items, nb::handle timeout, nb::handle seconds) {
             if (self->closed()) return no_queue_closed(self.object);
             Deadline deadline;
             return check_max_items(max_items) && parse_deadline(Py_True, timeout, deadline)
                        ? self->lease_many(self.object, static_cast<std::size_t>(max_items), deadline, seconds)
                        : nb::object();
           },
           {"max_items"_p, "timeout"_p = nb::none(), "lease_seconds"_p = nb::none()});
  queue.add_to(module);
}

nb::object no_handle_closed() {
  PyErr_SetString(PyExc_OSError, "handle is closed");
  return {};
}

void bind_simple_channel(nb::module_& module) {
  PlainType<Channel> simple("SimpleChannel");
  simple.generic()
      .def(
          "put",
          [](Self<Channel> self, nb::handle obj) {
            return self->closed() ? no_handle_closed() : self->put(self.object, obj, {});
          },
          {"obj"_p}, docs::SimpleChannel_put)
      .def(
          "get", [](Channel& self) { return self.closed() ? no_handle_closed() : self.get({}); }, {},
          docs::SimpleChannel_get);
  simple.add_to(module);
}

}  // namespace

void bind_channels(nb::module_& module) {
  bind_channel(module);
  bind_queue_channel(module);
  bind_simple_channel(module);
}

}  // namespace conveyor::python
