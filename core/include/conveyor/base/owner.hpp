// Who holds something: a program in a process, told apart from any later one, from whatever else has its pid in another
// pid namespace, and from what the process becomes by `exec`. The rule is told in docs/reliability.md.
#pragma once

#include <cstdint>
#include <unordered_map>

namespace conveyor {

// mark (41 bits) | pid, as its own namespace numbers it (22 bits, the kernel's PID_MAX_LIMIT) | 0.
// The lowest bit is always 0: a lock word keeps its "contended" mark there. 0 is nobody.
//
// The mark says how to tell whether it lives, and has one of three forms (owner.cpp): by the lock that the kernel holds
// for a running program; where that is not to be had, by pid namespace and start time; or what a program that has
// ended normally left behind in its place, and which counts as alive until somebody gives it back.
using OwnerId = std::uint64_t;

inline constexpr OwnerId nobody = 0;

constexpr std::uint32_t owner_pid(OwnerId owner) { return static_cast<std::uint32_t>(owner >> 1) & 0x3fffff; }

// A process of this pid namespace by its start time, in clock ticks since boot; 0: any process that has that pid.
OwnerId make_owner(std::uint32_t pid, std::uint64_t start_ticks);

// This program in this process. Cached; a fork renews it.
OwnerId self();
// The same, or `nobody` if it was never asked for: then nothing can name this process yet.
OwnerId known_self();

// False once the program has ended, by exit, by a signal or by `exec`; a zombie has. When it cannot be told, it counts
// as alive: nothing is ever taken from the living.
bool is_alive(OwnerId owner);

// Of one that is not alive: the signal that killed it; 0 when it was none, or when that cannot be told any more: only
// until its parent has waited for it is there anybody to ask.
std::uint32_t killing_signal(OwnerId owner);
// Of one that is not alive: whether it is known to have ended by an exit, of whatever status. Asked as above, and only
// of processes that were forked: of others nobody knows whether they had become something else by `exec`.
bool has_exited(OwnerId owner);

// What stands in the place of a program that ended normally, where others may give back what it took.
constexpr OwnerId left_by(OwnerId owner) { return owner & (std::uint64_t{0x3fffff} << 1); }
constexpr bool is_left(OwnerId owner) { return owner != nobody && left_by(owner) == owner; }

// is_alive for many: asks the system once for each process.
class LifeList {
 public:
  bool operator()(OwnerId owner) {
    const auto [found, fresh] = known_.try_emplace(owner, false);
    if (fresh) found->second = owner != nobody && is_alive(owner);
    return found->second;
  }

 private:
  std::unordered_map<OwnerId, bool> known_;
};

// Grows by one in the child at each fork: tells state made before the fork from state made after.
extern std::uint32_t generation_of_forks;  // written while a forked child has one thread
inline std::uint32_t fork_generation() { return generation_of_forks; }

// Inode of the pid namespace: a pid means nothing in another one.
std::uint64_t pid_namespace();

// Makes sure that is_alive can look also when the program has no descriptor left.
void prepare_to_look();
// Whether other programs can tell this one by the kernel's lock. False: an `exec` is not noticed, and what this process
// holds when it dies comes back only to those of its own pid namespace.
bool is_known_by_lock();

}  // namespace conveyor
