// Looking at files that may be queues, without attaching to them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include "../support/errors.hpp"
#include "conveyor/queue/header_peek.hpp"

namespace conveyor::python {

using namespace nb::literals;

void bind_header_peek(nb::module_& module) {
  module.def(
      "_peek_header",
      [](int memory_fd) {
        HeaderPeek seen;
        try {
          seen = peek_header(memory_fd);
        } catch (const SegmentError& error) {
          rethrow(error);
        }
        nb::dict result;
        result["local"] = seen.local;
        result["items"] = seen.items;
        result["waiting"] = seen.waiting;
        result["bytes"] = seen.bytes;
        result["max_items"] = seen.max_items == unbounded ? 0 : seen.max_items;
        result["max_bytes"] = seen.max_bytes == unbounded ? 0 : seen.max_bytes;
        result["consumers_lock"] = seen.consumers_lock;
        result["producers_lock"] = seen.producers_lock;
        result["pool_lock"] = seen.pool_lock;
        result["ready_lock"] = seen.ready_lock;
        result["putting"] = seen.putting;
        result["getting"] = seen.getting;
        return result;
      },
      "memory_fd"_a);
  module.def("_is_alive", &is_alive, "owner"_a);
  module.def("_is_known_by_lock", &is_known_by_lock);
  module.def("_futex_error", &futex_error);
}

}  // namespace conveyor::python
