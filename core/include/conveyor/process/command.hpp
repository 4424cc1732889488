// A program as a child process: started without a copy of this one, watched, and its output collected.
//
// The child is made by clone with the parent's memory (as vfork does), so that it costs the same however large this
// process is, and other threads go on meanwhile. It leads a session of its own: keys typed at our terminal do not reach
// it, it cannot stop because it reads from there, and one signal to its group ends it with all that it has started. If
// the thread that runs it dies, so does it.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>

#include "conveyor/base/deadline.hpp"

namespace conveyor {

struct CommandLine {
  const char* path;  // of the program; not looked up
  char* const* arguments;  // ends with a null
  char* const* environment;  // ends with a null
};

struct CommandRules {
  Nanoseconds most_time = forever;  // then it is ended
  Nanoseconds grace = 0;  // from SIGTERM to SIGKILL
  std::size_t most_memory = 0;  // bytes of each stream; beyond, the whole stream is spooled
  bool inherits_output = false;  // it writes to our own standard output and error
  int cancel_fd = -1;  // ended when this becomes readable
  const char* spool_folder = nullptr;  // where a file without a name takes what is too much for memory
};

struct CommandStream {
  std::string data;  // empty if spooled
  int spool = -1;  // a descriptor, for the caller to close; -1: none
  std::int64_t spooled = 0;  // bytes there
};

struct CommandResult {
  int start_error = 0;  // errno: it was not started
  int spool_error = 0;  // errno: its output could not be kept, and it was ended
  int status = 0;  // as of waitpid
  bool timed_out = false;
  bool cancelled = false;
  Nanoseconds took = 0;
  rusage usage{};
  CommandStream out, err;
};

// Runs it to its end. What others that it leaves behind still write is not waited for.
CommandResult run_command(const CommandLine& line, const CommandRules& rules);

}  // namespace conveyor
