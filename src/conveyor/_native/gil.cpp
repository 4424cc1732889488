#include "gil.hpp"

#include <csignal>
#include <unistd.h>

namespace conveyor::python {

void stay() noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  for (;;) pause();
}

}  // namespace conveyor::python
