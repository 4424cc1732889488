// One end of a queue: Python objects in and out of a Stream.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <vector>

#include "conveyor/stream.hpp"
#include "object_codec.hpp"
#include "packed.hpp"
#include "pickling.hpp"

namespace conveyor::python {

namespace nb = nanobind;

// How long a call that may not wait bears with a peer that was stopped while it held a lock.
constexpr Nanoseconds grace = 1'000'000'000;
// Until when a call may wait. `immediate`: it may not.
struct Deadline {
  Nanoseconds at = forever;
  bool immediate = false;
  bool passed() const { return immediate || (at != forever && monotonic_now() >= at); }
};
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() { PyEval_RestoreThread(state_); }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

// For how long a call goes on asking for a lock that it does not get. In portions: between them it
// looks for signals.
class Patience {
 public:
  explicit Patience(const Deadline& deadline) : deadline_(deadline) {}
  Nanoseconds portion();  // 0: it is used up

 private:
  const Deadline& deadline_;
  Nanoseconds ends_ = 0;
};

// From multiprocessing's (block, timeout); false with a Python error set.
bool parse_deadline(nb::handle block, nb::handle timeout, Deadline& deadline);

class Channel {
 public:
  // `codec`: an object with name, dumps and loads; the str "pickle"; or "auto".
  Channel(std::shared_ptr<Segment> segment, nb::object codec);

  // Memory to be filled in place and then put; null with a Python error set.
  nb::object allocate(std::uint64_t size);
  nb::object put(nb::handle self, nb::handle item, const Deadline& deadline);
  nb::object put_many(nb::handle self, nb::handle items, const Deadline& deadline);
  nb::object put_bytes(nb::handle data, const Deadline& deadline);
  nb::object get(const Deadline& deadline);
  nb::object get_bytes(const Deadline& deadline);
  nb::object get_many(std::size_t most, const Deadline& deadline);
  nb::object wait_tasks(const Deadline& deadline);
  // True once there may be room for so many bytes (or the queue has ended), False at the deadline.
  nb::object wait_room(std::uint64_t needed, const Deadline& deadline);
  // True once something can be taken (or a pipe's peer has gone), False at the deadline.
  nb::object wait_item(const Deadline& deadline);

  // The end of the queue, for all processes.
  nb::object shutdown(bool immediate);
  nb::object enter_producing(bool counts);
  nb::object expect_producers(nb::handle count);
  // Whether the producers were looked after just now, so that the queue may have ended.
  bool looked_for_lost();
  // Whoever asked for a drop may have died before it was done: then it is done now.
  void settle_drop();

  // Closed in this process only; a forked child starts open again, as multiprocessing's does.
  void close() { closed_in_ = fork_generation(); }
  bool closed() const { return closed_in_ == fork_generation(); }

  // For the end of a pipe: tokens and the peer's life go over this descriptor.
  void use_pipe(int fd) {
    pipe_fd_ = fd;
    stream_.ready().use_descriptor(fd);
  }

  Stream& stream() { return stream_; }
  nb::handle codec() const { return codec_; }
  // For the garbage collector: nobody will call any more.
  void forget_codec() { codec_.reset(); }

 private:
  enum class Next { retry, stop };  // stop: a Python error is set
  template <class Sink>
  bool take(std::size_t most, const Deadline& deadline, Sink& sink);
  Next after_failed_take(Status status, const Deadline& deadline, Slices& slices);
  bool deliver(const Outgoing* items, std::size_t count, std::size_t& done, const Deadline& deadline);
  bool deliver_packed(Packed& packed, const Deadline& deadline);
  bool deliver_placed(Packed& packed, const Deadline& deadline);
  bool await_room(std::uint64_t payload, const Deadline& deadline, Slices& slices);
  bool await_receipt(std::uint64_t payload, const Deadline& deadline, Slices& slices);
  bool pack(nb::handle item, Packed& into);
  template <class Copy>
  bool deliver_large(std::size_t size, Kind kind, const Deadline& deadline, Copy copy);
  Next after_failed_allocation(int error, std::uint64_t payload, const Deadline& deadline);
  Next after_failed_put(Status status, std::uint64_t payload, const Deadline& deadline, Slices& slices);
  bool check_peer();
  // ShutDown, or ProducerLost.
  nb::object raise_end();
  template <class Attempt>
  Status insist(Attempt attempt);
  bool peer_gone() const;
  Waited wait_for_item(Nanoseconds deadline, Slices& slices);
  nb::object decode_one(const Taken& taken, nb::object prepared);
  nb::object decode_run(Kind kind, const RunReference& run, nb::object prepared);
  bool handle_pickling_error(nb::handle self, nb::handle item);

  Stream stream_;
  nb::object codec_;            // the user's, or null
  std::uint64_t codec_id_ = 0;  // hash of its name; 0: none
  bool native_ = true;          // our own encoding for what it can carry
  std::uint32_t closed_in_ = 0;
  int pipe_fd_ = -1;
};

}  // namespace conveyor::python
