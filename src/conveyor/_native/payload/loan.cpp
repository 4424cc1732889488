#include "loan.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "../support/errors.hpp"

namespace conveyor::python {
namespace {

// The loans to be put, by where they lie; guarded by the GIL. Never destroyed: it would outlive the interpreter.
std::unordered_map<const void*, Loan*>& fresh_loans() {
  static auto* const loans = new std::unordered_map<const void*, Loan*>;
  return *loans;
}

// The runs that were received, by where they begin; likewise.
struct Received {
  Loan* loan;
  std::uint32_t run;
};
std::map<const std::byte*, Received>& received_runs() {
  static auto* const runs = new std::map<const std::byte*, Received>;
  return *runs;
}

int get_buffer(PyObject* exporter, Py_buffer* view, int flags) {
  const Memory& memory = *nb::inst_ptr<Memory>(exporter);
  return PyBuffer_FillInfo(view, exporter, memory.data, static_cast<Py_ssize_t>(memory.size), 0, flags);
}

}  // namespace

Loan::Loan(std::shared_ptr<Segment> segment, const RunReference* runs, std::uint32_t count)
    : stream_(std::move(segment)), runs_(runs, runs + count), state_(State::received), generation_(fork_generation()) {
  find_places();
  for (std::uint32_t i = 0; i < count; ++i) received_runs()[data(i)] = {this, i};
}

std::shared_ptr<Loan> Loan::borrowed(std::shared_ptr<Segment> segment, const RunReference& run) {
  auto loan = std::make_shared<Loan>(std::move(segment), nullptr, 0);
  loan->runs_ = {run};
  loan->find_places();
  loan->state_ = State::put;
  return loan;
}

Loan::Loan(std::shared_ptr<Segment> segment, const RunReference& run)
    : stream_(std::move(segment)), runs_{run}, state_(State::fresh), generation_(fork_generation()) {
  find_places();
  fresh_loans()[data(0)] = this;
}

void Loan::find_places() {
  for (const RunReference& run : runs_) places_.push_back(stream_.run_data(run));
}

Loan::~Loan() {
  for (std::uint32_t i = 0; i < runs_.size(); ++i) {
    if (state_ == State::received) {
      const auto found = received_runs().find(data(i));
      if (found != received_runs().end() && found->second.loan == this) received_runs().erase(found);
    } else if (const auto found = fresh_loans().find(data(i)); found != fresh_loans().end() && found->second == this) {
      fresh_loans().erase(found);
    }
  }
  if (generation_ != fork_generation()) return;
  for (const RunReference& run : runs_) {
    if (state_ == State::put) {
      stream_.end_lending(run);
    } else {
      stream_.release(run);
    }
  }
}

Loan* Loan::find(const void* data, std::size_t size, const Segment& segment) {
  const auto found = fresh_loans().find(data);
  if (found == fresh_loans().end()) return nullptr;
  Loan* const loan = found->second;
  const bool whole = loan->runs_[0].size == size && &loan->stream_.segment() == &segment;
  return whole && loan->generation_ == fork_generation() ? loan : nullptr;
}

Loan* Loan::find_received(const void* bytes, std::size_t size, std::uint32_t& run, std::uint64_t& offset) {
  const auto* const at = static_cast<const std::byte*>(bytes);
  auto found = received_runs().upper_bound(at);
  if (found == received_runs().begin()) return nullptr;
  --found;
  Loan* const loan = found->second.loan;
  run = found->second.run;
  offset = static_cast<std::uint64_t>(at - found->first);
  const std::uint64_t whole = loan->runs_[run].size;
  const bool inside = offset <= whole && size <= whole - offset;
  return inside && loan->generation_ == fork_generation() ? loan : nullptr;
}

bool Loan::begin_put() {
  if (!stream_.begin_lending(runs_[0])) return false;
  state_ = State::moving;
  return true;
}

void Loan::cancel_put() {
  stream_.cancel_lending(runs_[0]);
  state_ = State::fresh;
}

nb::object make_memory(std::shared_ptr<Loan> loan, std::byte* data, std::size_t size) {
  return nb::cast(Memory{std::move(loan), data, size});
}

nb::object view_of(nb::handle object) { return nb::steal(PyMemoryView_FromObject(object.ptr())); }

namespace {

// Segments of which something was borrowed lately: attaching again for each item would cost more than a copy.
constexpr std::size_t most_kept = 16;
std::vector<std::shared_ptr<Segment>>& kept_segments() {
  static auto* const segments = new std::vector<std::shared_ptr<Segment>>;
  return *segments;
}

void keep_segment(const std::shared_ptr<Segment>& segment) {
  auto& kept = kept_segments();
  const auto found = std::find(kept.begin(), kept.end(), segment);
  if (found != kept.end()) {
    std::rotate(kept.begin(), found, found + 1);
    return;
  }
  if (kept.size() == most_kept) kept.pop_back();
  kept.insert(kept.begin(), segment);
}

struct BufferView {
  Py_buffer view{};
  explicit BufferView(nb::handle object) {
    if (foreign([&] { return PyObject_GetBuffer(object.ptr(), &view, PyBUF_SIMPLE); }) != 0) throw nb::python_error();
  }
  ~BufferView() {
    foreign([this] { PyBuffer_Release(&view); });
  }
  BufferView(const BufferView&) = delete;
};

nb::object where_received(nb::handle buffer) {
  const BufferView held(buffer);
  std::uint32_t run = 0;
  std::uint64_t offset = 0;
  const auto size = static_cast<std::size_t>(held.view.len);
  Loan* const loan = Loan::find_received(held.view.buf, size, run, offset);
  if (loan == nullptr) return nb::none();
  Segment& segment = loan->segment();
  const RunReference& place = loan->run(run);
  segment.pass_on();
  return nb::make_tuple(segment.identity().device, segment.identity().inode, self(), segment.memory_fd(),
                        segment.ready_fd(), place.first, place.pages, offset, held.view.len);
}

nb::object borrow(std::uint64_t device, std::uint64_t inode, OwnerId owner, int memory_fd, int ready_fd,
                  std::uint32_t first, std::uint32_t pages, std::uint64_t offset, std::uint64_t size) {
  std::shared_ptr<Segment> segment;
  try {
    const Identity identity{device, inode};
    segment = Segment::find(identity);
    if (segment == nullptr) segment = Segment::attach_by_hint(identity, {owner, memory_fd, ready_fd});
  } catch (const SegmentError& error) {
    rethrow(error);
  }
  if (segment == nullptr) return raise("SegmentGone", "the process that lent this buffer has ended");
  const std::uint64_t room = std::uint64_t{pages} * page_size;
  if (first >= segment->page_count() || pages > segment->page_count() - first || offset > room || size > room - offset)
    return raise("CorruptSegment", "a borrowed buffer does not lie within its segment");
  switch (segment->reach(first, pages)) {
    case Reach::ok: break;
    case Reach::no_memory: return raise("OutOfMemory", "no address space for a borrowed buffer (see ulimit -v)");
    case Reach::corrupt: return raise("CorruptSegment", "a borrowed buffer lies where no item ever did");
  }
  keep_segment(segment);
  const RunReference run{first, pages, room};
  std::byte* const data = segment->page(first) + offset;
  if (Stream(segment).borrow(run, owner)) return make_memory(Loan::borrowed(segment, run), data, size);
  // Somebody else looks at it already. Its owner keeps it until it hears of the item, so that it can be copied.
  return nb::steal(PyByteArray_FromStringAndSize(reinterpret_cast<const char*>(data), static_cast<Py_ssize_t>(size)));
}

}  // namespace

void bind_loans(nb::module_& module) {
  using namespace nb::literals;
  module.def("where_received", &where_received, "buffer"_a);
  module.def("borrow", &borrow, "device"_a, "inode"_a, "owner"_a, "memory_fd"_a, "ready_fd"_a, "first"_a, "pages"_a,
             "offset"_a, "size"_a);
  static PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)}, {0, nullptr}};
  nb::class_<Memory>(module, "Memory", nb::type_slots(slots)).def("__len__", [](const Memory& self) {
    return self.size;
  });
}

}  // namespace conveyor::python
