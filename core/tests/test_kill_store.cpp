// Processes that change a shared dict or list are killed at every named step of the store, also in the middle of
// mending what another one left. Afterwards the operation in flight was done whole, or not at all.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <set>
#include <string_view>

#include "crash_lab.hpp"
#include "store_lab.hpp"

namespace {

using namespace conveyor;

const char* const points[] = {
#include "kill_points.inc"
};

constexpr unsigned operations = 250;

struct Ledger {
  std::atomic<std::uint32_t> deaths{0};
  std::atomic<unsigned> returned{0};  // operations that the child has seen done, or that were given up
};

struct Outcome {
  std::string trouble;
  bool killed = false;
};

// One after the other changes what the one before has left; the last one lives.
template <class Script>
Outcome run(unsigned seed, const std::vector<crash::Fate>& fates) {
  const auto region = lab::new_region<Script>(1 << 26);
  void* const at = mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Ledger& ledger = *new (at) Ledger;
  Outcome outcome;
  // What may be in there: each death leaves open whether the operation in flight was done.
  std::vector<typename Script::Model> possible(1);
  unsigned done = 0;
  for (const crash::Fate& fate : fates) {
    const pid_t child = fork();
    if (child == 0) {
      crash::meet(fate, ledger.deaths);
      typename Script::Store store(region, 0);
      bool fine = store.open(forever) == StoreStatus::ok;
      for (unsigned number = ledger.returned; fine && number < operations; ++number) {
        fine = Script::act(store, seed, number);
        if (fine) ledger.returned = number + 1;
      }
      _exit(fine ? 0 : 1);
    }
    const bool killed = crash::reap(child);
    for (; done < ledger.returned; ++done) {
      for (auto& model : possible) Script::act(model, seed, done);
    }
    if (!killed) break;
    if (done == operations) break;
    const std::size_t before = possible.size();
    for (std::size_t i = 0; i < before; ++i) {
      possible.push_back(possible[i]);
      Script::act(possible.back(), seed, done);
    }
    ledger.returned = ++done;  // nobody tries that one again
  }
  outcome.killed = ledger.deaths != 0;
  if (ledger.returned != operations) outcome.trouble = "the survivor failed";
  typename Script::Store store(region, 0);
  if (store.open(forever) != StoreStatus::ok) outcome.trouble = "cannot be opened";
  typename Script::Model found;
  if (outcome.trouble.empty()) outcome.trouble = Script::read(store, found);
  if (outcome.trouble.empty() && std::find(possible.begin(), possible.end(), found) == possible.end())
    outcome.trouble = "what is there is neither with nor without the operation in flight";
  if (outcome.trouble.empty()) outcome.trouble = store.check(forever);
  munmap(at, sizeof(Ledger));
  return outcome;
}

}  // namespace

TEST_CASE("a process killed at any step of a shared dict or list has done its operation, or not") {
  std::set<std::string> seen;
  for (const std::string point : points) {
    if (!point.starts_with("store.")) continue;
    CAPTURE(point);
    seen.insert(point);
    bool reached = false;
    unsigned seed = 0;
    for (const int hit : {1, 2, 40}) {
      CAPTURE(hit);
      const crash::Fate dies{point, hit}, lives;
      const auto stuck = [](const char* where, int when) { return crash::Fate{where, when, false}; };
      for (const std::vector<crash::Fate>& fates : {
               std::vector{dies, lives},
               std::vector{dies, dies, lives},
               std::vector{stuck("store.half-applied", 30), dies, lives},
               std::vector{stuck("store.raised", 1), dies, lives},
               std::vector{stuck("store.trash-step", 1), dies, lives},
               std::vector{stuck("store.claimed", 1), stuck("store.half-applied", 3), dies, lives},
           }) {
        CAPTURE(++seed);
        const Outcome dict = run<lab::DictScript>(seed, fates), list = run<lab::ListScript>(seed, fates);
        CHECK(dict.trouble == "");
        CHECK(list.trouble == "");
        reached |= dict.killed || list.killed;
      }
    }
    CHECK_MESSAGE(reached, "no plan passes this step");
  }
  CHECK(seen.size() >= 15);
}
