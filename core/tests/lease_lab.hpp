// Consumers that lease, acknowledge, give back, reject and move what failed, killed at a named step or at
// random; and a ledger that tells afterwards what became of each item.
#pragma once

#include <string>
#include <vector>

#include "crash_lab.hpp"

namespace crash {

struct LeasePlan {
  std::vector<Fate> consumers;
  bool watched = false;
  bool tasks = false;  // some items by plain gets and task_done, and a join at the end
};

// The survivors must finish: nothing under lease is lost, nothing acknowledged twice, and nothing seen
// again but what was given back or held by the dead.
Outcome run(const LeasePlan& plan);

// The same with victims killed from outside, at random moments, and replaced. `killed`: how many.
std::string run_random_leases(unsigned seed, int kills, int& killed);

}  // namespace crash
