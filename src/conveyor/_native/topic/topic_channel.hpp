// Python objects in and out of a topic's log.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <vector>

#include "../payload/payload.hpp"
#include "../payload/pickling.hpp"
#include "../payload/unreadable.hpp"
#include "../support/deadline.hpp"
#include "../support/keep_trying.hpp"
#include "conveyor/memory/region.hpp"
#include "conveyor/topic/subscriber.hpp"

namespace conveyor::python {

class TopicChannel {
 public:
  // `keep`: as for TopicLog::initialise, which is done here if nobody has. Throws SegmentError.
  // `copies_devices`: as in Payload.
  TopicChannel(std::shared_ptr<Region> region, std::uint64_t keep, bool copies_devices);

  nb::object publish(nb::handle event, nb::handle key, const Deadline& deadline);
  nb::object publish_many(nb::handle events, nb::handle key, const Deadline& deadline);
  nb::object shutdown();
  nb::object enter_producing(bool counts);
  nb::object expect_producers(nb::handle count);
  nb::object check(double patience);
  // True once a subscriber that blocks has gone on, or at the end; False at the deadline.
  nb::object wait_room(const Deadline& deadline);
  // True once there is something behind `position`, or the end.
  nb::object wait_event(std::uint64_t position, const Deadline& deadline);

  TopicLog& topic_log() { return *topic_log_; }
  const std::shared_ptr<TopicLog>& shared() const { return topic_log_; }
  const std::shared_ptr<Region>& region() const { return region_; }

 private:
  bool deliver(const Publication* events, std::size_t count, std::size_t& done, const Deadline& deadline);
  bool await_room(const Deadline& deadline, std::uint64_t gate, Slices& slices);
  void pause_for_room(const Deadline& deadline, std::uint64_t gate, Slices& slices);
  bool publish_payload(nb::handle event, std::string_view key, const Deadline& deadline);
  bool publish_batch(nb::handle iterator, std::string_view key, const Deadline& deadline, std::size_t& done,
                     bool& more);

  std::shared_ptr<Region> region_;
  std::shared_ptr<TopicLog> topic_log_;
  bool copies_devices_;
};

// What an event with buffers becomes: PayloadHead | index | pickle | buffers, each where the log aligns it.
class EventLayout {
 public:
  EventLayout(Payload& payload, std::size_t key_size);
  Publication publication(std::string_view key) const;

 private:
  Buffer front_;
  std::vector<EventPiece> pieces_;
  std::uint64_t size_ = 0;
};

class SubscriptionChannel {
 public:
  SubscriptionChannel(std::shared_ptr<TopicLog> topic_log, std::shared_ptr<Region> region,
                      std::vector<KeyPattern> patterns, nb::object filter)
      : region_(std::move(region)),
        subscriber_(std::move(topic_log), std::move(patterns)),
        filter_(std::move(filter)) {}

  bool join(SubscriberMode mode, From from, std::uint64_t number);
  // Null with a Python error set.
  nb::object get(const Deadline& deadline);
  nb::object get_many(std::size_t most, const Deadline& deadline);
  // Null without an error at the end, unless a producer was lost.
  nb::object next();
  void close() {
    subscriber_.leave();
    unheard_.give_up();
  }
  bool usable();

  Subscriber& subscriber() { return subscriber_; }
  // For the garbage collector: a filter may refer to its subscription.
  int traverse(visitproc visit, void* arg) {
    Py_VISIT(filter_.ptr());
    return unheard_.traverse(visit, arg);
  }
  void finalize() { unheard_.give_up(); }
  void forget() {
    filter_.reset();
    unheard_.forget();
  }

 private:
  // The next that passes the filter. Null with a Python error set, or `ended`.
  nb::object read(const Deadline& deadline, bool& ended);
  // What was read, or a null object with `status` set; or, other than ok, with a Python error set.
  nb::object take(Status& status);
  bool passes(nb::handle event);
  bool await(const Deadline& deadline, Slices& slices, bool& ended);
  // ShutDown, or ProducerLost.
  nb::object raise_end();
  nb::object raise_lagged();

  std::shared_ptr<Region> region_;
  Subscriber subscriber_;
  nb::object filter_;
  Unheard unheard_;
};

// Bytes of the log that are kept as long as somebody in this process looks at them.
class PinnedRecord {
 public:
  PinnedRecord(std::shared_ptr<TopicLog> topic_log, PinId pin)
      : topic_log_(std::move(topic_log)), pin_(pin), generation_(fork_generation()) {}
  ~PinnedRecord() {
    if (generation_ == fork_generation()) topic_log_->unpin(pin_);
  }
  PinnedRecord(const PinnedRecord&) = delete;

 private:
  std::shared_ptr<TopicLog> topic_log_;
  PinId pin_;
  std::uint32_t generation_;
};

// Some of them, read-only, by the buffer protocol.
struct EventMemory {
  std::shared_ptr<PinnedRecord> pinned;
  const std::byte* data;
  std::size_t size;
};

// Whether the producers were looked after just now, so that the topic may have ended.
bool looked_for_lost(TopicLog& topic_log);

nb::object raise_topic_status(Status status, const TopicLog& topic_log, std::uint64_t payload, std::size_t key_size);

}  // namespace conveyor::python
