// The descriptor of one end of a pipe: closed only when no call is in it any more.
//
// A thread may close a Connection while another is in a call on it. The number must then stand for nothing else until
// that call is over, or the call would read what some other file brings. So `close` only marks the end as closed and
// wakes those that wait in it; the last call that leaves closes the descriptor. All under the GIL, but for the waiting.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>

namespace conveyor::python {

// Becomes readable once, for all who wait beside it: a new one is made for those who wait later.
class WakeUp {
 public:
  WakeUp();
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;
  int fd() const { return fd_; }  // -1: there is none to be had
  void all();

 private:
  int fd_;
};

class PipeEnd {
 public:
  explicit PipeEnd(int fd) : fd_(fd) {}
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;

  int fd() const { return fd_; }
  bool closed() const { return closed_; }
  void close();
  // What to poll beside the descriptor.
  std::shared_ptr<WakeUp> wake_up();

 private:
  friend class PipeUse;
  void forget_parents_calls();

  const int fd_;
  bool closed_ = false;
  std::uint32_t calls_ = 0;
  std::uint32_t generation_ = 0;  // the fork generation that these calls are of
};

// For the length of a call on a channel, which may have no pipe. False: it is closed, and OSError is set.
class PipeUse {
 public:
  explicit PipeUse(const std::shared_ptr<PipeEnd>& end);
  ~PipeUse();
  PipeUse(const PipeUse&) = delete;
  PipeUse& operator=(const PipeUse&) = delete;
  explicit operator bool() const { return fine_; }

 private:
  std::shared_ptr<PipeEnd> end_;  // null: nothing to be done
  std::uint32_t generation_ = 0;
  bool fine_ = true;
};

// OSError, as multiprocessing's.
void raise_closed_handle();

void bind_pipe_end(nanobind::module_& module);

}  // namespace conveyor::python
