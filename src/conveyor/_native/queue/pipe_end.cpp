#include "pipe_end.hpp"

#include <cerrno>
#include <nanobind/stl/shared_ptr.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "conveyor/base/owner.hpp"

namespace conveyor::python {

namespace nb = nanobind;

namespace {

// Of this process; gone with the last who waits. Under the GIL.
std::weak_ptr<WakeUp> current;
std::uint32_t current_in = 0;  // the fork generation that made it

}  // namespace

WakeUp::WakeUp() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

WakeUp::~WakeUp() {
  if (fd_ >= 0) ::close(fd_);
}

void WakeUp::all() {
  const std::uint64_t one = 1;
  while (fd_ >= 0 && write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

std::shared_ptr<WakeUp> PipeEnd::wake_up() {
  auto known = current_in == fork_generation() ? current.lock() : nullptr;
  if (known == nullptr) {
    known = std::make_shared<WakeUp>();
    current = known;
    current_in = fork_generation();
  }
  return known;
}

void PipeEnd::forget_parents_calls() {
  if (generation_ == fork_generation()) return;
  generation_ = fork_generation();
  calls_ = 0;
}

void PipeEnd::close() {
  if (closed_) return;
  forget_parents_calls();
  closed_ = true;
  if (calls_ == 0) {
    ::close(fd_);
    return;
  }
  if (current_in != fork_generation()) return;
  const auto waiting = current.lock();
  current.reset();
  if (waiting != nullptr) waiting->all();
}

PipeUse::PipeUse(const std::shared_ptr<PipeEnd>& end) {
  if (end == nullptr) return;
  if (end->closed()) {
    raise_closed_handle();
    fine_ = false;
    return;
  }
  end->forget_parents_calls();
  ++end->calls_;
  generation_ = end->generation_;
  end_ = end;
}

PipeUse::~PipeUse() {
  if (end_ == nullptr || generation_ != end_->generation_) return;
  if (--end_->calls_ == 0 && end_->closed()) ::close(end_->fd());
}

void raise_closed_handle() { PyErr_SetString(PyExc_OSError, "handle is closed"); }

void bind_pipe_end(nb::module_& module) {
  nb::class_<PipeEnd>(module, "PipeEnd").def(nb::init<int>(), nb::arg("fd")).def("close", &PipeEnd::close);
}

}  // namespace conveyor::python
