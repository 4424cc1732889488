// One subscriber of a topic's log, in the process that made it.
#pragma once

#include <memory>
#include <vector>

#include "conveyor/topic/key_pattern.hpp"
#include "conveyor/topic/topic_log.hpp"

namespace conveyor {

enum class From { fresh, oldest, number };

// What `read` found besides Status: `lost`: it was overrun, and is a subscriber that fails then.
class Subscriber {
 public:
  Subscriber(std::shared_ptr<TopicLog> topic_log, std::vector<KeyPattern> patterns)
      : topic_log_(std::move(topic_log)), patterns_(std::move(patterns)) {}
  ~Subscriber() { leave(); }
  Subscriber(const Subscriber&) = delete;

  // Takes a slot. `crowded`: there is none; `lost`: the event of that number is not there any more.
  Status join(SubscriberMode mode, From from, std::uint64_t number, Nanoseconds patience);
  void leave();
  // It is this very process's.
  bool ours() const { return generation_ == fork_generation(); }
  bool joined() const { return slot_ != subscriber_capacity; }

  // A publisher of what nobody wants, faster than it is passed over, must not keep a reader from its signals.
  static constexpr std::uint32_t most_passed = 4096;

  // `interrupted`: so many were passed over; there may be more. The next event that matches goes to the sink, which must not run foreign code:
  //   void message(const RecordView&)                 a small one: copy it
  //   bool large(const RecordView&, PinId)            pinned, and the sink's to unpin; or, with an invalid pin, to be
  //                                                   copied now. False: it could not, and has no pin; nothing was read.
  template <class Sink>
  Status read(Sink& sink);

  // What it read counts as read from here on, also for publishers that wait. Before TopicLog::wait_event.
  void settle();
  bool nothing_to_read() const { return position_ == topic_log_->tail(); }

  std::uint64_t position() const { return position_; }
  std::uint64_t number() const { return number_; }
  std::uint64_t missed() const { return missed_; }
  std::uint64_t lag() const {
    const std::uint64_t published = topic_log_->published();
    return published > number_ ? published - number_ : 0;
  }
  TopicLog& topic_log() { return *topic_log_; }
  const std::shared_ptr<TopicLog>& shared_topic_log() const { return topic_log_; }

 private:
  enum class Found { record, again, empty, overrun, damaged };
  Found find(RecordView& record);
  Status after_overrun();
  bool wanted(std::string_view key) const {
    if (patterns_.empty()) return true;
    for (const KeyPattern& each : patterns_) {
      if (each.matches(key)) return true;
    }
    return false;
  }
  void advance(std::uint64_t position, std::uint64_t number);
  // False: it was overrun before, and the window is closed again.
  bool open_window(std::uint64_t span);
  void close_window();
  SubscriberSlot& slot() const { return topic_log_->header().slots[slot_]; }
  Status place(From from, std::uint64_t number, std::uint64_t tail, std::uint64_t count);

  std::shared_ptr<TopicLog> topic_log_;
  std::vector<KeyPattern> patterns_;
  std::uint32_t slot_ = subscriber_capacity;
  std::uint32_t generation_ = 0;
  SubscriberMode mode_ = SubscriberMode::free;
  std::uint64_t position_ = 0, number_ = 0, missed_ = 0;
  std::uint64_t known_tail_ = 0;
  std::uint64_t told_ = 0;  // the cursor when publishers were last told
  bool failed_ = false;
  bool window_open_ = false;
};

template <class Sink>
Status Subscriber::read(Sink& sink) {
  if (failed_) return Status::lost;
  for (std::uint32_t passed = 0;;) {
    RecordView record;
    switch (find(record)) {
      case Found::again: continue;
      case Found::empty: return Status::empty;
      case Found::overrun: return after_overrun();
      case Found::damaged: return Status::corrupt;
      case Found::record: break;
    }
    if (!wanted(record.key)) {
      advance(record.position + record.span, record.number + 1);
      if (++passed == most_passed) return Status::interrupted;
      continue;
    }
    if (record.span <= topic_log_->window_) {
      sink.message(record);
      CONVEYOR_KILL_POINT("topic.read");
      advance(record.position + record.span, record.number + 1);
      return Status::ok;
    }
    bool overrun = false;
    const PinId pin = topic_log_->pin(record.position, record.span, mode_ != SubscriberMode::block, overrun);
    if (overrun) {
      close_window();
      continue;
    }
    // Without a pin it is copied, and must not change meanwhile.
    if (!pin.valid() && mode_ != SubscriberMode::block && !open_window(record.span)) continue;
    if (!sink.large(record, pin)) {
      close_window();
      return Status::no_memory;
    }
    advance(record.position + record.span, record.number + 1);
    return Status::ok;
  }
}

}  // namespace conveyor
