// The lock that the kernel keeps for this program for as long as it runs, and no longer (docs/adr/0017).
//
// It is a lock of an open file description (F_OFD_SETLK), on the byte of /dev/zero that has the program's number. Only
// a private mapping of one page keeps that description open: no descriptor does. So what ends the mapping ends the
// lock, and nothing else does: the end of the process, by whatever means, and `exec`. A forked child does not inherit
// the mapping (MADV_DONTFORK), and code that closes all descriptors does not touch it. Nothing is read or written
// through it, and the page has no memory.
//
// Anybody can look whether the byte is locked: over a change of user, in any pid namespace, without /proc, and, since
// each process keeps a descriptor for it, without opening anything.
#pragma once

#include <cstdint>

namespace conveyor::life {

enum class Look { held, free, unknown };

// Once, before anything else here, and before the caller registers what it does itself at a fork.
void think_of_forks();
// Which /dev/zero that is, in 12 bits: locks on another one cannot be seen from here. 0: there is none here.
std::uint32_t place();
// Takes the lock of this number for this program. False: it cannot be had, or others could not see it.
bool take(std::uint64_t number);
// Whether a program of this `place` holds the lock of this number.
Look look(std::uint64_t number);
// Opens what `look` looks through, unless it is open.
void open_eye();

}  // namespace conveyor::life
