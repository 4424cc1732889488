// What a file of a segment tells at one look, without being mapped, changed or waited for.
#pragma once

#include <cstdint>
#include <vector>

#include "conveyor/base/owner.hpp"
#include "conveyor/base/waiters.hpp"
#include "conveyor/memory/label.hpp"
#include "conveyor/queue/statistics.hpp"

namespace conveyor {

struct HeaderPeek {
  bool local = false;  // made in this pid namespace
  // `items`: with those under lease; `waiting`: without, as is `bytes`.
  std::uint64_t items = 0, waiting = 0, bytes = 0, max_items = 0, max_bytes = 0;
  // The holders of its locks at that moment.
  OwnerId consumers_lock = nobody, producers_lock = nobody, pool_lock = nobody, ready_lock = nobody;
  // Who put and got, and has not left; the dead among them.
  std::vector<OwnerId> putting, getting;
  // `producers` and `consumers` count the dead, too.
  StreamStatistics figures{};
  bool ended = false, paused = false;
  LabelFacts label;
  std::vector<Waiter> waiters;
};

// Reads at most the header; it may be torn by what goes on meanwhile. Throws as Segment::open_named does,
// but does not mind another pid namespace.
HeaderPeek peek_header(int memory_fd);

}  // namespace conveyor
