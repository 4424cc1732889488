// A file descriptor that is readable if and only if an item can be taken.
//
// Nobody pays for it until somebody asks (`Header::watched`). From then on every put and take
// passes through `ready_lock`, and the descriptor, a pipe, holds a token exactly while the queue
// is not empty. The order makes a death harmless: the token is written before the item is
// committed and removed only when the queue is seen empty, so what a crash can leave is a token
// too many, never one too few; `settle` takes it away.
#pragma once

#include "conveyor/queue/segment.hpp"

namespace conveyor {

class Ready {
 public:
  explicit Ready(Segment& segment) : segment_(segment) {}
  // Tokens go over this descriptor instead of the segment's own: one end of a pipe or socket pair,
  // whose peer's end they come out of.
  void use_descriptor(int fd);

  // sync point "watched": acquires what start_watching released.
  bool watched() const { return segment_.header().watched.load(acquire) != 0; }
  // The caller holds both of the stream's locks, so that no operation is under way. False: not in time.
  bool start_watching(bool empty);

  // Around a commit that adds items. False, and nothing begun: the lock was not to be had in time.
  bool begin_put();
  void end_put();
  // After a commit that took items away, or a look that found none.
  template <class IsEmpty>
  bool settle(IsEmpty is_empty) {
    if (!lock()) return is_empty();  // at worst a token too many, until the next look
    const bool empty = is_empty();
    if (empty) lower();
    unlock();
    return empty;
  }

 private:
  bool lock();
  void unlock() { segment_.header().ready_lock.unlock(); }
  void raise();
  void lower();

  Segment& segment_;
  int fd_ = -1;  // -1 stands for the segment's own
  bool socket_ = false;
};

}  // namespace conveyor
