#include "loan.hpp"

#include <unordered_map>

namespace conveyor::python {
namespace {

// The loans to be put, by where they lie; guarded by the GIL. Never destroyed: it would outlive the interpreter.
std::unordered_map<const void*, Loan*>& fresh_loans() {
  static auto* const loans = new std::unordered_map<const void*, Loan*>;
  return *loans;
}

int get_buffer(PyObject* exporter, Py_buffer* view, int flags) {
  const Memory& memory = *nb::inst_ptr<Memory>(exporter);
  return PyBuffer_FillInfo(view, exporter, memory.data, static_cast<Py_ssize_t>(memory.size), 0, flags);
}

}  // namespace

Loan::Loan(std::shared_ptr<Segment> segment, const RunReference* runs, std::uint32_t count)
    : stream_(std::move(segment)), runs_(runs, runs + count), state_(State::received), generation_(fork_generation()) {}

Loan::Loan(std::shared_ptr<Segment> segment, const RunReference& run)
    : stream_(std::move(segment)), runs_{run}, state_(State::fresh), generation_(fork_generation()) {
  fresh_loans()[data(0)] = this;
}

Loan::~Loan() {
  if (state_ != State::received) fresh_loans().erase(data(0));
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

void bind_loans(nb::module_& module) {
  static PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)}, {0, nullptr}};
  nb::class_<Memory>(module, "Memory", nb::type_slots(slots)).def("__len__", [](const Memory& self) {
    return self.size;
  });
}

}  // namespace conveyor::python
