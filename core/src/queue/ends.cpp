// The ends of a queue as a pipe has them: who may still write, who may still read.
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "conveyor/queue/segment.hpp"

namespace conveyor {
namespace {

int open_again(int fd, int how) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int fresh;
  do {
    fresh = open(path, how | O_NONBLOCK | O_CLOEXEC);
  } while (fresh < 0 && errno == EINTR);
  return fresh;
}

}  // namespace

// The number stays the same. Where the system does not open it again (no /proc, another user's), the end stays open,
// and nobody is told of its end.
void Segment::close_end(PipeSide which) {
  if (!name_.empty() || has_closed(which)) return;
  const int fd = ready_fd();
  if (fd < 0) return;
  const std::uint32_t closed = closed_ends_.load(relaxed) | static_cast<std::uint32_t>(which);
  const bool both = has_closed(which == PipeSide::reading ? PipeSide::writing : PipeSide::reading);
  // O_PATH: a number, to be found by those who are sent the queue, and no end of the pipe.
  const int fresh = open_again(fd, both ? O_PATH : which == PipeSide::writing ? O_RDONLY : O_WRONLY);
  if (fresh < 0) return;
  if (dup3(fresh, fd, O_CLOEXEC) == fd) closed_ends_.store(closed, relaxed);
  close(fresh);
}

bool Segment::is_gone(PipeSide which) const {
  if (!has_closed(which)) return false;
  const PipeSide ours = which == PipeSide::reading ? PipeSide::writing : PipeSide::reading;
  if (has_closed(ours)) return false;  // we have no end to ask at
  pollfd look{ready_fd_.load(relaxed), 0, 0};
  return poll(&look, 1, 0) > 0 && (look.revents & (POLLERR | POLLHUP)) != 0;
}

int Segment::open_ready_for_writing() const { return open_again(ready_fd_.load(relaxed), O_WRONLY); }

}  // namespace conveyor
