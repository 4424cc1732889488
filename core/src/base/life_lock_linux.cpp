#include "life_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "conveyor/base/atomic.hpp"

namespace conveyor::life {
namespace {

constexpr const char* path = "/dev/zero";
constexpr unsigned zero_major = 1, zero_minor = 5;  // of the device, in every Linux
constexpr std::size_t page = 4096;
constexpr int first_free = 3;  // 0 to 2 are the standard streams', also where they are closed

struct File {
  std::uint64_t device = 0, inode = 0;
  bool operator==(const File&) const = default;
};

// Guards the two below, and keeps a fork from coming between the steps of `take`: the child would inherit them.
std::mutex mutex;
int eye = -1;  // never has a lock, so that it may be shared with forked children
File seen;     // what was first found there: all that was written down is by locks on that one

bool is_zero(int fd, File& file) {
  struct stat found{};
  if (fd < 0 || fstat(fd, &found) != 0) return false;
  file = {static_cast<std::uint64_t>(found.st_dev), static_cast<std::uint64_t>(found.st_ino)};
  return S_ISCHR(found.st_mode) && found.st_rdev == makedev(zero_major, zero_minor);
}

// The program may have closed the number that we had, and given it to something else.
bool is_ours(int fd) {
  File file;
  return is_zero(fd, file) && file == seen;
}

// A descriptor of its own; -1 if the file is not there, or is another than it was.
int open_file() {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd >= 0 && fd < first_free) {
    const int higher = fcntl(fd, F_DUPFD_CLOEXEC, first_free);
    close(fd);
    fd = higher;
  }
  File file;
  if (fd < 0) return fd;
  if (!is_zero(fd, file) || (seen != File{} && file != seen)) {
    close(fd);
    errno = ENODEV;
    return -1;
  }
  seen = file;
  return fd;
}

void open_eye_locked() {
  if (!is_ours(eye)) eye = open_file();
}

struct flock at(std::uint64_t number) {
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(number);
  range.l_len = 1;
  return range;
}

Look look_through(int fd, std::uint64_t number) {
  struct flock range = at(number);
  while (fcntl(fd, F_OFD_GETLK, &range) != 0) {
    if (errno != EINTR) return Look::unknown;
  }
  return range.l_type == F_UNLCK ? Look::free : Look::held;
}

// A mapping that holds the description of `fd`, or null.
void* map(int fd) {
  void* const held = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  if (held == MAP_FAILED) return nullptr;
  if (madvise(held, page, MADV_DONTFORK) == 0) return held;
  munmap(held, page);
  return nullptr;
}

}  // namespace

void think_of_forks() {
  pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); }, [] { mutex.unlock(); });
}

void open_eye() {
  const std::lock_guard guard(mutex);
  open_eye_locked();
}

std::uint32_t place() {
  const std::lock_guard guard(mutex);
  open_eye_locked();
  if (seen == File{}) return 0;
  const std::uint64_t mixed = (seen.device * 0x9e3779b97f4a7c15ULL) ^ (seen.inode * 0xc2b2ae3d27d4eb4fULL);
  const auto hash = static_cast<std::uint32_t>(mixed >> 52);
  return hash == 0 ? 1 : hash;
}

bool take(std::uint64_t number) {
  const std::lock_guard guard(mutex);
  open_eye_locked();
  int fd = open_file();
  if (fd < 0 && (errno == EMFILE || errno == ENFILE) && is_ours(eye)) {
    close(eye);  // the last one that there is to be had; it is opened again below
    eye = -1;
    fd = open_file();
  }
  void* held = nullptr;
  if (fd >= 0) {
    struct flock range = at(number);
    if (fcntl(fd, F_OFD_SETLK, &range) == 0) held = map(fd);
    close(fd);
  }
  open_eye_locked();
  // A system that ends such locks with the last descriptor would make us look dead.
  const bool taken = held != nullptr && look_through(eye, number) == Look::held;
  if (!taken && held != nullptr) munmap(held, page);
  return taken;
}

Look look(std::uint64_t number) {
  const std::lock_guard guard(mutex);
  open_eye_locked();
  if (eye < 0) return Look::unknown;
  const Look found = look_through(eye, number);
  // It is an answer only if the number still stood for our file, whatever the program's other threads do.
  return is_ours(eye) ? found : Look::unknown;
}

}  // namespace conveyor::life
