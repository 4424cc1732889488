// The Python face of the core. Names and behaviour of the queues are in queues.py; here are the
// parts that must be fast, and nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "channel.hpp"
#include "docs.hpp"
#include "errors.hpp"

namespace conveyor::python {

void bind_pickling(nb::module_& module);
void bind_leases(nb::module_& module);
void bind_looks(nb::module_& module);
void bind_processes(nb::module_& module);
void bind_region(nb::module_& module);
void bind_locks(nb::module_& module);
void bind_synchronise(nb::module_& module);
void bind_numbers(nb::module_& module);
void bind_plain(nb::module_& module);
void bind_topics(nb::module_& module);
void bind_shared_dict(nb::module_& module);
void bind_shared_list(nb::module_& module);
void bind_ending(nb::class_<Channel>& channel);

namespace {

using namespace nb::literals;

nb::object no_queue_closed(nb::handle self) {
  PyErr_Format(PyExc_ValueError, "Queue %R is closed", self.ptr());
  return {};
}

nb::object no_handle_closed() {
  PyErr_SetString(PyExc_OSError, "handle is closed");
  return {};
}

bool check_max_items(Py_ssize_t max_items) {
  if (max_items < 1) PyErr_Format(PyExc_ValueError, "max_items is %zd; it must be at least 1", max_items);
  return max_items >= 1;
}

// The figures of `_native.pyi`, where 0 is no bound.
Bounds make_bounds(std::uint64_t items, std::uint64_t bytes, bool soft, bool pipe, bool counts_tasks,
                   std::uint32_t attempts, double lease_seconds) {
  return {items == 0 ? unbounded : items,
          bytes == 0 ? unbounded : bytes,
          soft,
          pipe,
          counts_tasks,
          attempts,
          lease_seconds <= 0 || lease_seconds >= 9e9 ? forever : static_cast<Nanoseconds>(lease_seconds * 1e9)};
}

template <class Made>
std::shared_ptr<Segment> made(Made make) {
  try {
    return make();
  } catch (const SegmentError& error) {
    rethrow(error);
  }
}

void bind_segment(nb::module_& module) {
  nb::class_<Segment>(module, "Segment", nb::is_weak_referenceable())
      .def_static(
          "create",
          [](std::uint64_t items, std::uint64_t bytes, bool soft, bool pipe, bool counts_tasks, std::uint32_t attempts,
             double lease_seconds) {
            const Bounds bounds = make_bounds(items, bytes, soft, pipe, counts_tasks, attempts, lease_seconds);
            return made([&] { return Segment::create(bounds); });
          },
          "max_items"_a = 0, "max_bytes"_a = 0, "soft"_a = false, "pipe"_a = false, "counts_tasks"_a = false,
          "max_attempts"_a = 0, "lease_seconds"_a = 0.0)
      .def_static(
          "create_named",
          [](const std::string& name, std::uint64_t items, std::uint64_t bytes, std::uint32_t attempts,
             double lease_seconds) {
            const Bounds bounds = make_bounds(items, bytes, false, false, false, attempts, lease_seconds);
            return made([&] { return Segment::create_named(name, bounds); });
          },
          "name"_a, "max_items"_a = 0, "max_bytes"_a = 0, "max_attempts"_a = 0, "lease_seconds"_a = 0.0)
      .def_static(
          "open_named", [](const std::string& name) { return made([&] { return Segment::open_named(name); }); },
          "name"_a)
      .def_static(
          "remove_named",
          [](const std::string& name) {
            try {
              Segment::remove_named(name);
            } catch (const SegmentError& error) {
              rethrow(error);
            }
          },
          "name"_a)
      .def_static(
          "attach",
          [](int memory_fd, int ready_fd) { return made([&] { return Segment::attach(memory_fd, ready_fd); }); },
          "memory_fd"_a, "ready_fd"_a)
      .def_static(
          "find_or_attach",
          [](std::pair<std::uint64_t, std::uint64_t> identity, std::uint64_t owner, int memory_fd, int ready_fd) {
            return made([&] {
              const Identity wanted{identity.first, identity.second};
              auto known = Segment::find(wanted);
              return known ? known : Segment::attach_by_hint(wanted, {owner, memory_fd, ready_fd});
            });
          },
          "identity"_a, "owner"_a, "memory_fd"_a, "ready_fd"_a)
      .def_prop_ro("identity",
                   [](const Segment& self) { return std::pair(self.identity().device, self.identity().inode); })
      .def_prop_ro("has_put", &Segment::has_put)
      .def_prop_ro("owner", [](const Segment&) { return self(); })
      .def_prop_ro("name", [](const Segment& self) { return self.name(); })
      .def_prop_ro("memory_fd", &Segment::memory_fd)
      .def_prop_ro("ready_fd", &Segment::ready_fd)
      .def_prop_ro(
          "max_items",
          [](const Segment& self) { return self.header().max_items == unbounded ? 0 : self.header().max_items; })
      .def_prop_ro(
          "max_bytes",
          [](const Segment& self) { return self.header().max_bytes == unbounded ? 0 : self.header().max_bytes; })
      .def_prop_ro("exports", [](const Segment& self) { return self.header().exports.load(acquire); })
      .def("export_begin", [](Segment& self) { self.header().exports.fetch_add(1, acq_rel); })
      .def("export_end", [](Segment& self) {
        auto& exports = self.header().exports;
        std::uint32_t seen = exports.load(relaxed);
        while (seen != 0 && !exports.compare_exchange_weak(seen, seen - 1, acq_rel, relaxed)) {
        }
      });
}

nb::dict statistics(Channel& channel) {
  const StreamStatistics s = channel.stream().statistics();
  nb::dict result;
  result["items_in"] = s.items_in;
  result["items_out"] = s.items_out;
  result["bytes_in"] = s.bytes_in;
  result["bytes_out"] = s.bytes_out;
  result["depth"] = channel.stream().depth();
  result["peak_depth"] = s.peak_depth;
  result["put_waits"] = s.put_waits;
  result["get_waits"] = s.get_waits;
  result["put_blocked_seconds"] = static_cast<double>(s.put_blocked_nanoseconds) * 1e-9;
  result["get_blocked_seconds"] = static_cast<double>(s.get_blocked_nanoseconds) * 1e-9;
  result["producers"] = s.producers;
  result["consumers"] = s.consumers;
  result["memory_held"] = s.memory_held;
  result["memory_lent"] = s.memory_lent;
  result["leased"] = s.leased;
  result["returned"] = s.returned;
  result["redelivered"] = s.redelivered;
  result["dead"] = s.dead;
  return result;
}

// A user's codec may refer to its queue: the garbage collector must see it.
int traverse_channel(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<Channel>(self)->codec().ptr());
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<Channel>(self)->bury().ptr());
  return 0;
}
int clear_channel(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<Channel>(self)->forget();
  return 0;
}
PyType_Slot channel_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_channel)},
                               {Py_tp_clear, reinterpret_cast<void*>(clear_channel)},
                               {0, nullptr}};

void bind_channels(nb::module_& module) {
  nb::class_<Channel> channel(module, "Channel", nb::is_weak_referenceable(), nb::type_slots(channel_slots));
  bind_ending(channel);
  channel.def(nb::init<std::shared_ptr<Segment>, nb::object>(), "segment"_a, "codec"_a = "auto")
      .def_prop_ro("_segment", [](Channel& self) { return self.stream().shared_segment(); })
      .def("_mark_closed", &Channel::close)
      .def_prop_ro("_is_closed", &Channel::closed)
      .def("_use_pipe", &Channel::use_pipe, "fd"_a)
      .def("_watch",
           [](Channel& self) {
             const int error = self.stream().watch();
             if (error != 0) {
               errno = error;
               PyErr_SetFromErrno(PyExc_OSError);
               throw nb::python_error();
             }
             return self.stream().segment().ready_fd();
           })
      .def("_is_full", [](Channel& self) { return self.stream().full(); })
      .def("_use_dead_letters", &Channel::use_dead_letters, "bury"_a)
      .def("_statistics", &statistics)
      .def(
          "_check",
          [](Channel& self, double patience) -> nb::object {
            std::optional<std::string> trouble;
            {
              const WithoutGil released;
              trouble = self.stream().check(static_cast<Nanoseconds>(patience * 1e9));
            }
            return trouble ? nb::cast(*trouble) : nb::none();
          },
          "patience"_a = 10.0)
      .def(
          "_put_object", [](Channel& self, nb::handle item) { return self.put(nb::none(), item, {}); }, "item"_a.none())
      .def(
          "_put_bytes",
          [](Channel& self, nb::handle data, nb::handle block, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? self.put_bytes(data, deadline) : nb::object();
          },
          "data"_a, "block"_a = true, "timeout"_a = nb::none())
      .def("_allocate", &Channel::allocate, "size"_a)
      .def("_get_object", [](Channel& self) { return self.get({}); })
      .def("_take_each", &Channel::take_each, "max_items"_a, "unreadable"_a)
      .def(
          "_get_bytes",
          [](Channel& self, nb::handle block, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? self.get_bytes(deadline) : nb::object();
          },
          "block"_a = true, "timeout"_a = nb::none())
      .def(
          "_wait_item",
          [](Channel& self, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::bool_(true), timeout, deadline) ? self.wait_item(deadline) : nb::object();
          },
          "timeout"_a = nb::none())
      .def(
          "_wait_room",
          [](Channel& self, std::uint64_t needed, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::bool_(true), timeout, deadline) ? self.wait_room(needed, deadline) : nb::object();
          },
          "needed"_a, "timeout"_a = nb::none())
      .def(
          "_wait_tasks",
          [](Channel& self, nb::handle timeout) {
            Deadline deadline;
            return parse_deadline(nb::bool_(true), timeout, deadline) ? self.wait_tasks(deadline) : nb::object();
          },
          "timeout"_a = nb::none());

  struct QueueChannel : Channel {
    using Channel::Channel;
  };
  // QueueChannel[int] and class Queue(QueueChannel[T]) mean something to type checkers only.
  const nb::object subscript =
      nb::module_::import_("builtins").attr("classmethod")(nb::module_::import_("types").attr("GenericAlias"));
  auto queue_channel = nb::class_<QueueChannel, Channel>(module, "QueueChannel", nb::type_slots(channel_slots));
  queue_channel.attr("__class_getitem__") = subscript;
  queue_channel.def(nb::init<std::shared_ptr<Segment>, nb::object>(), "segment"_a, "codec"_a = "auto")
      .def(
          "put",
          [](nb::handle_t<QueueChannel> self, nb::handle obj, nb::handle block, nb::handle timeout) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? channel.put(self, obj, deadline) : nb::object();
          },
          docs::QueueChannel_put, "obj"_a.none(), "block"_a = true, "timeout"_a = nb::none())
      .def(
          "put_nowait",
          [](nb::handle_t<QueueChannel> self, nb::handle obj) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            return channel.put(self, obj, {forever, true});
          },
          docs::QueueChannel_put_nowait, "obj"_a.none())
      .def(
          "put_many",
          [](nb::handle_t<QueueChannel> self, nb::handle items, nb::handle block, nb::handle timeout) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? channel.put_many(self, items, deadline) : nb::object();
          },
          docs::QueueChannel_put_many, "items"_a, "block"_a = true, "timeout"_a = nb::none())
      .def(
          "get",
          [](nb::handle_t<QueueChannel> self, nb::handle block, nb::handle timeout) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            Deadline deadline;
            return parse_deadline(block, timeout, deadline) ? channel.get(deadline) : nb::object();
          },
          docs::QueueChannel_get, "block"_a = true, "timeout"_a = nb::none())
      .def(
          "get_nowait",
          [](nb::handle_t<QueueChannel> self) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            return channel.get({forever, true});
          },
          docs::QueueChannel_get_nowait)
      .def(
          "get_many",
          [](nb::handle_t<QueueChannel> self, Py_ssize_t max_items, nb::handle timeout, nb::handle block) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            Deadline deadline;
            return check_max_items(max_items) && parse_deadline(block, timeout, deadline)
                       ? channel.get_many(static_cast<std::size_t>(max_items), deadline)
                       : nb::object();
          },
          docs::QueueChannel_get_many, "max_items"_a = 100, "timeout"_a = nb::none(), "block"_a = true)
      .def(
          "lease",
          [](nb::handle_t<QueueChannel> self, nb::handle timeout, nb::handle seconds) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            Deadline deadline;
            return parse_deadline(nb::bool_(true), timeout, deadline) ? channel.lease(self, deadline, seconds)
                                                                      : nb::object();
          },
          docs::QueueChannel_lease, "timeout"_a = nb::none(), "lease_seconds"_a = nb::none())
      .def(
          "_lease_many",
          [](nb::handle_t<QueueChannel> self, Py_ssize_t max_items, nb::handle timeout, nb::handle seconds) {
            Channel& channel = *nb::inst_ptr<QueueChannel>(self);
            if (channel.closed()) return no_queue_closed(self);
            Deadline deadline;
            return check_max_items(max_items) && parse_deadline(nb::bool_(true), timeout, deadline)
                       ? channel.lease_many(self, static_cast<std::size_t>(max_items), deadline, seconds)
                       : nb::object();
          },
          "max_items"_a, "timeout"_a = nb::none(), "lease_seconds"_a = nb::none());

  struct SimpleChannel : Channel {
    using Channel::Channel;
  };
  auto simple_channel = nb::class_<SimpleChannel, Channel>(module, "SimpleChannel");
  simple_channel.attr("__class_getitem__") = subscript;
  simple_channel.def(nb::init<std::shared_ptr<Segment>, nb::object>(), "segment"_a, "codec"_a = "auto")
      .def(
          "put",
          [](nb::handle_t<SimpleChannel> self, nb::handle obj) {
            Channel& channel = *nb::inst_ptr<SimpleChannel>(self);
            return channel.closed() ? no_handle_closed() : channel.put(self, obj, {});
          },
          docs::SimpleChannel_put, "obj"_a.none())
      .def(
          "get",
          [](nb::handle_t<SimpleChannel> self) {
            Channel& channel = *nb::inst_ptr<SimpleChannel>(self);
            return channel.closed() ? no_handle_closed() : channel.get({});
          },
          docs::SimpleChannel_get);
}

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "The compiled core of conveyor. Private: use conveyor.Queue and its kin.";
  bind_pickling(module);
  bind_loans(module);
  bind_leases(module);
  bind_segment(module);
  bind_channels(module);
  bind_looks(module);
  bind_processes(module);
  bind_topics(module);
  bind_region(module);
  bind_locks(module);
  bind_synchronise(module);
  bind_numbers(module);
  bind_plain(module);
  bind_shared_dict(module);
  bind_shared_list(module);
  // The encoding by itself, for the tests that damage it.
  module.def(
      "_encode",
      [](nb::handle object) -> nb::object {
        Buffer buffer;
        if (!encode(object.ptr(), buffer)) return nb::none();
        return nb::bytes(reinterpret_cast<const char*>(buffer.data()), buffer.size());
      },
      "obj"_a.none());
  module.def(
      "_decode",
      [](const nb::bytes& data) {
        return nb::steal(decode(reinterpret_cast<const std::byte*>(data.c_str()), data.size()));
      },
      "data"_a);
  // Objects that live as long as the process (cached picklers) are no leak.
  nb::set_leak_warnings(false);
}

}  // namespace conveyor::python
