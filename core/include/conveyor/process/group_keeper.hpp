// Ends the process groups of commands when the process that runs them is gone, however it went.
//
// The keeper is a process that shares this one's memory (clone without a copy), and so can read, after this process's
// end, which groups there were. It has no descriptor but one that tells of that end, is deaf to signals, and makes
// nothing but system calls.
#pragma once

#include <sys/types.h>

#include "conveyor/base/atomic.hpp"

namespace conveyor {

// A place where the keeper sees a group: 0 nobody's, -1 somebody's, else the group.
using KeptGroup = ThreadAtomic<pid_t>;

// Has a keeper from now on; once for each process. False: there is none to be had.
bool keep_groups();

// A place for one group; null: there are none left. To be given back by storing 0, while the group's leader is not
// waited for yet: later its number may be somebody else's.
KeptGroup* place_for_group();

}  // namespace conveyor
