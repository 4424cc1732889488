#include "conveyor/topic/subscriber.hpp"

#include <algorithm>

namespace conveyor {

// The first record that is wanted, from `oldest` on. Under the lock, so that nothing is overwritten meanwhile.
Status Subscriber::place(From from, std::uint64_t number, std::uint64_t tail, std::uint64_t count) {
  const TopicHeader& header = topic_log_->header();
  position_ = tail;
  number_ = count;
  if (from == From::fresh) return Status::ok;
  std::uint64_t wanted = number;
  if (from == From::oldest) {
    wanted = header.keep >= count ? 0 : count - header.keep;
    for (std::uint32_t i = 0; i < topic_log_->subscribers_high(); ++i) {
      const SubscriberSlot& slot = header.slots[i];
      if (slot.mode.load(acquire) == static_cast<std::uint32_t>(SubscriberMode::block))
        wanted = std::min(wanted, slot.number.load(relaxed));  // relaxed: somewhat old is somewhat more
    }
  } else if (number > count) {
    return Status::refused;
  }
  std::uint64_t at = header.oldest.load(relaxed);  // relaxed: stored under the lock
  while (at < tail) {
    RecordView record;
    bool skip = false;
    if (!topic_log_->look(at, tail, record, skip)) return Status::corrupt;
    if (!skip && record.number >= wanted) {
      position_ = at;
      // What is gone was asked for by its number only; it counts as missed.
      number_ = from == From::oldest ? record.number : number;
      return Status::ok;
    }
    at += record.span;
  }
  number_ = from == From::oldest ? count : number;
  return Status::ok;
}

Status Subscriber::join(SubscriberMode mode, From from, std::uint64_t number, Nanoseconds patience) {
  TopicLog& topic_log = *topic_log_;
  TopicHeader& header = topic_log.header();
  Status status = Status::ok;
  if (!topic_log.lock(patience, status)) return status;
  const auto find_free = [&] {
    std::uint32_t index = 0;
    const std::uint32_t end = topic_log.subscribers_high();
    while (index < end && header.slots[index].mode.load(acquire) != static_cast<std::uint32_t>(SubscriberMode::free))
      ++index;
    return index;
  };
  topic_log.lower_subscribers_high();
  std::uint32_t index = find_free();
  if (index == subscriber_capacity || topic_log.dead_are_due()) {
    topic_log.free_dead();
    index = find_free();
  }
  const std::uint64_t word = header.tail.load(relaxed);  // relaxed: stored under the lock
  const std::uint64_t tail = word & ~(record_unit - 1);
  const std::uint64_t oldest = header.oldest.load(relaxed);
  if (index == subscriber_capacity) {
    status = Status::crowded;
  } else if (index == topic_log.subscribers_high() && !topic_log.reserve_slot(index)) {
    status = Status::no_memory;
  } else if (oldest > tail || tail - oldest > topic_log.capacity()) {
    status = Status::corrupt;
  } else {
    status = place(from, number, tail, header.state[word & 1].number.load(relaxed));
  }
  if (status == Status::ok) {
    SubscriberSlot& taken = header.slots[index];
    // relaxed: stored before `mode`, and under the lock
    taken.owner.store(self(), relaxed);
    taken.window.store(0, relaxed);
    taken.cursor.store(position_, relaxed);
    taken.number.store(number_, relaxed);
    taken.began.store(number_, relaxed);
    taken.missed.store(0, relaxed);
    if (index >= topic_log.subscribers_high()) header.subscribers_high.store(index + 1, release);
    CONVEYOR_KILL_POINT("topic.slot-written");
    taken.mode.store(static_cast<std::uint32_t>(mode), release);
    CONVEYOR_KILL_POINT("topic.subscribed");
    slot_ = index;
    mode_ = mode;
    generation_ = fork_generation();
    known_tail_ = tail;
    told_ = position_;
  }
  header.lock.unlock();
  return status;
}

void Subscriber::leave() {
  if (!joined() || !ours()) return;
  CONVEYOR_KILL_POINT("topic.leaving");
  close_window();
  // sync point "topic-cursor": release here, acquire in TopicLog::gate. All reading is done.
  slot().mode.store(static_cast<std::uint32_t>(SubscriberMode::free), release);
  slot_ = subscriber_capacity;
  topic_log_->header().not_full.notify(INT32_MAX);
}

bool Subscriber::open_window(std::uint64_t span) {
  close_window();
  // sync point "topic-window": a window, a full fence, and the look at `oldest`; against TopicLog::make_room.
  slot().window_span.store(static_cast<std::uint32_t>(span / record_unit), relaxed);
  slot().window.store(position_ + 1, release);
  window_open_ = true;
  full_fence();
  CONVEYOR_KILL_POINT("topic.window-open");
  if (topic_log_->header().oldest.load(acquire) <= position_) return true;
  close_window();
  return false;
}

void Subscriber::close_window() {
  if (!window_open_) return;
  window_open_ = false;
  // sync point "topic-window": release here, acquire in TopicLog::conflict. The bytes were read before.
  slot().window.store(0, release);
}

Subscriber::Found Subscriber::find(RecordView& record) {
  if (position_ >= known_tail_) known_tail_ = topic_log_->tail();
  if (position_ == known_tail_) return Found::empty;
  if (position_ > known_tail_) return Found::damaged;
  if (mode_ != SubscriberMode::block && !open_window(topic_log_->window_)) {
    if (mode_ == SubscriberMode::fail) return Found::overrun;
    position_ = topic_log_->header().oldest.load(acquire);
    slot().cursor.store(position_, relaxed);  // relaxed: nobody waits for it
    return Found::again;
  }
  bool skip = false;
  if (!topic_log_->look(position_, known_tail_, record, skip)) {
    close_window();
    return Found::damaged;
  }
  if (record.number > number_) {
    missed_ += record.number - number_;
    number_ = record.number;
    slot().missed.store(missed_, relaxed);  // relaxed: a statistic
    if (mode_ == SubscriberMode::fail) {
      close_window();
      failed_ = true;
      return Found::overrun;
    }
  }
  if (!skip) return Found::record;
  advance(position_ + record.span, number_);
  return Found::again;
}

// How much was lost, as far as that can be told.
Status Subscriber::after_overrun() {
  if (!failed_) {
    failed_ = true;
    for (;;) {
      position_ = topic_log_->header().oldest.load(acquire);
      std::uint64_t number = topic_log_->published();
      RecordView record;
      bool skip = false;
      const std::uint64_t tail = topic_log_->tail();
      if (position_ < tail) {
        if (!open_window(topic_log_->window_)) continue;
        if (topic_log_->look(position_, tail, record, skip)) number = record.number;
        close_window();
      }
      if (number > number_) missed_ += number - number_;
      number_ = std::max(number_, number);
      break;
    }
    slot().missed.store(missed_, relaxed);
    slot().number.store(number_, relaxed);
  }
  return Status::lost;
}

void Subscriber::advance(std::uint64_t position, std::uint64_t number) {
  position_ = position;
  number_ = number;
  slot().number.store(number, relaxed);  // relaxed: a statistic
  // sync point "topic-cursor": release here, acquire in TopicLog::gate. The record was read before.
  slot().cursor.store(position, release);
  close_window();
  if (mode_ != SubscriberMode::block) return;
  // Publishers that wait are told when there is room for many events, and by `settle`.
  const std::uint64_t step = topic_log_->capacity() / 16;
  if (position / step != told_ / step) settle();
}

void Subscriber::settle() {
  if (mode_ != SubscriberMode::block || told_ == position_) return;
  told_ = position_;
  CONVEYOR_KILL_POINT("topic.before-told");
  topic_log_->header().not_full.notify(INT32_MAX);
}

}  // namespace conveyor
