// A small world to kill processes in: producers and consumers as real processes on one stream, a
// ledger in memory of its own that tells afterwards who put and who got what, and victims that die by
// SIGKILL at a named step or at a random moment.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conveyor/queue/stream.hpp"

namespace crash {

inline constexpr int max_producers = 6;
inline constexpr std::uint32_t items_each = 400;

// Shared by all processes of one experiment.
struct Ledger {
  std::atomic<std::uint32_t> returned[max_producers];               // items whose put returned
  std::atomic<std::uint8_t> received[max_producers][items_each];    // how often each was received
  std::atomic<std::uint32_t> disorder;                              // items that came before an earlier one
  std::atomic<std::uint32_t> damaged;                               // items with wrong content
  std::atomic<std::uint32_t> failed;                                // operations with an unexpected status
  std::atomic<std::uint32_t> deaths;                                // victims that reached their point
  std::atomic<bool> stop;                                           // consumers end when the stream is empty
};

// Where and when a victim dies: at the `hit`-th passage of `point`. Empty: it lives.
struct Fate {
  std::string point;
  int hit = 1;
  bool counts = true;  // whether this death is the one that the experiment is about
};

// In a child: from now on it has this fate, and `counted` counts the death.
void meet(const Fate& fate, std::atomic<std::uint32_t>& counted);
// True if it was killed.
bool reap(pid_t child);
// How the consumers learn that no more will come.
enum class Ending {
  told,          // by word of mouth, when the stream is empty
  by_producers,  // the stream ends when its registered producers have left
  shutdown,
  immediate,     // what waits is dropped
};

struct Plan {
  conveyor::Bounds bounds;
  bool watched = false;
  std::vector<Fate> producers, consumers;  // one process each
  bool backlog = false;                    // the consumers start when the producers are done
  Ending ending = Ending::told;
  std::vector<Fate> closers;               // one process each: they bring the end about, one after the other
  std::vector<Fate> lookers;               // the same: when the producers are gone, they look who was lost
};

struct Outcome {
  bool killed = false;     // a victim that counts died as planned
  std::uint32_t missing = 0;               // Ending::by_producers: who was still expected when all were gone,
  std::vector<conveyor::LostProducer> lost;  // and who died inside
  std::string trouble;     // what is wrong afterwards; empty when all is well
};

// Runs it: the survivors must finish their work, and everything must add up.
Outcome run(const Plan& plan);

// The same with victims killed from outside, at random moments, and replaced.
std::string run_random(unsigned seed, int kills);

}  // namespace crash
