#include "shared_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <utility>

namespace conveyor {
namespace {

constexpr const char* directory = "/dev/shm/";
constexpr const char* prefix = "conveyor.";

// Closes what an exception leaves open.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { reset(-1); }
  void reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

std::uint64_t soft_limit(int resource) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return UINT64_MAX;
  return limit.rlim_cur;
}

void fail(const std::string& what, int error) {
  Fault fault = Fault::system;
  if (error == ENOMEM || error == ENOSPC || error == EFBIG) fault = Fault::memory;
  if (error == EEXIST) fault = Fault::exists;
  if (error == ENOENT) fault = Fault::missing;
  if (error == EACCES || error == EPERM) fault = Fault::denied;
  const char* limit = "";
  if (error == EFBIG && soft_limit(RLIMIT_FSIZE) != UINT64_MAX) limit = " (see ulimit -f)";
  if (error == EMFILE) limit = " (see ulimit -n)";
  if (error == ENFILE) limit = " (see sysctl fs.file-max)";
  throw SegmentError(fault, error, what + ": " + std::strerror(error) + limit);
}

void fail_corrupt(const std::string& what) {
  throw SegmentError(Fault::corrupt, 0, "not a sound conveyor segment: " + what);
}

std::string another_namespace(const std::string& name) {
  std::string text = "another pid namespace (container): its processes cannot be told apart from here";
  if (!name.empty()) text += "; if none of them is left, conveyor rm shm://" + name + " removes it";
  return text;
}

std::string named_path(const std::string& name) { return directory + (prefix + name); }

Identity identity_of(int fd) {
  struct stat found{};
  if (fstat(fd, &found) != 0) fail("cannot look at the shared memory", errno);
  return {static_cast<std::uint64_t>(found.st_dev), static_cast<std::uint64_t>(found.st_ino)};
}

int make_anonymous_file(const std::string& what) {
  const int fd = memfd_create("conveyor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) fail("cannot create shared memory (memfd_create) for " + what, errno);
  return fd;
}

int size_file(int fd, std::uint64_t size) {
  if (size > soft_limit(RLIMIT_FSIZE)) return EFBIG;
  return ftruncate(fd, static_cast<off_t>(size)) == 0 ? 0 : errno;
}

void seal_size(int fd) { fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); }

int make_nameless_file(const std::string& what) {
  const int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) fail("cannot create a file in /dev/shm for " + what, errno);
  return fd;
}

void give_name(int fd, const std::string& name, const std::string& what) {
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const std::string path = named_path(name);
  if (linkat(AT_FDCWD, link, AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return;
  if (errno != ENOENT) fail("cannot create " + what, errno);
  // There is no /proc. Older systems (before Linux 6.10) let only the privileged do without.
  if (linkat(fd, "", AT_FDCWD, path.c_str(), AT_EMPTY_PATH) == 0) return;
  if (errno != ENOENT) fail("cannot create " + what, errno);
  fail("cannot create " + what + " without /proc (mount -t proc proc /proc)", ENOENT);
}

int open_named_file(const std::string& name, const std::string& what) {
  OwnedFd fd(open(named_path(name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) {
    const int error = errno;
    if (error == ELOOP || error == EISDIR || error == ENXIO || error == ENODEV) fail_corrupt("it is no regular file");
    fail("cannot open " + what, error);
  }
  struct stat found{};
  if (fstat(fd.get(), &found) != 0) fail("cannot look at " + what, errno);
  if (found.st_uid != geteuid()) throw SegmentError(Fault::denied, EACCES, what + " belongs to another user");
  if (!hold_file(fd.get(), what)) fail(what + " was removed", ENOENT);
  return fd.release();
}

void remove_named_file(const std::string& name, const std::string& what) {
  const std::string path = named_path(name);
  OwnedFd held(-1);  // until the end: a collector that is about to remove the same must not meet a new one there
  do {
    held.reset(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  } while (held.get() >= 0 && !hold_file(held.get(), what));
  if (unlink(path.c_str()) != 0) fail("cannot remove " + what, errno);
  const std::string ready = path + ".ready";
  if (unlink(ready.c_str()) != 0 && errno == EISDIR) rmdir(ready.c_str());
}

bool hold_file(int fd, const std::string& what) {
  constexpr int most_tries = 1000;
  constexpr timespec millisecond{0, 1'000'000};
  for (int tries = 0; flock(fd, LOCK_SH | LOCK_NB) != 0;) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) break;  // no such locks here: then the collector gets none either
    if (++tries == most_tries) fail(what + " is just being removed, by a process that has stopped", EAGAIN);
    nanosleep(&millisecond, nullptr);
  }
  struct stat found{};
  return fstat(fd, &found) != 0 || found.st_nlink != 0;
}

int open_through_process(const Identity& identity, OwnerId owner, int fd) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%u/fd/%d", owner_pid(owner), fd);
  // Looked at first: opening a descriptor that is not ours any more might change something.
  struct stat found{};
  if (stat(path, &found) != 0) return -1;
  const auto is_it = [&] {
    return static_cast<std::uint64_t>(found.st_dev) == identity.device &&
           static_cast<std::uint64_t>(found.st_ino) == identity.inode;
  };
  if (!is_it()) return -1;
  OwnedFd opened(open(path, O_RDWR | O_CLOEXEC));
  if (opened.get() < 0 || fstat(opened.get(), &found) != 0 || !is_it()) return -1;
  return opened.release();
}

std::byte* try_to_map(int fd, std::uint64_t offset, std::uint64_t size, int& error) {
  void* const at =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, static_cast<off_t>(offset));
  if (at == MAP_FAILED) {
    error = errno;
    return nullptr;
  }
  madvise(at, size, MADV_DONTDUMP);  // a core dump need not walk what is sparse
  return static_cast<std::byte*>(at);
}

int reserve_in_file(int fd, std::uint64_t offset, std::uint64_t size) {
  for (;;) {
    if (fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(size)) == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

void populate([[maybe_unused]] std::byte* at, [[maybe_unused]] std::uint64_t size) {
#ifdef MADV_POPULATE_WRITE
  madvise(at, size, MADV_POPULATE_WRITE);
#endif
}

void give_back_in_file(int fd, std::uint64_t offset, std::uint64_t size) {
  while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                   static_cast<off_t>(size)) != 0 &&
         errno == EINTR) {
  }
}

std::uint64_t memory_of_file(int fd) {
  struct stat found{};
  return fstat(fd, &found) == 0 ? static_cast<std::uint64_t>(found.st_blocks) * 512 : 0;
}

}  // namespace conveyor
