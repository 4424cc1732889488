// One end of a queue: Python objects in and out of a Stream.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../codec/object_codec.hpp"
#include "../payload/codec_choice.hpp"
#include "../payload/payload.hpp"
#include "../payload/pickling.hpp"
#include "../payload/unreadable.hpp"
#include "../support/deadline.hpp"
#include "../support/errors.hpp"
#include "../support/holders.hpp"
#include "../support/keep_trying.hpp"
#include "conveyor/queue/pacing.hpp"
#include "conveyor/queue/stream.hpp"
#include "pipe_end.hpp"

namespace conveyor::python {

namespace nb = nanobind;

// Sets a mark for the length of a block.
class Marked {
 public:
  explicit Marked(bool& mark) : mark_(mark) { mark_ = true; }
  ~Marked() { mark_ = false; }
  Marked(const Marked&) = delete;

 private:
  bool& mark_;
};

class Channel {
 public:
  // `codec`: an object with name, dumps and loads; the str "pickle"; or "auto".
  Channel(std::shared_ptr<Segment> segment, nb::object codec)
      : stream_(std::in_place, std::move(segment)), pacing_(stream_->segment().header()), choice_(std::move(codec)) {}

  // For as long as one of these is, a call is inside: each method that Python calls has one (PlainType).
  class Use {
   public:
    explicit Use(Channel& channel) : channel_(channel), generation_(channel.holders_.enter()) {}
    ~Use() {
      if (channel_.holders_.leave(generation_)) [[unlikely]]
        channel_.part();
    }
    Use(const Use&) = delete;

   private:
    Channel& channel_;
    const std::uint32_t generation_;
  };
  // The memory and descriptors are given back as soon as nobody needs them: at once, or when the last call that is
  // inside has returned, the last lease is settled, and the last block of a producer left. Then `stream` throws, and what
  // is asked of the queue is answered from memory, in both senses.
  // `with_items`: also if some wait.
  void let_go(bool with_items) {
    with_items_ = with_items;
    holders_.end();
  }
  Holders& holders() { return holders_; }
  struct Remembered {
    std::uint64_t depth = 0, max_items = unbounded, max_bytes = unbounded;
    bool full = false, ended = false, has_put = false;
    bool passed_on = false;  // then what waited went with the others when nobody has it any more
    Identity identity;
    std::string name;
    StreamStatistics statistics{};
  };
  const Remembered& remembered() const { return remembered_; }
  bool has_stream() const { return stream_.has_value(); }
  // That of the queue, also after it was let go of: if anybody here has it, or it has a name. Else null.
  std::shared_ptr<Segment> memory() const;

  // Memory to be filled in place and then put; null with a Python error set.
  nb::object allocate(std::uint64_t size);
  nb::object put(nb::handle self, nb::handle item, const Deadline& deadline);
  nb::object put_many(nb::handle self, nb::handle items, const Deadline& deadline);
  nb::object put_bytes(nb::handle data, const Deadline& deadline);
  nb::object get(const Deadline& deadline);
  nb::object get_bytes(const Deadline& deadline);
  nb::object get_many(std::size_t most, const Deadline& deadline);
  // What is there, without waiting; for an item that cannot be decoded, `unreadable(error)` in its place.
  nb::object take_each(std::size_t most, nb::handle unreadable);
  // What waits, in order, at most so many: copies, and all stays where it is. What cannot be decoded is raised, with the
  // others as `items_received`.
  nb::object peek(std::size_t most);
  // Drops what waits; how many that were.
  nb::object purge();
  // Under lease: `Lease` objects, which keep `self`, their queue. For `seconds`, None: as the queue has it.
  nb::object lease(nb::handle self, const Deadline& deadline, nb::handle seconds);
  nb::object lease_many(nb::handle self, std::size_t most, const Deadline& deadline, nb::handle seconds);
  // Runs an operation of the stream until it gets its lock; not `patient`: for a second at most, and no signal
  // is looked at. `interrupted`: a Python error is set.
  template <class Operation>
  Status settle(Operation operation, bool patient) {
    const Deadline at_once{forever, true};
    RetrySlices patience(at_once);
    for (;;) {
      const Status status = operation();
      if (status != Status::busy) return status;
      const Nanoseconds slice = patient ? longest_slice : patience.slice();
      if (slice == 0) return status;
      {
        const WithoutGil released;
        stream_->await_consumers_lock(slice);
      }
      if (patient && !look_for_signals()) return Status::interrupted;
    }
  }
  // Calls `bury(item, attempts, error, pid, raw, buffers, producer_pid)`, which returns whether it could, for each that
  // failed for good. Of an item that cannot be read, `item` is its bytes; else `raw` and `buffers` are None.
  void use_dead_letters(nb::object bury) { bury_ = std::move(bury); }
  bool move_failed();
  nb::object task_done();
  nb::object unfinished();
  nb::object wait_tasks(const Deadline& deadline);
  // True once there may be room for so many bytes (or the queue has ended), False at the deadline.
  nb::object wait_room(std::uint64_t needed, const Deadline& deadline);
  // True once something can be taken (or a pipe's peer has gone), False at the deadline.
  nb::object wait_item(const Deadline& deadline);

  // The end of the queue, for all processes.
  nb::object pause(bool now);
  nb::object shutdown(bool immediate);
  nb::object enter_producing(bool counts);
  nb::object leave_producing();
  nb::object expect_producers(nb::handle count);
  // Whether the producers were looked after just now, so that the queue may have ended.
  bool looked_for_lost();
  // The process that asked for a drop may have died before it was done: then it is done now.
  void settle_drop();

  // Closed in this process only; a forked child starts open again, as multiprocessing's does.
  void close() {
    closed_in_ = fork_generation();
    unheard_.give_up();
  }
  void reopen() { closed_in_ = 0; }
  bool closed() const { return closed_in_ == fork_generation() || !stream_; }

  // For the end of a pipe: tokens and the peer's life go over this descriptor.
  void use_pipe(std::shared_ptr<PipeEnd> end) {
    stream_->ready().use_descriptor(end->fd());
    pipe_ = std::move(end);
  }
  // Of a queue, in this process: what its _reader and _writer are closed by.
  void close_end(bool writing) {
    if (!stream_) return;
    stream_->segment().close_end(writing ? Segment::PipeSide::writing : Segment::PipeSide::reading);
    wake_all();
  }
  // Its end was closed: the calls that wait on it shall look.
  void wake_all();

  Waiters& waiters() { return stream_->segment().header().waiters; }  // for a note of who waits
  Stream& stream();  // throws a Python error when it was let go of
  nb::handle codec() const { return choice_.codec(); }
  // For the garbage collector: a user's codec may refer to its queue.
  int traverse(visitproc visit, void* arg) {
    Py_VISIT(choice_.codec().ptr());
    Py_VISIT(bury_.ptr());
    return unheard_.traverse(visit, arg);
  }
  void finalize() { unheard_.give_up(); }
  void forget() {  // nobody will call any more
    unheard_.forget();
    choice_.forget();
    bury_.reset();
  }

 private:
  void part() noexcept;
  bool is_here() const;  // false: it was let go of, and a Python error is set
  enum class Next { retry, stop };  // stop: a Python error is set
  template <class Sink>
  bool take(std::size_t most, const Deadline& deadline, Sink& sink, LeaseId* leases = nullptr,
            std::size_t* taken = nullptr);
  template <class Sink>
  bool take_with_care(Status status, std::size_t most, const Deadline& deadline, Sink& sink, LeaseId* leases,
                      std::size_t* taken);
  struct Leased {
    nb::object item;
    LeaseId lease;
  };
  nb::object lease_one(const Deadline& deadline, LeaseId& lease);
  bool lease_some(std::size_t most, const Deadline& deadline, std::vector<Leased>& into);
  void give_back_undecoded(const LeaseId& lease);
  nb::object bury(const nb::object& item, const Failure& failure, std::uint32_t sender);
  bool parse_lease_time(nb::handle seconds, Nanoseconds& time);
  Next after_failed_take(Status status, const Deadline& deadline, Slices& slices);
  bool deliver(const Outgoing* items, std::size_t count, std::size_t& done, const Deadline& deadline);
  bool deliver_with_care(Status status, const Outgoing* items, std::size_t count, std::size_t& done,
                         const Deadline& deadline);
  void let_consumers_run();
  bool deliver_payload(Payload& payload, const Deadline& deadline);
  bool deliver_placed(Payload& payload, const Deadline& deadline);
  bool await_room(std::uint64_t payload, const Deadline& deadline, Slices& slices);
  bool await_receipt(std::uint64_t payload, const Deadline& deadline, Slices& slices);
  // False: a Python error is set.
  bool pack(nb::handle item, Payload& into);
  template <class Copy, class WasPut>
  bool deliver_large(std::size_t size, Kind kind, const Deadline& deadline, Copy copy, WasPut was_put);
  Next after_failed_allocation(int error, std::uint64_t payload, const Deadline& deadline);
  Next after_failed_put(Status status, std::uint64_t payload, const Deadline& deadline, Slices& slices);
  bool check_peer();
  // ShutDown, or ProducerLost.
  nb::object raise_end();
  // Nobody can send any more, or receive what is sent.
  bool writers_gone() const { return pipe_ != nullptr ? peer_gone() : segment_gone(Segment::PipeSide::writing); }
  bool readers_gone() const { return pipe_ != nullptr ? peer_gone() : segment_gone(Segment::PipeSide::reading); }
  bool segment_gone(Segment::PipeSide which) const {
    return stream_->segment().has_closed(which) && stream_->segment().is_gone(which);
  }
  bool peer_gone() const;
  bool closed_meanwhile() const;
  Waited wait_for_item(Nanoseconds deadline, Slices& slices, const WakeUp* wake_up);
  std::shared_ptr<WakeUp> wake_up() const { return pipe_ == nullptr ? nullptr : pipe_->wake_up(); }
  nb::object decode_one(const Taken& taken, nb::object prepared);
  nb::object decode_run(const Taken& taken, nb::object prepared);
  bool handle_pickling_error(nb::handle self, nb::handle item);
  bool ignores_broken_pipe(nb::handle self);
  nb::object put_item(nb::handle self, nb::handle item, const Deadline& deadline);

  std::optional<Stream> stream_;
  Pacing pacing_;  // of `stream_`
  Holders holders_;
  bool with_items_ = false;
  Remembered remembered_;
  CodecChoice choice_;
  std::uint32_t closed_in_ = 0;
  std::shared_ptr<PipeEnd> pipe_;  // null: a queue's
  Unheard unheard_;
  nb::object bury_;  // moves what failed for good to the dead letters, or null
  bool is_moving_ = false;
  Nanoseconds next_move_ = 0;
  static constexpr Nanoseconds move_again = 100'000'000;
};

}  // namespace conveyor::python
