// Who holds something: a process, told apart from any later one that gets the same pid.
#pragma once

#include <cstdint>
#include <unordered_map>

namespace conveyor {

// start time (clock ticks since boot, 41 bits) | pid (22 bits, the kernel's PID_MAX_LIMIT) | 0.
// The lowest bit is always 0: a lock word keeps its "contended" mark there. 0 is nobody.
using OwnerId = std::uint64_t;

inline constexpr OwnerId nobody = 0;

constexpr OwnerId make_owner(std::uint32_t pid, std::uint64_t start_ticks) {
  return (start_ticks << 23) | (static_cast<std::uint64_t>(pid & 0x3fffff) << 1);
}
constexpr std::uint32_t owner_pid(OwnerId owner) { return static_cast<std::uint32_t>(owner >> 1) & 0x3fffff; }

// This process. Cached; a fork renews it.
OwnerId self();

// False once the process has ended, a zombie included. When it cannot be told (no /proc, no
// right to look), a process counts as alive: nothing is ever taken from the living.
bool is_alive(OwnerId owner);

// The signal that killed a process that has ended; 0 when it was none, or when that cannot be told any
// more: only until the parent has waited for it is there anybody to ask.
std::uint32_t killing_signal(OwnerId owner);
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
std::uint32_t fork_generation();

// Inode of the pid namespace: a pid means nothing in another one.
std::uint64_t pid_namespace();

}  // namespace conveyor
