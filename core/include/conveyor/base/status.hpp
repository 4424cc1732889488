// What becomes of a call on a queue or a topic, without an exception: the words that they share.
#pragma once

namespace conveyor {

enum class Status {
  ok,
  full,         // no room within the bounds
  empty,        // nothing to take
  busy,         // the lock was not free; nothing was done
  interrupted,  // a signal came while waiting for the lock; nothing was done
  too_large,    // the item can never fit within max_bytes
  no_memory,
  corrupt,
  refused,      // the sink did not take the item; it stays in the queue
  shut_down,    // the queue takes no more items
  crowded,      // too many producers are registered
  too_many,     // as many items are leased as can be
  lost,         // the lease is not its holder's any more
};

}  // namespace conveyor
