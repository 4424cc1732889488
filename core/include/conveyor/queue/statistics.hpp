// What a queue tells of itself. A row here is a word of the struct and a key of what Python gets; stream_look.cpp fills it, and
// conveyor/queues/statistics.py says what it means.
#pragma once

#include <cstdint>

// COUNT(name): a number. TIME(name): nanoseconds, as `name_nanoseconds`; Python gets them as `name_seconds`.
#define CONVEYOR_QUEUE_FIGURES(COUNT, TIME) \
  COUNT(items_in)                           \
  COUNT(items_out)                          \
  COUNT(bytes_in)                           \
  COUNT(bytes_out)                          \
  COUNT(depth)                              \
  COUNT(peak_depth)                         \
  COUNT(put_waits)                          \
  COUNT(get_waits)                          \
  TIME(put_blocked)                         \
  TIME(get_blocked)                         \
  COUNT(producers)                          \
  COUNT(consumers)                          \
  COUNT(memory_held)                        \
  COUNT(memory_lent)                        \
  COUNT(leased)                             \
  COUNT(returned)                           \
  COUNT(redelivered)                        \
  COUNT(dead)

namespace conveyor {

struct StreamStatistics {
#define CONVEYOR_COUNT(name) std::uint64_t name;
#define CONVEYOR_TIME(name) std::uint64_t name##_nanoseconds;
  CONVEYOR_QUEUE_FIGURES(CONVEYOR_COUNT, CONVEYOR_TIME)
#undef CONVEYOR_COUNT
#undef CONVEYOR_TIME
};

}  // namespace conveyor
