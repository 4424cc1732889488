#include "conveyor/topic/topic_log.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "conveyor/base/deadline.hpp"

namespace conveyor {

int TopicLog::initialise(std::byte* base, std::uint64_t capacity, std::uint64_t keep, const Reserve& reserve) {
  if (!std::has_single_bit(capacity) || capacity < least_capacity || capacity > most_capacity) return EINVAL;
  if (const int error = reserve(0, offsetof(TopicHeader, producers)); error != 0) return error;
  // Zeros are valid for all that is not written here, the lock included. Who makes a named one may die over it: then
  // it is the next one's to make.
  auto& header = *reinterpret_cast<TopicHeader*>(base);
  Locked got;
  do {
    got = header.lock.acquire(monotonic_now() + 1'000'000'000);
  } while (got == Locked::interrupted);
  if (got == Locked::busy) return EBUSY;
  if (header.capacity == 0) {
    header.keep = keep;
    header.state[0].clear_end.store(capacity, relaxed);  // relaxed here: under the lock
    CONVEYOR_KILL_POINT("topic.half-made");
    header.capacity = capacity;
  }
  if (got == Locked::recovered) TopicLog(base, size_for(capacity), reserve).recovered();
  header.lock.unlock();
  return 0;
}

TopicLog::TopicLog(std::byte* base, std::uint64_t size, Reserve reserve, ProducerPlace* place)
    : header_(*reinterpret_cast<TopicHeader*>(base)),
      log_(base + sizeof(TopicHeader)),
      capacity_(size > sizeof(TopicHeader) ? size - sizeof(TopicHeader) : 0),
      window_(window_for(capacity_)),
      reserve_(std::move(reserve)),
      sound_(std::has_single_bit(capacity_) && capacity_ >= least_capacity && capacity_ <= most_capacity &&
             snapshot(header_.capacity) == capacity_),
      producers_(header_.ending, place == nullptr ? own_place_ : *place, this) {}

bool TopicLog::lock(Nanoseconds patience, Status& status) {
  switch (patience == 0 ? header_.lock.try_acquire() : header_.lock.acquire(deadline_after(patience))) {
    case Locked::busy: status = Status::busy; return false;
    case Locked::interrupted: status = Status::interrupted; return false;
    case Locked::recovered: recovered(); break;
    case Locked::clean: break;
  }
  return true;
}

std::uint32_t TopicLog::subscribers_high() const {
  return std::min(header_.subscribers_high.load(acquire), subscriber_capacity);
}
void TopicLog::lower_subscribers_high() {
  std::uint32_t end = subscribers_high();
  while (end > 0 && header_.slots[end - 1].mode.load(acquire) == static_cast<std::uint32_t>(SubscriberMode::free))
    --end;
  header_.subscribers_high.store(end, release);
}

std::uint32_t TopicLog::pins_high() const { return std::min(header_.pins_high.load(acquire), pin_capacity); }

bool TopicLog::look(std::uint64_t position, std::uint64_t limit, RecordView& record, bool& skip) const {
  if (position % record_unit != 0) return false;  // damage: a header there might reach beyond the log
  const std::byte* const from = at(position);
  const RecordHeader head = snapshot(*reinterpret_cast<const RecordHeader*>(from));
  const std::uint64_t span = std::uint64_t{head.span} * record_unit;
  if (head.position != position || span == 0 || position >= limit || span > limit - position) return false;
  record.position = position;
  record.number = head.number;
  record.span = span;
  skip = head.form == static_cast<std::uint32_t>(RecordForm::skip);
  if (skip) return true;
  if (head.form != static_cast<std::uint32_t>(RecordForm::event)) return false;
  if (span > capacity_ - (position & (capacity_ - 1))) return false;
  const std::uint64_t front = sizeof head + align8(head.key_size);
  if (head.key_size > most_key || head.padding >= record_unit || front + head.padding > span) return false;
  record.kind = head.kind;
  record.sender = head.sender;
  record.key = {reinterpret_cast<const char*>(from) + sizeof head, head.key_size};
  record.payload = from + front;
  record.size = span - front - head.padding;
  return true;
}

// -- figures

// The copy of the state that a word names is written only after the next word.
std::uint64_t TopicLog::published() const {
  std::uint64_t word = header_.tail.load(acquire);
  for (int tries = 0;; ++tries) {
    const std::uint64_t number = header_.state[word & 1].number.load(acquire);
    const std::uint64_t now = header_.tail.load(acquire);
    if (now == word || tries == 100) return number;
    word = now;
  }
}

TopicFigures TopicLog::figures() const {
  TopicFigures found;
  found.published = published();
  // relaxed from here: statistics
  found.bytes = header_.bytes.load(relaxed);
  found.waits = header_.waits.load(relaxed);
  found.capacity = capacity_;
  const std::uint64_t oldest = header_.oldest.load(relaxed);
  const std::uint64_t behind = tail();
  found.kept_bytes = behind > oldest ? std::min(behind - oldest, capacity_) : 0;
  found.ended = ended();
  for (std::uint32_t i = 0; i < pins_high(); ++i) {
    if (header_.pins[i].owner.load(relaxed) != nobody)
      found.pinned_bytes += std::min(header_.pins[i].size.load(relaxed), capacity_);
  }
  for (std::uint32_t i = 0; i < subscribers_high(); ++i) {
    if (const auto one = figures_of(header_.slots[i], found.published)) found.slots.push_back(*one);
  }
  return found;
}

std::optional<SubscriberFigures> figures_of(const SubscriberSlot& slot, std::uint64_t published) {
  SubscriberFigures one;
  one.mode = static_cast<SubscriberMode>(slot.mode.load(acquire));
  if (one.mode == SubscriberMode::free) return std::nullopt;
  one.owner = slot.owner.load(relaxed);  // relaxed from here: statistics
  one.number = slot.number.load(relaxed);
  one.missed = slot.missed.load(relaxed);
  const std::uint64_t began = slot.began.load(relaxed);
  one.lag = published > one.number ? published - one.number : 0;
  one.received = one.number > began + one.missed ? one.number - began - one.missed : 0;
  return one;
}

std::optional<std::string> TopicLog::check(Nanoseconds patience) {
  Status status = Status::ok;
  if (!lock(patience, status)) return std::nullopt;
  const std::uint64_t end = tail();
  const std::uint64_t number = published();
  std::uint64_t position = header_.oldest.load(relaxed);
  std::string trouble;
  std::uint64_t next = 0;
  bool first = true;
  if (position > end || end - position > capacity_) trouble = "its ends do not fit together";
  while (trouble.empty() && position != end) {
    RecordView record;
    bool skip = false;
    if (!look(position, end, record, skip)) {
      trouble = "the record at " + std::to_string(position) + " is damaged";
    } else if (!skip) {
      if (!first && record.number != next) trouble = "event " + std::to_string(next) + " is missing";
      first = false;
      next = record.number + 1;
    }
    position += record.span;
  }
  if (trouble.empty() && !first && next != number) trouble = "the last event has the wrong number";
  for (std::uint32_t i = 0; trouble.empty() && i < subscribers_high(); ++i) {
    const SubscriberSlot& slot = header_.slots[i];
    if (slot.mode.load(acquire) != static_cast<std::uint32_t>(SubscriberMode::block)) continue;
    const std::uint64_t cursor = slot.cursor.load(acquire);
    if (cursor > end || cursor < header_.oldest.load(relaxed)) trouble = "a subscriber was overrun";
  }
  header_.lock.unlock();
  return trouble;
}

// -- the dead

void TopicLog::free_dead() {
  LifeList alive;
  for (std::uint32_t i = 0; i < subscribers_high(); ++i) {
    SubscriberSlot& slot = header_.slots[i];
    if (slot.mode.load(acquire) == static_cast<std::uint32_t>(SubscriberMode::free) || alive(slot.owner.load(relaxed)))
      continue;
    slot.window.store(0, relaxed);
    slot.mode.store(static_cast<std::uint32_t>(SubscriberMode::free), release);
  }
  lower_subscribers_high();
  for (std::uint32_t i = 0; i < pins_high(); ++i) {
    Pin& pin = header_.pins[i];
    OwnerId owner = pin.owner.load(acquire);
    // It may be given to another meanwhile, but not to one of the same name.
    if (owner != nobody && !alive(owner)) pin.owner.compare_exchange_strong(owner, nobody, release, relaxed);
  }
}

bool TopicLog::dead_may_be_due() const {
  return has_come(header_.next_look.load(relaxed), look_again);  // relaxed: a hint
}

bool TopicLog::dead_are_due() {
  Nanoseconds seen = header_.next_look.load(relaxed);
  return dead_may_be_due() &&
         header_.next_look.compare_exchange_strong(seen, monotonic_now() + look_again, relaxed, relaxed);
}

bool TopicLog::look_for_dead(Nanoseconds patience) {
  Status status = Status::ok;
  if (!lock(patience, status)) return false;
  free_dead();
  header_.lock.unlock();
  return true;
}

// -- waiting

std::uint64_t TopicLog::gate() const {
  std::uint64_t least = tail();
  for (std::uint32_t i = 0; i < subscribers_high(); ++i) {
    const SubscriberSlot& slot = header_.slots[i];
    // sync point "topic-cursor": acquires what Subscriber::leave and advance released.
    if (slot.mode.load(acquire) != static_cast<std::uint32_t>(SubscriberMode::block)) continue;
    least = std::min(least, slot.cursor.load(acquire));
  }
  return least;
}

Waited TopicLog::wait_room(std::uint64_t gate_seen, Nanoseconds deadline, Slices& slices) {
  // For many events at a time, or a publisher and the slowest subscriber would hand over to each other at each.
  const auto moved = [&] {
    const std::uint64_t now = gate();
    return (now != gate_seen && (now - gate_seen >= capacity_ / 32 || now == tail())) || ended();
  };
  if (header_.not_full.spin(spin_room_, moved)) return Waited::again;
  header_.waits.fetch_add(1, relaxed);  // relaxed: a statistic
  const std::uint32_t epoch = header_.not_full.announce();
  if (moved()) return Waited::again;
  // Short: subscribers tell of a cursor only now and then, and when they run out of events.
  constexpr Nanoseconds slice = 10'000'000;
  const Nanoseconds until = monotonic_now() + slice;
  const Waited waited = header_.not_full.sleep(epoch, std::min(until, deadline), slices);
  return waited == Waited::timed_out && until < deadline ? Waited::again : waited;
}

Waited TopicLog::wait_event(std::uint64_t position, Nanoseconds deadline, Slices& slices) {
  const auto ready = [&] { return tail() != position || ended(); };
  if (slices.first() && header_.not_empty.spin(spin_events_, ready)) {
    pass_on();
    return Waited::again;
  }
  const std::uint32_t epoch = header_.not_empty.announce();
  if (ready()) {
    pass_on();
    return Waited::again;
  }
  // A publisher wakes one of those that sleep, which wakes the others: if it dies on the way, they look by themselves.
  // And somebody must look whether the registered publishers are alive.
  const Nanoseconds slice = producers_.armed() ? look_every : 500'000'000;
  const Nanoseconds until = deadline == forever ? monotonic_now() + slice : std::min(deadline, monotonic_now() + slice);
  const Waited waited = header_.not_empty.sleep(epoch, until, slices);
  CONVEYOR_KILL_POINT("topic.woken");
  if (ready()) pass_on();
  return waited == Waited::timed_out && until != deadline ? Waited::again : waited;
}

}  // namespace conveyor
