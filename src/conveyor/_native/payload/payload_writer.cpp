// The way in: where each buffer goes, and its one copy.
#include <algorithm>

#include "../support/deadline.hpp"
#include "payload.hpp"

namespace conveyor::python {
namespace {

constexpr std::uint64_t align(std::uint64_t size, std::uint64_t to) { return (size + to - 1) / to * to; }

// The largest that items need: a vector register, and Arrow's recommendation.
constexpr std::uint64_t buffer_alignment = 64;
// Releasing the GIL costs as much as copying this.
constexpr std::uint64_t place_with_gil = 8 * 1024;

}  // namespace

PayloadWriter::~PayloadWriter() {
  for (Loan* const loan : moved_) loan->cancel_put();
  if (has_run_) stream_.release(runs_[0]);
}

bool PayloadWriter::plan() {
  const auto& sources = payload_.sources();
  const std::uint64_t index_size = sources.size() * sizeof(PayloadBuffer) + payload_.head_size();
  std::uint64_t offset = align(sizeof(PayloadHead) + index_size, 8);
  std::uint64_t all = offset;
  for (const Payload::Source& source : sources) all = align(all, 8) + source.size();
  const bool small = all <= inline_limit;
  if (!small) offset = 0;
  for (const Payload::Source& source : sources) {
    Loan* const loan =
        source.writer.is_valid() ? nullptr : Loan::find(source.view.buf, source.size(), stream_.segment());
    if (loan != nullptr && std::find(moved_.begin(), moved_.end(), loan) == moved_.end()) {
      if (loan->was_put()) {
        PyErr_SetString(PyExc_ValueError,
                        "this buffer from allocate was put already and belongs to the process that takes it; "
                        "allocate another, or put a copy");
        return false;
      }
      if (moved_.size() + 1 < most_runs && loan->begin_put()) {
        moved_.push_back(loan);
        moved_size_ += loan->run(0).size;
        // Run 0 is that of what is copied; whether there will be one is not known yet.
        index_.push_back({0, source.size(), static_cast<std::uint32_t>(moved_.size()), 0});
        continue;
      }
    }
    offset = align(offset, small ? 8 : buffer_alignment);
    index_.push_back({offset, source.size(), small ? in_message : 0, 0});
    offset += source.size();
  }
  long_index_ = sizeof(PayloadHead) + index_size > inline_limit;
  if (!small) {
    index_in_run_ = align(offset, 8);
    run_size_ = long_index_ ? index_in_run_ + index_size : offset;
  }
  if (run_size_ == 0) {
    for (PayloadBuffer& each : index_) {
      if (each.run != in_message && each.run != 0) --each.run;
    }
  }
  const PayloadHead head{payload_.codec, static_cast<std::uint32_t>(sources.size()), long_index_ ? 1U : 0U,
                         long_index_ ? index_in_run_ : sizeof(PayloadHead), payload_.head_size()};
  message_.put(&head, sizeof head);
  if (!long_index_) {
    message_.put(index_.data(), index_.size() * sizeof(PayloadBuffer));
    payload_.copy_head(message_.extend(payload_.head_size()));
  }
  if (small && offset > message_.size()) message_.extend(offset - message_.size());
  outgoing_.kind = static_cast<std::uint8_t>(payload_.kind);
  return true;
}

// Writers are Python code and keep the GIL; what they raise is passed on.
bool PayloadWriter::write(std::byte* base) {
  for (std::size_t i = 0; i < index_.size(); ++i) {
    const Payload::Source& source = payload_.sources()[i];
    if (!source.writer.is_valid()) continue;
    // A view that is kept keeps the mapping, and not the pages.
    const nb::object memory = make_memory(std::make_shared<Loan>(stream_.shared_segment(), nullptr, 0),
                                          base + index_[i].offset, source.size());
    const nb::object view = memory.is_valid() ? view_of(memory) : nb::object();
    if (!view.is_valid()) return false;
    const nb::object done = call(source.writer, view);
    if (!done.is_valid()) return false;
    if (!call_method(view, "release").is_valid()) {
      if (PyErr_ExceptionMatches(PyExc_BufferError) == 0) return false;
      PyErr_Clear();  // a part of it was kept: the memory is there as long as the part is
    }
  }
  return true;
}

bool PayloadWriter::fill(int& error) {
  error = 0;
  std::byte* base = message_.data();
  if (run_size_ != 0) {
    const auto fill_run = [&] {
      const Pool::Allocation got = stream_.allocate_run(run_size_, runs_[0]);
      if (got.first == no_page) return got.error;
      has_run_ = true;
      base = stream_.run_data(runs_[0]);
      for (std::size_t i = 0; i < index_.size(); ++i) {
        const Payload::Source& source = payload_.sources()[i];
        if (index_[i].run != 0 || source.writer.is_valid()) continue;
        copy_bytes(base + index_[i].offset, source.view.buf, source.size());
      }
      if (long_index_) {
        const std::size_t records = index_.size() * sizeof(PayloadBuffer);
        copy_bytes(base + index_in_run_, index_.data(), records);
        payload_.copy_head(base + index_in_run_ + records);
      }
      return 0;
    };
    if (run_size_ <= place_with_gil) {
      error = fill_run();
    } else {
      const WithoutGil released;
      error = fill_run();
    }
    if (error != 0) return false;
    outgoing_.run_count = 1;
  } else {
    for (std::size_t i = 0; i < index_.size(); ++i) {
      const Payload::Source& source = payload_.sources()[i];
      if (index_[i].run == in_message && !source.writer.is_valid())
        copy_bytes(base + index_[i].offset, source.view.buf, source.size());
    }
  }
  for (Loan* const loan : moved_) runs_[outgoing_.run_count++] = loan->run(0);
  outgoing_.runs = runs_;
  outgoing_.data = message_.data();
  outgoing_.size = message_.size();
  return write(base);
}

void PayloadWriter::was_put() {
  for (Loan* const loan : moved_) loan->end_put();
  moved_.clear();
  has_run_ = false;
}

}  // namespace conveyor::python
