// Letting go of a queue's memory when this process has closed it, and what is told of the queue afterwards.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include "../support/plain_type.hpp"
#include "channel.hpp"

namespace conveyor::python {

void Channel::part() noexcept {
  if (!stream_) return;
  if (!with_items_ && stream_->depth() != 0) return;  // may still be handed on
  const Header& header = stream_->segment().header();
  remembered_.max_items = header.max_items;
  remembered_.max_bytes = header.max_bytes;
  remembered_.identity = stream_->segment().identity();
  remembered_.has_put = stream_->segment().has_put();
  remembered_.depth = stream_->depth();
  remembered_.full = stream_->full();
  remembered_.ended = stream_->ended();
  try {
    remembered_.name = stream_->segment().name();
    remembered_.statistics = stream_->statistics();
  } catch (const std::bad_alloc&) {
    // Then there is nothing to tell.
  }
  remembered_.passed_on = stream_->segment().passed_on();
  stream_.reset();
}

std::shared_ptr<Segment> Channel::memory() const {
  if (stream_) return stream_->shared_segment();
  if (auto segment = Segment::find(remembered_.identity)) return segment;  // others here have it
  if (remembered_.name.empty()) return nullptr;
  try {
    auto segment = Segment::open_named(remembered_.name);
    if (segment->identity() == remembered_.identity) return segment;
  } catch (const SegmentError&) {
    // Removed.
  }
  return nullptr;
}

bool Channel::is_here() const {
  if (!stream_) [[unlikely]]
    PyErr_SetString(PyExc_ValueError, "the queue is closed in this process");
  return stream_.has_value();
}

Stream& Channel::stream() {
  if (!is_here()) throw nb::python_error();
  return *stream_;
}

namespace {

nb::dict statistics_of(const StreamStatistics& s, std::uint64_t depth) {
  nb::dict result;
  result["items_in"] = s.items_in;
  result["items_out"] = s.items_out;
  result["bytes_in"] = s.bytes_in;
  result["bytes_out"] = s.bytes_out;
  result["depth"] = depth;
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

}  // namespace

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
             if (self.has_stream()) return statistics_of(self.stream().statistics(), self.stream().depth());
             return statistics_of(self.remembered().statistics, self.remembered().depth);
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

}  // namespace conveyor::python
