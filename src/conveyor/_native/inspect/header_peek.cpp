// Looking at files that may be queues, without attaching to them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include "../support/errors.hpp"
#include "../support/peek_words.hpp"
#include "conveyor/queue/header_peek.hpp"
#include "conveyor/store/store_peek.hpp"
#include "conveyor/topic/topic_peek.hpp"

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
        result["ended"] = seen.ended;
        result["paused"] = seen.paused;
        nb::dict figures;
#define CONVEYOR_COUNT(name) figures[#name] = seen.figures.name;
#define CONVEYOR_TIME(name) figures[#name "_seconds"] = static_cast<double>(seen.figures.name##_nanoseconds) * 1e-9;
        CONVEYOR_QUEUE_FIGURES(CONVEYOR_COUNT, CONVEYOR_TIME)
#undef CONVEYOR_COUNT
#undef CONVEYOR_TIME
        result["figures"] = figures;
        add_label(result, seen.label);
        add_waiters(result, seen.waiters);
        return result;
      },
      "memory_fd"_a);
  module.def(
      "_peek_topic",
      [](int memory_fd) {
        const TopicFigures seen = peek_topic(memory_fd);
        nb::dict result;
        result["published"] = seen.published;
        result["bytes_published"] = seen.bytes;
        result["bytes_kept"] = seen.kept_bytes;
        result["max_bytes"] = seen.capacity;
        result["publish_waits"] = seen.waits;
        result["memory_pinned"] = seen.pinned_bytes;
        result["ended"] = seen.ended;
        nb::list subscribers;
        for (const SubscriberFigures& one : seen.slots)
          subscribers.append(
              nb::make_tuple(one.owner, static_cast<int>(one.mode), one.number, one.lag, one.missed, one.received));
        result["subscribers"] = subscribers;
        return result;
      },
      "memory_fd"_a);
  module.def(
      "_peek_store",
      [](int memory_fd) {
        const StorePeek seen = peek_store(memory_fd);
        return nb::make_tuple(seen.length, seen.version, seen.used);
      },
      "memory_fd"_a);
  module.def("_is_alive", &is_alive, "owner"_a);
  module.def("_own_owner", [] { return self(); });
  module.def("_is_known_by_lock", &is_known_by_lock);
  module.def("_futex_error", &futex_error);
}

}  // namespace conveyor::python
