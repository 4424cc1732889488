// Shared memory that is no queue, for the topics and the shared state that stand on it.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <cerrno>
#include <cstring>

#include "../support/errors.hpp"
#include "../support/peek_words.hpp"
#include "conveyor/memory/region.hpp"
#include "state.hpp"

namespace conveyor::python {
namespace {

using namespace nb::literals;

struct KindName {
  const char* name;
  RegionKind kind;
};
constexpr KindName kinds[] = {{"topic", RegionKind::topic},
                              {"state", RegionKind::state},
                              {"dict", RegionKind::dict},
                              {"list", RegionKind::list},
                              {"array", RegionKind::array}};

Region::Type type_of(const std::string& kind, std::uint32_t layout) {
  for (const KindName& known : kinds) {
    if (kind == known.name) return {known.kind, layout};
  }
  throw nb::value_error(("kind is '" + kind + "'; it must be topic, state, dict, list or array").c_str());
}

// Of a kind that a later conveyor has, the number.
std::string name_of(RegionKind kind) {
  for (const KindName& known : kinds) {
    if (kind == known.kind) return known.name;
  }
  return std::to_string(static_cast<std::uint32_t>(kind));
}

void reserve(Region& self, std::uint64_t offset, std::uint64_t size) {
  const int error = self.reserve(offset, size);
  if (error == 0) return;
  const std::string bytes = std::to_string(size);
  if (error == EINVAL) {
    throw nb::value_error(("there are no " + bytes + " bytes at " + std::to_string(offset) + "; the region has " +
                           std::to_string(self.size()))
                              .c_str());
  }
  raise("OutOfMemory",
        ("no memory for " + bytes + " bytes: " + std::strerror(error) +
         " (see free memory, ulimit -v, ulimit -f, the cgroup's limit, or the size of /dev/shm for what is named)")
            .c_str());
  throw nb::python_error();
}

// The payload, writable. The buffer keeps the region.
int get_region_buffer(PyObject* self, Py_buffer* view, int flags) {
  Region& region = *nb::inst_ptr<Region>(self);
  if (region.reach(region.size()) != 0) {
    raise("OutOfMemory", "no address space for all of the region (see ulimit -v)");
    return -1;
  }
  return PyBuffer_FillInfo(view, self, region.data(), static_cast<Py_ssize_t>(region.size()), 0, flags);
}
PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_region_buffer)}, {0, nullptr}};

}  // namespace

void bind_region(nb::module_& module) {
  nb::class_<Region>(module, "Region", nb::is_weak_referenceable(), nb::type_slots(slots))
      .def_static(
          "create",
          [](const std::string& kind, std::uint64_t size, std::uint32_t layout) {
            return guarded([&] { return Region::create(type_of(kind, layout), size); });
          },
          "kind"_a, "size"_a, "layout"_a = 1)
      .def_static(
          "create_named",
          [](const std::string& name, const std::string& kind, std::uint64_t size, std::uint32_t layout) {
            return guarded([&] { return Region::create_named(name, type_of(kind, layout), size); });
          },
          "name"_a, "kind"_a, "size"_a, "layout"_a = 1)
      .def_static(
          "open_named",
          [](const std::string& name, const std::string& kind, std::uint32_t layout) {
            return guarded([&] { return Region::open_named(name, type_of(kind, layout)); });
          },
          "name"_a, "kind"_a, "layout"_a = 1)
      .def_static(
          "remove_named", [](const std::string& name) { guarded([&] { Region::remove_named(name); }); }, "name"_a)
      .def_static(
          "create_file",
          [](const std::string& path, const std::string& kind, std::uint64_t size, std::uint32_t layout) {
            return guarded([&] { return Region::create_file(path, type_of(kind, layout), size); });
          },
          "path"_a, "kind"_a, "size"_a, "layout"_a = 1)
      .def_static(
          "open_file",
          [](const std::string& path, const std::string& kind, std::uint32_t layout) {
            return guarded([&] { return Region::open_file(path, type_of(kind, layout)); });
          },
          "path"_a, "kind"_a, "layout"_a = 1)
      .def_static(
          "attach",
          [](int memory_fd, const std::string& kind, std::uint32_t layout) {
            return guarded([&] { return Region::attach(memory_fd, type_of(kind, layout)); });
          },
          "memory_fd"_a, "kind"_a, "layout"_a = 1)
      .def_static(
          "find_or_attach",
          [](std::pair<std::uint64_t, std::uint64_t> identity, std::uint64_t owner, int memory_fd,
             const std::string& kind, std::uint32_t layout) {
            return guarded([&] {
              const Identity wanted{identity.first, identity.second};
              const Region::Type type = type_of(kind, layout);
              auto known = Region::find(wanted, type);
              return known ? known : Region::attach_by_hint(wanted, owner, memory_fd, type);
            });
          },
          "identity"_a, "owner"_a, "memory_fd"_a, "kind"_a, "layout"_a = 1)
      .def_prop_ro("kind", [](const Region& self) { return name_of(self.type().kind); })
      .def_prop_ro("layout", [](const Region& self) { return self.type().layout; })
      .def_prop_ro("size", &Region::size)
      .def_prop_ro("name", [](const Region& self) { return self.name(); })
      .def_prop_ro("path", [](const Region& self) { return self.path(); })
      .def_prop_ro("was_alone", &Region::was_alone)
      .def("let_others_in", &Region::let_others_in)
      .def("flush",
           [](Region& self) {
             int error = 0;
             {
               const WithoutGil released;
               error = self.flush();
             }
             if (error == 0) return;
             errno = error;
             PyErr_SetFromErrno(PyExc_OSError);
             throw nb::python_error();
           })
      .def(
          "set_label",
          [](Region& self, std::string_view name, std::string_view place) { write_label(self.label(), name, place); },
          "name"_a, "place"_a)
      .def_prop_ro("label", [](const Region& self) { return readable(read_label(self.label()).name); })
      .def_prop_ro("identity",
                   [](const Region& self) { return std::pair(self.identity().device, self.identity().inode); })
      .def_prop_ro("owner", [](const Region&) { return self(); })
      .def_prop_ro("memory_fd", &Region::memory_fd)
      .def_prop_ro("memory_held", &Region::memory_held)
      .def_prop_ro("exports", [](const Region& self) { return self.exports().load(acquire); })
      .def("reserve", &reserve, "offset"_a, "size"_a)
      .def("give_back", &Region::give_back, "offset"_a, "size"_a)
      .def("export_begin", [](Region& self) { self.exports().fetch_add(1, acq_rel); })
      .def("export_end", [](Region& self) {
        std::uint32_t seen = self.exports().load(relaxed);
        while (seen != 0 && !self.exports().compare_exchange_weak(seen, seen - 1, acq_rel, relaxed)) {
        }
      });
  module.def(
      "_peek_region_header",
      [](int memory_fd) {
        const RegionPeek seen = guarded([&] { return Region::peek_header(memory_fd); });
        nb::dict result;
        result["kind"] = name_of(seen.kind);
        result["text"] = kind_text(seen.kind);
        result["layout"] = seen.layout;
        result["size"] = seen.size;
        result["local"] = seen.local;
        result["memory"] = seen.memory;
        add_label(result, seen.label);
        add_waiters(result, seen.waiters);
        return result;
      },
      "memory_fd"_a);
}

}  // namespace conveyor::python
