// A queue's memory in the hands of Python: arrays that were received and lie where the producer wrote
// them, and buffers that a producer fills in place and then puts.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "conveyor/queue/stream.hpp"

namespace conveyor::python {

namespace nb = nanobind;

// Runs of one queue that this process holds. They go back when the last Memory on them is collected; in
// a forked child, which has only a view of its parent's, never.
class Loan {
 public:
  // Received by `take`, and lent by Stream::lend.
  Loan(std::shared_ptr<Segment> segment, const RunReference* runs, std::uint32_t count);
  // One run that another process has, borrowed by Stream::borrow.
  static std::shared_ptr<Loan> borrowed(std::shared_ptr<Segment> segment, const RunReference& run);
  // One run to be filled and put. `find` finds it by its address.
  Loan(std::shared_ptr<Segment> segment, const RunReference& run);
  ~Loan();
  Loan(const Loan&) = delete;

  // The same at any time: a segment may be mapped once more when it grows, and then lies there as well.
  std::byte* data(std::uint32_t run) const { return places_[run]; }
  const RunReference& run(std::uint32_t index) const { return runs_[index]; }

  // The loan to be put that is all of these bytes, made by this very process for this segment; or null.
  static Loan* find(const void* data, std::size_t size, const Segment& segment);
  // The received loan that these bytes are part of, and the run, and where in it they begin; or null.
  static Loan* find_received(const void* data, std::size_t size, std::uint32_t& run, std::uint64_t& offset);
  Segment& segment() const { return stream_.segment(); }
  bool was_put() const { return state_ != State::fresh; }
  // Before, in case of failure, and after putting it. Between, no other thread can put it too. False: it
  // cannot be moved now, and must be copied.
  bool begin_put();
  void cancel_put();
  void end_put() { state_ = State::put; }

 private:
  enum class State { received, fresh, moving, put };
  void find_places();

  Stream stream_;
  std::vector<RunReference> runs_;
  std::vector<std::byte*> places_;
  State state_;
  std::uint32_t generation_;
};

// Some bytes of a loan, as the buffer protocol gives them.
struct Memory {
  std::shared_ptr<Loan> loan;
  std::byte* data;
  std::size_t size;
};

// A Python object that exports `size` writable bytes at `data` and keeps the loan; null with an error set.
nb::object make_memory(std::shared_ptr<Loan> loan, std::byte* data, std::size_t size);
// A memoryview on such an object, or on a bytes or bytearray.
nb::object view_of(nb::handle object);

void bind_loans(nb::module_& module);

}  // namespace conveyor::python
