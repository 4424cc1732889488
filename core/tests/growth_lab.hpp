// For tests of what is mapped: how much that is, and a process that may map hardly more.
#pragma once

#include <doctest/doctest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace growth {

// Bytes of address space that this process has taken.
inline std::uint64_t addresses() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  unsigned long long pages = 0;
  if (file == nullptr || std::fscanf(file, "%llu", &pages) != 1) FAIL("no /proc/self/statm");
  std::fclose(file);
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// For as long as it lives, the process may take so much more and nothing beyond.
class Limited {
 public:
  explicit Limited(std::uint64_t more) {
    // What the test and a check of the queue allocate is there already.
    mallopt(M_MMAP_THRESHOLD, 1 << 22);
    mallopt(M_TRIM_THRESHOLD, 1 << 22);
    void* volatile room = std::malloc(1 << 20);
    std::free(room);
    getrlimit(RLIMIT_AS, &before_);
    const rlimit now{addresses() + more, before_.rlim_max};
    setrlimit(RLIMIT_AS, &now);
  }
  ~Limited() { setrlimit(RLIMIT_AS, &before_); }
  Limited(const Limited&) = delete;

 private:
  rlimit before_{};
};

// A process that does `work` when it is told to, and says by its exit status whether all was well; it has what this one
// has mapped when it is made.
class Other {
 public:
  template <class Work>
  explicit Other(Work work) {
    REQUIRE(pipe(told_) == 0);
    pid_ = fork();
    if (pid_ != 0) return;
    char byte = 0;
    const bool go = read(told_[0], &byte, 1) == 1;
    _exit(go && work() ? 0 : 1);
  }
  Other(const Other&) = delete;
  ~Other() { finish(); }
  bool run() {
    char byte = 1;
    return write(told_[1], &byte, 1) == 1 && finish();
  }

 private:
  bool finish() {
    if (pid_ <= 0) return false;
    close(told_[0]);
    close(told_[1]);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  int told_[2] = {-1, -1};
  pid_t pid_ = -1;
};

}  // namespace growth
