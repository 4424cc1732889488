// The Python face of the core: the parts that must be fast, and nothing else. Names and behaviour of the classes that
// users see are in the package's Python files.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "codec/dict_layout.hpp"
#include "payload/tensor_memory.hpp"
#include "queue/channel.hpp"
#include "support/errors.hpp"
#include "support/peek_words.hpp"

namespace conveyor::python {

void bind_channels(nb::module_& module);
void bind_pickling(nb::module_& module);
void bind_blocks(nb::module_& module);
void bind_leases(nb::module_& module);
void bind_header_peek(nb::module_& module);
void bind_gathering(nb::module_& module);
void bind_processes(nb::module_& module);
void bind_commands(nb::module_& module);
void bind_region(nb::module_& module);
void bind_locks(nb::module_& module);
void bind_synchronise(nb::module_& module);
void bind_numbers(nb::module_& module);
void bind_plain(nb::module_& module);
void bind_topics(nb::module_& module);
void bind_shared_dict(nb::module_& module);
void bind_shared_list(nb::module_& module);

namespace {

using namespace nb::literals;

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
  // As long as it lives, a thread is seen to wait for an item: for coroutines, whose waits the core does not see.
  struct HeldNote {
    HeldNote(std::shared_ptr<Segment> its_segment, double since)
        : segment(std::move(its_segment)), note(segment->header().waiters, WaitsFor::item) {
      note.write(static_cast<Nanoseconds>(since * 1e9) - clock_offset());
    }
    std::shared_ptr<Segment> segment;
    WaitNote note;
  };
  nb::class_<HeldNote>(module, "WaitNote").def(nb::init<std::shared_ptr<Segment>, double>(), "segment"_a, "since"_a);
  nb::class_<Segment>(module, "Segment", nb::is_weak_referenceable())
      .def_static(
          "create",
          [](std::uint64_t items, std::uint64_t bytes, bool soft, bool pipe, bool counts_tasks, std::uint32_t attempts,
             double lease_seconds, bool counts_lent) {
            Bounds bounds = make_bounds(items, bytes, soft, pipe, counts_tasks, attempts, lease_seconds);
            bounds.counts_lent = counts_lent;
            return made([&] { return Segment::create(bounds); });
          },
          "max_items"_a = 0, "max_bytes"_a = 0, "soft"_a = false, "pipe"_a = false, "counts_tasks"_a = false,
          "max_attempts"_a = 0, "lease_seconds"_a = 0.0, "counts_lent"_a = false)
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
          "attach_from_outside",
          [](int memory_fd) { return made([&] { return Segment::attach_from_outside(memory_fd); }); }, "memory_fd"_a)
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
      .def_prop_ro("is_of_pipe", &Segment::is_of_pipe)
      .def_prop_ro("counts_tasks", [](const Segment& self) { return self.header().leases.counts_tasks != 0; })
      .def_prop_ro("owner", [](const Segment&) { return self(); })
      .def_prop_ro("name", [](const Segment& self) { return self.name(); })
      .def_prop_ro("memory_fd",
                   [](Segment& self) {
                     self.pass_on();  // what else would anybody want it for
                     return self.memory_fd();
                   })
      .def_prop_ro("ready_fd",
                   [](Segment& self) {
                     const int fd = self.ready_fd();
                     return fd >= 0 ? fd : (raise_unready(self), -1);
                   })
      .def_prop_ro(
          "max_items",
          [](const Segment& self) { return self.header().max_items == unbounded ? 0 : self.header().max_items; })
      .def_prop_ro(
          "max_bytes",
          [](const Segment& self) { return self.header().max_bytes == unbounded ? 0 : self.header().max_bytes; })
      .def(
          "set_label",
          [](Segment& self, std::string_view name, std::string_view place) {
            write_label(self.header().label, name, place);
          },
          "name"_a, "place"_a)
      .def_prop_ro("label", [](const Segment& self) { return readable(read_label(self.header().label).name); })
      .def_prop_ro("exports", [](const Segment& self) { return self.header().exports.load(acquire); })
      .def("export_begin", [](Segment& self) { self.header().exports.fetch_add(1, acq_rel); })
      .def("export_end", [](Segment& self) {
        auto& exports = self.header().exports;
        std::uint32_t seen = exports.load(relaxed);
        while (seen != 0 && !exports.compare_exchange_weak(seen, seen - 1, acq_rel, relaxed)) {
        }
      });
}

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "The compiled core of conveyor. Private: use conveyor.Queue and its kin.";
  prepare_to_look();
  find_dict_layout();
  bind_pickling(module);
  bind_blocks(module);
  bind_loans(module);
  bind_tensor_memory(module);
  bind_leases(module);
  bind_segment(module);
  bind_pipe_end(module);
  bind_channels(module);
  bind_header_peek(module);
  bind_gathering(module);
  bind_processes(module);
  bind_commands(module);
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
        if (encode(object.ptr(), buffer) != Kind::native) return nb::none();
        return nb::bytes(reinterpret_cast<const char*>(buffer.data()), buffer.size());
      },
      "obj"_a.none());
  module.def(
      "_encode_instances",
      [](nb::handle object) -> nb::object {
        Buffer buffer;
        if (encode(object.ptr(), buffer) != Kind::instances) return nb::none();
        return nb::bytes(reinterpret_cast<const char*>(buffer.data()), buffer.size());
      },
      "obj"_a.none());
  // Named in the pickles of items that could not be read: payload/unreadable.cpp.
  module.def(
      "_decode_instances",
      [](const nb::bytes& data) {
        return nb::steal(decode_instances(reinterpret_cast<const std::byte*>(data.c_str()), data.size()));
      },
      "data"_a);
  module.def(
      "_decode",
      [](const nb::bytes& data) {
        return nb::steal(decode(reinterpret_cast<const std::byte*>(data.c_str()), data.size()));
      },
      "data"_a);
  // For the tests: as where CPython keeps a dict's entries otherwise. Gives what it was.
  module.def(
      "_use_dict_layout",
      [](bool use) {
        const bool before = dict_layout_is_known;
        dict_layout_is_known = false;
        if (use) find_dict_layout();
        return before;
      },
      "use"_a);
  // Objects that live as long as the process (cached picklers) are no leak.
  nb::set_leak_warnings(false);
}

}  // namespace conveyor::python
