#include "conveyor/queue/ready.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conveyor/base/kill_point.hpp"

namespace conveyor {

bool Ready::lock() { return segment_.ready_patience.acquire(segment_.header().ready_lock) != Locked::busy; }

void Ready::raise() {
  Atomic<std::uint32_t>& raised = segment_.header().ready_raised;
  if (raised.load(relaxed) != 0) return;  // relaxed: ready_lock orders it
  const char token = 1;
  const int fd = fd_ >= 0 ? fd_ : segment_.ready_fd();
  if (fd < 0) return;  // out of reach: the next that puts tells it
  ssize_t sent;
  do {
    sent = socket_ ? send(fd, &token, 1, MSG_DONTWAIT | MSG_NOSIGNAL) : write(fd, &token, 1);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno == EBADF && fd_ < 0) {  // this process has closed its writing end, and has something to tell
    if (const int other = segment_.open_ready_for_writing(); other >= 0) {
      sent = write(other, &token, 1);
      close(other);
    }
  }
  CONVEYOR_KILL_POINT("ready.token-written");
  raised.store(1, relaxed);  // after the write: a crash between leaves one token too many
}

void Ready::lower() {
  if (fd_ < 0 && segment_.has_closed(Segment::PipeSide::reading)) return;  // we cannot take it out
  segment_.header().ready_raised.store(0, relaxed);  // before the read, for the same reason
  CONVEYOR_KILL_POINT("ready.before-drain");
  char tokens[64];
  const int fd = fd_ >= 0 ? fd_ : segment_.ready_fd();
  ssize_t got;
  do {
    // A socket may be shared with code that blocks on it (send_handle), so it stays blocking.
    got = socket_ ? recv(fd, tokens, sizeof tokens, MSG_DONTWAIT) : read(fd, tokens, sizeof tokens);
  } while (got == static_cast<ssize_t>(sizeof tokens) || (got < 0 && errno == EINTR));
}

void Ready::use_descriptor(int fd) {
  struct stat found{};
  fd_ = fd;
  socket_ = fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

bool Ready::start_watching(bool empty) {
  if (!lock()) return false;
  // sync point "watched": release here, acquire in watched(). Both locks are held, so every later
  // operation sees it by their hand-over anyway.
  segment_.header().watched.store(1, release);
  if (empty) {
    lower();
  } else {
    raise();
  }
  unlock();
  return true;
}

bool Ready::begin_put() {
  if (!lock()) return false;
  raise();
  return true;
}

void Ready::end_put() { unlock(); }

}  // namespace conveyor
