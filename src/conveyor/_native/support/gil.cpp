#include "gil.hpp"

#include <csignal>
#include <pthread.h>
#include <unistd.h>

namespace conveyor::python {
namespace {

bool forked_inside = false;  // written by the only thread of a process that was forked just now

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { forked_inside = foreign_calls != 0; });

}  // namespace

bool was_forked_inside_call() { return forked_inside; }

void stay() noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  for (;;) pause();
}

}  // namespace conveyor::python
