// The log behind a topic: one copy of each event, and a cursor for each subscriber.
//
// Publishers share one lock. An event is written behind the tail, where nobody reads, and then becomes visible, to
// all subscribers at once, by ONE release store of the tail. Subscribers take no lock: each reads on from its own
// cursor. What lies before `oldest` may be overwritten; only publishers move `oldest`, never past the cursor of a
// subscriber that blocks.
//
//   sync point "topic-tail": publishers release `tail` when events are written; subscribers acquire it before they
//                            read them.
//   sync point "topic-cursor": a blocking subscriber releases its cursor (or its slot) when it has done with a
//                              record; publishers acquire it before they move `oldest` past it.
//   sync point "topic-window": a subscriber that may be overrun says where it reads (SubscriberSlot::window, or a pin), then a
//                              full fence, then looks at `oldest`; publishers move `oldest`, then a full fence, then
//                              look for windows and pins. So either the subscriber sees that it was overrun, or the
//                              publishers see where it reads. It releases the window, or pin, when it is done.
//
//   sync point "topic-end": publishers release `ended`, under their lock; subscribers acquire it. Every publish that
//                           committed did so before it, and who died inside `producing()` is marked.
//
// Publishers never wait for a window or a pin: they write around it, behind a skip record. That is why a process may
// keep a received array for ever, or be stopped in the middle of a read, and the log goes on.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/base/status.hpp"
#include "conveyor/memory/ending.hpp"
#include "conveyor/memory/region.hpp"
#include "conveyor/topic/topic_layout.hpp"

namespace conveyor {

// Bytes of an event, and where in its payload they go.
struct EventPiece {
  const void* data;
  std::uint64_t offset;
  std::uint64_t size;
};

struct Publication {
  std::string_view key;  // at most most_key bytes
  std::uint8_t kind = 0;
  std::uint64_t size = 0;  // of the payload
  const EventPiece* pieces = nullptr;
  std::size_t piece_count = 0;
};

struct SubscriberFigures {
  OwnerId owner = nobody;
  SubscriberMode mode = SubscriberMode::free;
  std::uint64_t number = 0;  // of the next event that it reads
  std::uint64_t lag = 0;  // events that it has not read
  std::uint64_t missed = 0;
  std::uint64_t received = 0;
};

// Of the subscriber of a slot; none: it is free.
std::optional<SubscriberFigures> figures_of(const SubscriberSlot& slot, std::uint64_t published);

struct TopicFigures {
  std::uint64_t published = 0, bytes = 0, waits = 0;
  std::uint64_t capacity = 0, kept_bytes = 0, pinned_bytes = 0;
  bool ended = false;
  std::vector<SubscriberFigures> slots;
};

// What is known of a record, once it is found sound.
struct RecordView {
  std::uint64_t position = 0, number = 0, span = 0;  // in bytes
  std::uint8_t kind = 0;
  std::uint32_t sender = 0;  // a pid; 0: not known
  std::string_view key;
  const std::byte* payload = nullptr;
  std::uint64_t size = 0;
};

// Where the pin of a record is noted, in this process.
struct PinId {
  std::uint32_t index = pin_capacity;
  bool valid() const { return index < pin_capacity; }
};

class TopicLog final : private ProducerTable {
 public:
  // Between two looks whether those who are in the way live.
  static constexpr Nanoseconds look_again = 200'000'000;
  // Makes sure that memory stands behind bytes [offset, offset + size) of `base`; 0 or an errno.
  using Reserve = std::function<int(std::uint64_t offset, std::uint64_t size)>;

  static std::uint64_t size_for(std::uint64_t capacity) { return sizeof(TopicHeader) + capacity; }
  // In memory that is zero, unless it was done before. 0 or an errno; EBUSY: its lock was not to be had.
  static int initialise(std::byte* base, std::uint64_t capacity, std::uint64_t keep, const Reserve& reserve);
  // `size`: of the memory, which says what the capacity must be. `place`: shared by all that this process has on that
  // memory, and outlives them; null: there are no others that publish.
  TopicLog(std::byte* base, std::uint64_t size, Reserve reserve, ProducerPlace* place = nullptr);
  TopicLog(const TopicLog&) = delete;
  bool sound() const { return sound_; }

  // -- publishers

  // Publishes them in order, together as far as there is room. `done`: how many; other than `ok` is about the next.
  // `patience`: how long to wait for the lock; 0: hardly.
  Status publish(const Publication* events, std::size_t count, std::size_t& done, Nanoseconds patience);
  // The largest payload of an event with such a key.
  std::uint64_t most_payload(std::size_t key_size) const;
  std::uint64_t gate() const;  // the least cursor of those that block, or the tail
  // Until a blocking subscriber has gone on, for at most a few milliseconds, and not past the deadline.
  Waited wait_room(std::uint64_t gate_seen, Nanoseconds deadline, Slices& slices);
  // Whether it is long ago that somebody looked for the dead; `dead_are_due` says it to one caller only.
  bool dead_may_be_due() const;
  bool dead_are_due();
  // Takes the slots of the dead. False: without the lock nobody knows.
  bool look_for_dead(Nanoseconds patience);

  // -- the end; as of a stream

  Status end(Nanoseconds patience);
  // sync point "topic-end": acquires what `end_locked` released: who sees it, and then finds nothing more, has had all,
  // and finds in `lost` whom there is to find.
  bool ended() const { return header_.ended.load(acquire) != 0; }
  Status enter_producing(bool counts, Nanoseconds patience);
  Status leave_producing(Nanoseconds patience);
  Status expect_producers(std::uint32_t count, Nanoseconds patience);
  // True now and then, for one of all processes, while somebody may die inside `producing()`: a subscriber that has nothing to
  // read then looks.
  bool look_is_due();
  void look_for_lost();
  std::vector<LostProducer> lost() const { return producers_.lost(published()); }
  static constexpr Nanoseconds look_every = 300'000'000;

  // -- for all

  TopicFigures figures() const;
  // How many events were published: exact, unless so many publish at this moment that it cannot be told.
  std::uint64_t published() const;
  // What is not as it should be in the log; nullopt: the lock was not to be had in time.
  std::optional<std::string> check(Nanoseconds patience);
  TopicHeader& header() const { return header_; }
  std::uint64_t capacity() const { return capacity_; }
  // Waits for something behind `position` to be published, or the end.
  Waited wait_event(std::uint64_t position, Nanoseconds deadline, Slices& slices);
  std::uint64_t tail() const { return header_.tail.load(acquire) & ~(record_unit - 1); }

  // -- pins

  // Keeps the bytes of a record from being overwritten until `unpin`. Invalid, and nothing done: there would be no
  // room for the largest event between the pinned ones, or too many are pinned. `overrun`: they are gone already.
  PinId pin(std::uint64_t position, std::uint64_t span, bool may_be_overrun, bool& overrun);
  void unpin(PinId pin);

 private:
  friend class Subscriber;
  struct Draft;
  bool lock(Nanoseconds patience, Status& status);
  // The time of a look that was put off by `most` at most.
  static bool has_come(Nanoseconds next, Nanoseconds most) {
    const Nanoseconds now = monotonic_now();
    return now >= next || next - now > most;  // damage, if it is later than anybody said
  }
  // The caller holds the lock, in these three.
  void recovered();
  void end_locked();
  void end_if_all_left() {
    if (!ended() && producers_.all_have_left()) end_locked();
  }
  void tell_of_end();
  // A sound record at `position`, at most up to `limit`; false: damage.
  bool look(std::uint64_t position, std::uint64_t limit, RecordView& record, bool& skip) const;
  Status make_room(Draft& draft, std::uint64_t need);
  bool move_oldest(std::uint64_t target, std::uint64_t reach, std::uint64_t limit, bool& damaged);
  std::uint64_t conflict(std::uint64_t begin, std::uint64_t end, std::uint64_t& behind);
  bool reserve_log(std::uint64_t end);
  void write(Draft& draft, const Publication& event, std::uint64_t span);
  void write_skip(Draft& draft, std::uint64_t to);
  Status commit(Draft& draft);
  void pass_on() {
    if (header_.not_empty.has_sleepers()) header_.not_empty.notify(INT32_MAX);
  }
  std::uint32_t subscribers_high() const;
  // Under the lock: as low as it may be.
  void lower_subscribers_high();
  bool reserve_slot(std::uint32_t index) {
    return reserve_(offsetof(TopicHeader, slots) + index * sizeof(SubscriberSlot), sizeof(SubscriberSlot)) == 0;
  }
  ProducerSlot* producer(std::uint32_t index) override { return &header_.producers[index]; }
  bool reserve_producer(std::uint32_t index) override {
    return reserve_(offsetof(TopicHeader, producers) + index * sizeof(ProducerSlot), sizeof(ProducerSlot)) == 0;
  }
  std::uint32_t pins_high() const;
  bool gap_remains(std::uint64_t position, std::uint64_t span) const;
  void free_dead();
  std::byte* at(std::uint64_t position) const { return log_ + (position & (capacity_ - 1)); }
  std::uint64_t most_span() const { return capacity_ / 4 - record_unit; }

  TopicHeader& header_;
  std::byte* log_;
  std::uint64_t capacity_;  // never read from the memory again, where it might be damaged
  std::uint64_t window_;
  Reserve reserve_;
  bool sound_;
  ProducerPlace own_place_;
  Producers producers_;
  Spin spin_events_, spin_room_;
  LockPatience pins_patience_{200'000'000, 10'000'000};
};

// Records of at most this many bytes are copied out before the cursor moves on; others are pinned, or copied whole.
constexpr std::uint64_t window_for(std::uint64_t capacity) {
  const std::uint64_t most = 16 * 1024;
  return capacity / 16 < most ? capacity / 16 : most;
}

}  // namespace conveyor
