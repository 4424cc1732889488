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

bool is_file(const struct stat& found, const Identity& wanted) {
  return static_cast<std::uint64_t>(found.st_dev) == wanted.device &&
         static_cast<std::uint64_t>(found.st_ino) == wanted.inode;
}

// The path of the pipe in this process, if it has the memory open as well: who writes the header is not to lead us, who may
// be root, to a pipe that has to do with something else.
bool find_in(const char* pid, const Identity& memory, const Identity& pipe, char (&path)[64]) {
  char name[64];
  std::snprintf(name, sizeof name, "/proc/%.16s/fd", pid);
  const Folder descriptors(opendir(name));
  bool has_memory = false, has_pipe = false;
  while (descriptors != nullptr && !(has_memory && has_pipe)) {
    const dirent* const descriptor = readdir(descriptors.get());
    if (descriptor == nullptr) break;
    if (!is_number(descriptor->d_name)) continue;
    std::snprintf(name, sizeof name, "/proc/%.16s/fd/%.16s", pid, descriptor->d_name);
    // Looked at, not opened: to open what is something else might change something.
    struct stat found{};
    if (stat(name, &found) != 0) continue;
    if (is_file(found, memory)) has_memory = true;
    if (S_ISFIFO(found.st_mode) && is_file(found, pipe)) {
      has_pipe = true;
      std::snprintf(path, sizeof path, "%s", name);
    }
  }
  return has_memory && has_pipe;
}

}  // namespace

int Segment::open_ready_elsewhere() const {
  // relaxed: `watched` or the look before has made it known
  const Identity pipe{header_->ready_device.load(relaxed), header_->ready_inode.load(relaxed)};
  const Folder processes(pipe.inode == 0 ? nullptr : opendir("/proc"));
  const long me = getpid();
  while (processes != nullptr) {
    const dirent* const process = readdir(processes.get());
    if (process == nullptr) break;
    char path[64];
    if (!is_number(process->d_name) || std::atol(process->d_name) == me) continue;
    if (!find_in(process->d_name, identity_, pipe, path)) continue;
    const int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat found{};
    if (fstat(fd, &found) == 0 && is_file(found, pipe)) return fd;
    close(fd);
  }
  errno = ENOENT;
  return -1;
}

}  // namespace conveyor
