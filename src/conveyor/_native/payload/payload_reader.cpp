// The way out: buffers stay where they lie, lent to the object that is made.
#include <cstring>

#include "../support/deadline.hpp"
#include "../support/errors.hpp"
#include "payload.hpp"
#include "pickling.hpp"
#include "unreadable.hpp"

namespace conveyor::python {
namespace {

// Copying this takes longer than letting others run meanwhile.
constexpr std::size_t unpack_with_gil = 16 * 1024;

struct Index {
  PayloadHead head;
  std::vector<PayloadBuffer> buffers;
  const std::byte* content;  // the head's bytes
};

bool fits(std::uint64_t offset, std::uint64_t size, std::uint64_t limit) {
  return offset <= limit && size <= limit - offset;
}

// Copies what it checks: another process might change it in between.
bool read_index(const Stream& stream, const Taken& taken, Index& into) {
  if (taken.size < sizeof into.head) return false;
  std::memcpy(&into.head, taken.data, sizeof into.head);
  const bool in_run = into.head.index_in_run != 0;
  if (in_run && taken.run_count == 0) return false;
  const std::byte* const base = in_run ? taken.run_data(stream, 0) : taken.data;
  const std::uint64_t limit = in_run ? taken.runs[0].size : taken.size;
  const std::uint64_t records = std::uint64_t{into.head.buffers} * sizeof(PayloadBuffer);
  if (!fits(into.head.index_offset, records, limit)) return false;
  if (!fits(into.head.index_offset + records, into.head.head_size, limit)) return false;
  into.buffers.resize(into.head.buffers);
  copy_bytes(into.buffers.data(), base + into.head.index_offset, records);
  into.content = base + into.head.index_offset + records;
  std::uint64_t left = taken.size;  // together no more than there is: they do not overlap
  for (std::uint32_t i = 0; i < taken.run_count; ++i) left += taken.runs[i].size;
  for (const PayloadBuffer& each : into.buffers) {
    if (each.size > left) return false;
    left -= each.size;
    if (each.run != in_message && each.run >= taken.run_count) return false;
    if (!fits(each.offset, each.size, each.run == in_message ? taken.size : taken.runs[each.run].size)) return false;
  }
  return true;
}

class PayloadReader {
 public:
  PayloadReader(Stream& stream, const Taken& taken) : stream_(stream), taken_(taken) {}
  ~PayloadReader() {
    if (loan_ != nullptr || taken_.leased) return;
    for (std::uint32_t i = 0; i < taken_.run_count; ++i) stream_.release(taken_.runs[i]);
  }
  PayloadReader(const PayloadReader&) = delete;

  nb::object run(nb::handle codec) {
    Index index;
    if (!read_index(stream_, taken_, index))
      return raise("CorruptSegment", "an item in the queue is damaged: its parts do not lie within it");
    std::uint64_t size = 0;
    for (std::uint32_t i = 0; i < taken_.run_count; ++i) size += taken_.runs[i].size;
    if (!taken_.leased && size >= least_lent && stream_.lend(taken_.runs, taken_.run_count)) borrow();
    const nb::object buffers = nb::steal(PyList_New(static_cast<Py_ssize_t>(index.buffers.size())));
    if (!buffers.is_valid()) return {};
    for (std::size_t i = 0; i < index.buffers.size(); ++i) {
      nb::object buffer = make_buffer(index.buffers[i]);
      if (buffer.is_valid() && codec.is_valid()) buffer = view_of(buffer);
      if (!buffer.is_valid()) return {};
      PyList_SET_ITEM(buffers.ptr(), static_cast<Py_ssize_t>(i), buffer.release().ptr());
    }
    const auto head_size = static_cast<Py_ssize_t>(index.head.head_size);
    auto* const content = const_cast<char*>(reinterpret_cast<const char*>(index.content));
    if (!codec.is_valid()) {
      const nb::object pickle = nb::steal(PyMemoryView_FromMemory(content, head_size, PyBUF_READ));
      return pickle.is_valid() ? nb::steal(unpickle(pickle.ptr(), buffers.ptr(), taken_.reading())) : nb::object();
    }
    // The codec may keep what it likes: the header is a copy.
    const nb::object bytes = nb::steal(PyBytes_FromStringAndSize(content, head_size));
    const nb::object header = bytes.is_valid() ? view_of(bytes) : nb::object();
    if (!header.is_valid()) return {};
    return call_method(codec, "loads", header, buffers);
  }

 private:
  void borrow() { loan_ = std::make_shared<Loan>(stream_.shared_segment(), taken_.runs, taken_.run_count); }

  nb::object make_buffer(const PayloadBuffer& place) {
    const bool inside = place.run == in_message;
    if (inside || loan_ == nullptr) {
      // Not made in its size at once: without memory for that, CPython frees a half-made one and complains.
      const nb::object copy = nb::steal(PyByteArray_FromStringAndSize(nullptr, 0));
      if (copy.is_valid() && PyByteArray_Resize(copy.ptr(), static_cast<Py_ssize_t>(place.size)) == 0) {
        char* const to = PyByteArray_AS_STRING(copy.ptr());
        const std::byte* const from = (inside ? taken_.data : taken_.run_data(stream_, place.run)) + place.offset;
        if (place.size <= unpack_with_gil) {
          copy_bytes(to, from, place.size);
        } else {
          const WithoutGil released;
          copy_bytes(to, from, place.size);
        }
        return copy;
      }
      if (inside || taken_.leased || PyErr_ExceptionMatches(PyExc_MemoryError) == 0) return {};
      // No memory for a copy: then it stays where it is, whatever the others may say. It is not lost.
      PyErr_Clear();
      stream_.lend_anyway(taken_.runs, taken_.run_count);
      borrow();
    }
    return make_memory(loan_, loan_->data(place.run) + place.offset, place.size);
  }

  Stream& stream_;
  const Taken& taken_;
  std::shared_ptr<Loan> loan_;
};

}  // namespace

nb::object unpack(Stream& stream, const Taken& taken, nb::handle codec) {
  PayloadReader reader(stream, taken);
  nb::object object = reader.run(codec);
  if (!object.is_valid()) keep_bytes(stream, taken);  // the runs are there as long as `reader`
  return object;
}

void keep_bytes(const Stream& stream, const Taken& taken) {
  const Piece whole{taken.data, taken.size};
  if (taken.kind != Kind::buffers && taken.kind != Kind::custom) {
    keep_bytes(taken.sender, taken.kind,
               taken.run_count == 0 ? whole : Piece{taken.run_data(stream, 0), taken.runs[0].size});
    return;
  }
  Index index;
  std::vector<Piece> buffers;
  if (!read_index(stream, taken, index)) return keep_bytes(taken.sender, taken.kind, whole);
  for (const PayloadBuffer& each : index.buffers) {
    const std::byte* const from = each.run == in_message ? taken.data : taken.run_data(stream, each.run);
    buffers.push_back({from + each.offset, each.size});
  }
  keep_bytes(taken.sender, taken.kind, {index.content, index.head.head_size}, buffers);
}

}  // namespace conveyor::python
