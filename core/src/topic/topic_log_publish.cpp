// Publishing: room behind the tail, around what is pinned, and the one commit.
#include <algorithm>
#include <bit>
#include <cstring>

#include "conveyor/topic/topic_log.hpp"

namespace conveyor {
namespace {

constexpr std::uint64_t align_unit(std::uint64_t size) { return (size + record_unit - 1) & ~(record_unit - 1); }

constexpr std::uint64_t front_of(std::size_t key_size) { return sizeof(RecordHeader) + align8(key_size); }

// Memory is taken from the system in pieces of this size.
constexpr std::uint64_t reserve_step = 256 * 1024;

}  // namespace

// What a publisher has in mind, until it commits.
struct TopicLog::Draft {
  std::uint64_t committed;  // the tail that all see
  std::uint64_t position;   // where it goes on
  std::uint64_t copy;       // which TopicState is valid
  std::uint64_t number;     // as TopicState has them
  std::uint64_t clear_end;
  std::uint64_t bytes = 0;
};

std::uint64_t TopicLog::most_payload(std::size_t key_size) const { return most_span() - front_of(key_size); }

// Makes `oldest` at least `target`, and more, up to `reach`, where that is free: so it is done for many events at
// a time. Not past `limit`. False: it is less than `target`.
bool TopicLog::move_oldest(std::uint64_t target, std::uint64_t reach, std::uint64_t limit, bool& damaged) {
  const std::uint64_t before = header_.oldest.load(relaxed);  // relaxed: stored under the lock only
  std::uint64_t oldest = before;
  while (oldest < std::max(target, reach) && oldest < limit) {
    RecordView record;
    bool skip = false;
    if (!look(oldest, limit, record, skip)) {
      damaged = true;
      break;
    }
    oldest += record.span;
  }
  if (oldest != before) {
    // sync point "topic-window": here and after the fence in make_room, against Subscriber::open_window and pin.
    header_.oldest.store(oldest, release);
    CONVEYOR_KILL_POINT("topic.oldest-moved");
  }
  return oldest >= target;
}

// The first byte in [begin, end) that somebody reads where it lies, and where that ends; `end` if there is none.
std::uint64_t TopicLog::conflict(std::uint64_t begin, std::uint64_t end, std::uint64_t& behind) {
  const std::uint64_t mask = capacity_ - 1;
  std::uint64_t first = end;
  const auto consider = [&](std::uint64_t position, std::uint64_t size) {
    if (size == 0 || size > capacity_) return;  // damage
    const std::uint64_t into = (begin - position) & mask;
    const std::uint64_t at_ = into < size ? begin : begin + ((position - begin) & mask);
    if (at_ >= first) return;
    first = at_;
    behind = align_unit(into < size ? begin + size - into : at_ + size);
  };
  const auto all = [&] {
    first = end;
    for (std::uint32_t i = 0; i < pins_high(); ++i) {
      const Pin& pin = header_.pins[i];
      // sync point "topic-window": acquires what `unpin` released, and what a dead owner had read.
      if (pin.owner.load(acquire) != nobody) consider(pin.position.load(relaxed), pin.size.load(relaxed));
    }
    for (std::uint32_t i = 0; i < subscribers_high(); ++i) {
      const SubscriberSlot& slot = header_.slots[i];
      const std::uint64_t window = slot.window.load(acquire);
      if (window != 0) consider(window - 1, std::uint64_t{slot.window_span.load(relaxed)} * record_unit);
    }
  };
  all();
  // Does the subscriber that is in the way live? Asked now and then: to ask takes long.
  if (first != end && dead_are_due()) {
    free_dead();
    all();
  }
  return first;
}

bool TopicLog::reserve_log(std::uint64_t end) {
  const std::uint64_t there = snapshot(header_.reserved_bytes);
  if (end <= there) return true;
  std::uint64_t wanted = std::min(capacity_, (end + reserve_step - 1) / reserve_step * reserve_step);
  const std::uint64_t from = there;
  int error = reserve_(sizeof(TopicHeader) + from, wanted - from);
  if (error != 0 && wanted != end) {
    wanted = end;
    error = reserve_(sizeof(TopicHeader) + from, wanted - from);
  }
  if (error != 0) return false;
  header_.reserved_bytes = wanted;
  return true;
}

// Finds `need` bytes in a row, with room for one header more behind them, so that the next publisher can always write
// a skip. On success the draft stands before them.
Status TopicLog::make_room(Draft& draft, std::uint64_t need) {
  const std::uint64_t mask = capacity_ - 1, start = draft.position;
  const auto has_memory = [&](std::uint64_t from) {
    return reserve_log(std::min((from & mask) + need + record_unit, capacity_));
  };
  std::uint64_t place = start;
  bool short_of_memory = false;
  for (;;) {
    if ((place & mask) + need > capacity_) place = (place | mask) + 1;  // not across the end of the ring
    const std::uint64_t end = place + need + record_unit;
    if (end - start > capacity_) return short_of_memory ? Status::no_memory : Status::full;
    if (end <= draft.clear_end) {
      if (has_memory(place)) break;
      if (short_of_memory) return Status::no_memory;
      // Then the ring ends here, and what there is of it is used again.
      short_of_memory = true;
      place = (place | mask) + 1;
      continue;
    }
    bool damaged = false;
    if (end > capacity_) {
      const std::uint64_t limit = std::min(gate(), draft.committed);
      const std::uint64_t target = end - capacity_;
      const bool moved = move_oldest(target, target + capacity_ / 16, limit, damaged);
      if (damaged) return Status::corrupt;
      if (!moved) return short_of_memory && limit == draft.committed ? Status::no_memory : Status::full;
    }
    full_fence();  // sync point "topic-window": between `oldest` and the look for windows and pins
    std::uint64_t behind = 0;
    const std::uint64_t clear = conflict(place, header_.oldest.load(relaxed) + capacity_, behind);
    if (end <= clear) {
      draft.clear_end = clear;
      continue;
    }
    place = behind;
  }
  if (place != start) write_skip(draft, place);
  return Status::ok;
}

void TopicLog::write_skip(Draft& draft, std::uint64_t to) {
  RecordHeader head{};
  head.position = draft.position;
  head.number = draft.number;
  head.span = static_cast<std::uint32_t>((to - draft.position) / record_unit);
  head.form = static_cast<std::uint32_t>(RecordForm::skip);
  std::memcpy(at(draft.position), &head, sizeof head);
  CONVEYOR_KILL_POINT("topic.skip-written");
  draft.position = to;
}

void TopicLog::write(Draft& draft, const Publication& event, std::uint64_t span) {
  std::byte* const to = at(draft.position);
  const std::uint64_t front = front_of(event.key.size());
  RecordHeader head{};
  head.position = draft.position;
  head.number = draft.number;
  head.span = static_cast<std::uint32_t>(span / record_unit);
  head.key_size = static_cast<std::uint16_t>(event.key.size());
  head.kind = event.kind;
  head.padding = static_cast<std::uint8_t>(span - front - event.size);
  head.form = static_cast<std::uint32_t>(RecordForm::event);
  head.sender = owner_pid(self());
  std::memcpy(to, &head, sizeof head);
  if (!event.key.empty()) std::memcpy(to + sizeof head, event.key.data(), event.key.size());
  for (std::size_t i = 0; i < event.piece_count; ++i) {
    const EventPiece& piece = event.pieces[i];
    if (piece.size != 0) std::memcpy(to + front + piece.offset, piece.data, piece.size);
  }
  CONVEYOR_KILL_POINT("topic.written");
  draft.position += span;
  draft.bytes += event.size;
  ++draft.number;
}

Status TopicLog::publish(const Publication* events, std::size_t count, std::size_t& done, Nanoseconds patience) {
  done = 0;
  Status status = Status::ok;
  if (!lock(patience, status)) return status;
  CONVEYOR_KILL_POINT("topic.locked");
  const std::uint64_t word = header_.tail.load(relaxed);  // relaxed: stored under the lock only
  Draft draft{};
  draft.copy = word & 1;
  draft.committed = draft.position = word & ~(record_unit - 1);
  draft.number = header_.state[draft.copy].number.load(relaxed);
  draft.clear_end = header_.state[draft.copy].clear_end.load(relaxed);
  const std::uint64_t oldest = header_.oldest.load(relaxed);
  if (oldest > draft.committed || draft.committed - oldest > capacity_ || draft.clear_end > oldest + capacity_ ||
      snapshot(header_.reserved_bytes) > capacity_) {
    status = Status::corrupt;
  } else if (header_.ended.load(relaxed) != 0) {  // relaxed: stored under the lock
    status = Status::shut_down;
  }
  while (status == Status::ok && done < count) {
    const Publication& event = events[done];
    const std::uint64_t span = align_unit(front_of(event.key.size()) + event.size);
    if (event.key.size() > most_key || event.size > most_span() || span > most_span()) {
      status = Status::too_large;
      break;
    }
    // relaxed: a subscriber that pins just now may pin what the next would not; it is let go some time
    if (span > header_.largest.load(relaxed)) header_.largest.store(span, relaxed);
    status = make_room(draft, span);
    if (status != Status::ok) break;
    write(draft, event, span);
    ++done;
  }
  if (done == 0) {
    header_.lock.unlock();
    return status;
  }
  // release: who counts (published) and sees this one sees a tail that does not name it, or a later one.
  header_.state[draft.copy ^ 1].number.store(draft.number, release);
  header_.state[draft.copy ^ 1].clear_end.store(draft.clear_end, relaxed);
  header_.bytes.store(header_.bytes.load(relaxed) + draft.bytes, relaxed);
  producers_.count(done, draft.number);
  CONVEYOR_KILL_POINT("topic.before-commit");
  // sync point "topic-tail": release here, acquire in `tail`. The commit.
  header_.tail.store(draft.position | (draft.copy ^ 1), release);
  CONVEYOR_KILL_POINT("topic.committed");
  header_.lock.unlock();
  CONVEYOR_KILL_POINT("topic.unlocked");
  // One of those that sleep: it wakes the others (wait_event), so that a publisher pays for one only.
  header_.not_empty.notify_after_exchange(1);
  return status;
}

}  // namespace conveyor
