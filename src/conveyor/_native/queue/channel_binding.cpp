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

namespace {

nb::dict statistics_of(const StreamStatistics& figures) {
  nb::dict result;
#define CONVEYOR_COUNT(name) result[#name] = figures.name;
#define CONVEYOR_TIME(name) result[#name "_seconds"] = static_cast<double>(figures.name##_nanoseconds) * 1e-9;
  CONVEYOR_QUEUE_FIGURES(CONVEYOR_COUNT, CONVEYOR_TIME)
#undef CONVEYOR_COUNT
#undef CONVEYOR_TIME
  return result;
}

// Asks the stream; once it was let go of, one on the same memory, if anybody here has that, and else what is remembered.
template <class Live, class Then>
auto ask(Channel& self, Live live, Then remembered) {
  if (self.has_stream()) return live(self.stream());
  if (auto segment = self.memory()) {
    Stream stream(std::move(segment));
    return live(stream);
  }
  return remembered(self.remembered());
}

using Remembered = Channel::Remembered;

std::uint64_t depth(Channel& self) {
  return ask(
      self, [](Stream& stream) { return stream.depth(); },
      [](const Remembered& then) { return then.passed_on ? 0 : then.depth; });
}

// What can be asked at any time.
void bind_figures(PlainType<Channel>& channel) {
  channel
      .property("_segment",
                [](Channel& self) {
                  auto segment = self.memory();
                  if (segment == nullptr) {
                    PyErr_SetString(PyExc_OSError, "handle is closed");
                    throw nb::python_error();
                  }
                  return segment;
                })
      // Whether the queue's memory can be looked at from here.
      .property("_is_held", [](Channel& self) { return self.has_stream(); })
      .property("_passed_on",
                [](Channel& self) {
                  return self.has_stream() ? self.stream().segment().passed_on() : self.remembered().passed_on;
                })
      .property("_has_memory", [](Channel& self) { return self.memory() != nullptr; })
      .def("_let_go", function<&Channel::let_go>, {"with_items"_p = false})
      .def("_depth",
           [](Channel& self) {
             self.settle_drop();
             return depth(self);
           })
      .def("_is_full",
           [](Channel& self) {
             return ask(
                 self, [](Stream& stream) { return stream.full(); },
                 [](const Remembered& then) { return then.full && !then.passed_on; });
           })
      .def("_is_empty",
           [](Channel& self) {
             self.settle_drop();
             if (self.has_stream()) return self.stream().settled_empty();
             return depth(self) == 0;
           })
      .def("_statistics",
           [](Channel& self) {
             if (self.has_stream()) return statistics_of(self.stream().statistics());
             return statistics_of(self.remembered().statistics);
           })
      .property("_is_shut_down",
                [](Channel& self) {
                  return ask(
                      self, [](Stream& stream) { return stream.ended(); },
                      [](const Remembered& then) { return then.ended; });
                })
      .property("_identity",
                [](Channel& self) {
                  const Identity& identity =
                      self.has_stream() ? self.stream().segment().identity() : self.remembered().identity;
                  return std::pair(identity.device, identity.inode);
                })
      .property("_has_put",
                [](Channel& self) {
                  return self.has_stream() ? self.stream().segment().has_put() : self.remembered().has_put;
                })
      // 0: no bound.
      .property("_max_items",
                [](Channel& self) {
                  const std::uint64_t items =
                      self.has_stream() ? self.stream().segment().header().max_items : self.remembered().max_items;
                  return items == unbounded ? 0 : items;
                })
      .property("_max_bytes", [](Channel& self) {
        const std::uint64_t bytes =
            self.has_stream() ? self.stream().segment().header().max_bytes : self.remembered().max_bytes;
        return bytes == unbounded ? 0 : bytes;
      });
}

void bind_ending(PlainType<Channel>& channel) {
  channel.def("_task_done", function<&Channel::task_done>)
      .def("_pause", function<&Channel::pause>, {"now"_p})
      .property("_is_paused", [](Channel& self) { return self.has_stream() && self.stream().paused(); })
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
          "peek",
          [](Self<Channel> self, Py_ssize_t max_items) {
            if (self->closed()) return no_queue_closed(self.object);
            return check_max_items(max_items) ? self->peek(static_cast<std::size_t>(max_items)) : nb::object();
          },
          {"max_items"_p = 1}, docs::QueueChannel_peek)
      .def(
          "purge", [](Self<Channel> self) { return self->closed() ? no_queue_closed(self.object) : self->purge(); }, {},
          docs::QueueChannel_purge)
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
