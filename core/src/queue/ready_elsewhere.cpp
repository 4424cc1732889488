// A ready descriptor that was not handed over.
#include "conveyor/queue/segment.hpp"

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace conveyor {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

bool is_number(const char* name) { return std::isdigit(static_cast<unsigned char>(*name)) != 0; }

int open_if_it_is(const char* path, const Identity& wanted) {
  const auto is_it = [&](const struct stat& found) {
    return S_ISFIFO(found.st_mode) && static_cast<std::uint64_t>(found.st_dev) == wanted.device &&
           static_cast<std::uint64_t>(found.st_ino) == wanted.inode;
  };
  // Looked at first: to open a descriptor that is something else might change something.
  struct stat found{};
  if (stat(path, &found) != 0 || !is_it(found)) return -1;
  const int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  if (fstat(fd, &found) == 0 && is_it(found)) return fd;
  close(fd);
  return -1;
}

}  // namespace

int Segment::open_ready_elsewhere(const Identity& identity) {
  const Folder processes(identity.inode == 0 ? nullptr : opendir("/proc"));
  const long me = getpid();
  while (processes != nullptr) {
    const dirent* const process = readdir(processes.get());
    if (process == nullptr) break;
    char path[64];
    if (!is_number(process->d_name) || std::atol(process->d_name) == me) continue;
    std::snprintf(path, sizeof path, "/proc/%.16s/fd", process->d_name);
    const Folder descriptors(opendir(path));
    while (descriptors != nullptr) {
      const dirent* const descriptor = readdir(descriptors.get());
      if (descriptor == nullptr) break;
      if (!is_number(descriptor->d_name)) continue;
      std::snprintf(path, sizeof path, "/proc/%.16s/fd/%.16s", process->d_name, descriptor->d_name);
      if (const int fd = open_if_it_is(path, identity); fd >= 0) return fd;
    }
  }
  errno = ENOENT;
  return -1;
}

}  // namespace conveyor
