// An item on its way in or out: a head (a pickle, or what a codec says about the item) and buffers
// beside it, each in a run of pages where it needs no further copy.
//
// As a message:
//   PayloadHead | index              index = PayloadBuffer[count], then the head's bytes
// The index stands there, or when it is long, at the end of the first run. Buffers lie in the runs, or
// all in the message when it is small.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "../codec/object_codec.hpp"
#include "../support/gil.hpp"
#include "conveyor/queue/stream.hpp"
#include "loan.hpp"

namespace conveyor::python {

struct PayloadHead {
  std::uint64_t codec;         // hash of the codec's name; 0: pickle
  std::uint32_t buffers;
  std::uint32_t index_in_run;  // 1: in the first run, else behind this
  std::uint64_t index_offset;  // from the start of the run or the message
  std::uint64_t head_size;
};
static_assert(sizeof(PayloadHead) == 32);

inline constexpr std::uint32_t in_message = UINT32_MAX;

struct PayloadBuffer {
  std::uint64_t offset;
  std::uint64_t size;
  std::uint32_t run;  // or in_message
  std::uint32_t reserved;
};
static_assert(sizeof(PayloadBuffer) == 24);

// Smaller ones are copied into the pickle: a buffer of its own costs more.
inline constexpr Py_ssize_t least_buffer = 16 * 1024;
// The buffers of smaller items are copied out, so that what somebody keeps does not waste much of its pages.
inline constexpr std::uint64_t least_lent = 48 * 1024;

class Payload {
 public:
  // Either bytes to be copied, or an object that writes them.
  struct Source {
    Py_buffer view;
    nb::object writer;
    std::size_t size() const { return static_cast<std::size_t>(view.len); }
  };

  Payload() = default;
  Payload(Payload&& other) noexcept;
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  Payload& operator=(Payload&&) = delete;
  ~Payload();

  // These are false with a Python error set.
  bool add(PyObject* piece);                                 // to the head
  void add_buffer(const Py_buffer& view);                    // takes the view over
  bool add_source(nb::handle source);                        // a buffer, or a codec's writer
  // As if nothing had been added; what reducers have promised for the case that it is not put is done. The Python error
  // stays what it is, unless Ctrl-C comes in between.
  void clear();
  // A list of callables, for when it is not put after all.
  void promise(nb::object unless_put) { unless_put_ = std::move(unless_put); }
  void was_put() { unless_put_.reset(); }

  Kind kind = Kind::pickle;
  std::uint64_t codec = 0;
  // The segment that it is for; null: no buffers beside the pickle, please.
  const Segment* target = nullptr;
  bool for_topic = false;  // beside it, although it is for no segment
  // Tensors in the memory of a device go by value, as others do; else by torch's handle, where one can be used.
  bool copies_devices = false;
  // Its owner calls was_put.
  bool may_be_unput = false;

  bool has_index() const { return kind == Kind::buffers || kind == Kind::custom; }
  const std::vector<Source>& sources() const { return sources_; }
  std::size_t head_size() const { return head_size_; }
  // The head in a row; for small ones. Valid as long as this object.
  const std::byte* contiguous();
  // Needs no GIL: the pieces' buffers are held.
  void copy_head(std::byte* target) const;

 private:
  void take_back();

  std::vector<Py_buffer> pieces_;
  std::vector<Source> sources_;
  std::size_t head_size_ = 0;
  std::vector<std::byte> joined_;
  nb::object unless_put_;
};

// Where the parts of an item with an index go. Made with the GIL.
class PayloadWriter {
 public:
  PayloadWriter(Payload& payload, Stream& stream) : payload_(payload), stream_(stream) {}
  ~PayloadWriter();  // what was not put is the caller's again
  PayloadWriter(const PayloadWriter&) = delete;

  // Decides; false with a Python error set.
  bool plan();
  std::uint64_t payload() const { return message_.size() + run_size_ + moved_size_; }
  // Takes pages and fills them; false with a Python error set, or with `error` set, of Pool::Allocation.
  bool fill(int& error);
  const Outgoing& outgoing() const { return outgoing_; }
  void was_put();

 private:
  bool write(std::byte* base);

  Payload& payload_;
  Stream& stream_;
  Buffer message_;
  std::vector<PayloadBuffer> index_;
  std::vector<Loan*> moved_;
  std::uint64_t run_size_ = 0, moved_size_ = 0;
  std::uint64_t index_in_run_ = 0;
  bool long_index_ = false;
  bool has_run_ = false;  // runs_[0] is ours
  RunReference runs_[most_runs];
  Outgoing outgoing_;
};

// How an item is read that is being unpickled: once and for all; under lease, so that somebody else may read it after
// this; or only looked at, so that somebody will.
enum class Reading : std::uint8_t { once, lease, look };

// An item that was taken: its message, and its runs, which are this process's now.
struct Taken {
  Kind kind = Kind::pickle;
  std::uint32_t run_count = 0;
  const RunReference* runs = nullptr;
  const std::byte* data = nullptr;
  std::size_t size = 0;
  bool leased = false;  // the runs stay what they are: what becomes of them is the lease's business
  std::uint32_t sender = 0;  // pid of the process that put it
  const std::byte* const* copies = nullptr;  // of the runs, where the item is only looked at: then it is `leased`, too
  bool looked_at = false;

  const std::byte* run_data(const Stream& stream, std::uint32_t run) const {
    return copies == nullptr ? stream.run_data(runs[run]) : copies[run];
  }
  Reading reading() const { return looked_at ? Reading::look : leased ? Reading::lease : Reading::once; }
};

// Turns a message with an index into the object; the runs are released, or lent to the object. Null with
// a Python error set. `codec`: the user's, or null for pickle.
nb::object unpack(Stream& stream, const Taken& taken, nb::handle codec);

}  // namespace conveyor::python
