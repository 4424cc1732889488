// A producer that runs ahead of consumers that are at work rests now and then, so that the backlog stays small.
//
// What waits in a queue without a bound should lie in memory that is warm, at best in a cache: a backlog of hundreds of
// megabytes costs more to write and to read than the consumers lose by finding a little less of it. So who has just put
// something, and sees much waiting, lets the others run for the shortest time that the system's timer knows, some 50 µs:
// what a few fresh pages cost. The item is in the queue before that. Each put rests once at most and then returns, whatever
// the consumers do; and only as long as it helps: after a rest in which nobody took anything there is none at the next 1,
// 3, 7 ... 1,023 times that one would be due. So who has no consumer, or a stopped one, or one that is slow, loses nothing
// worth speaking of.
#pragma once

#include <algorithm>
#include <cstdint>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/base/patience.hpp"
#include "conveyor/queue/layout.hpp"

namespace conveyor {

class Pacing {
 public:
  // Bytes that may wait: what a cache holds, and in any case some items, so that large ones are not in step.
  static constexpr std::uint64_t least_bytes = 2 << 20;
  static constexpr std::uint64_t least_items = 8;
  // Of smaller items a backlog costs little: they take longer to make than to move.
  static constexpr std::uint64_t least_item = 1024;
  // Bytes between two looks at the consumers' side, whose cache line is theirs.
  static constexpr std::uint64_t look_every = page_size;

  explicit Pacing(Header& header) : header_(header) {}

  // After a put of `count` items; `payload()`: bytes of all of them. True: `rest` is due.
  template <class Payload_>
  bool is_due(std::size_t count, Payload_ payload) {
    // relaxed here and below: guesses, and a producer's own line
    const std::uint64_t in = header_.tail.bytes.load(relaxed);
    if (in - looked_at_.load(relaxed) < look_every) [[likely]]
      return false;
    looked_at_.store(in, relaxed);
    const std::uint64_t item = payload() / count;
    if (item < least_item) return false;
    const std::uint64_t out = header_.head.bytes.load(relaxed);
    const std::uint64_t waiting = in > out ? in - out : 0;
    if (waiting <= least_bytes || waiting <= least_items * item) return false;
    return worth_.is_due();
  }

  // Not to be called with a lock.
  void rest() {
    rest([] {
      Atomic<std::uint32_t> nobody_wakes{0};
      futex_wait(&nobody_wakes, 0, 1);
    });
  }
  template <class Sleep>
  void rest(Sleep sleep) {
    const std::uint64_t before = header_.head.word.load(relaxed);
    CONVEYOR_KILL_POINT("rest.begun");
    sleep();
    CONVEYOR_KILL_POINT("rest.over");
    worth_.learn(header_.head.word.load(relaxed) != before);
  }

 private:
  Header& header_;
  Atomic<std::uint64_t> looked_at_{0};
  Patience worth_;
};

}  // namespace conveyor
