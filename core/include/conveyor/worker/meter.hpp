// What one worker has done and does now: figures that it writes and others watch.
//
// One writer, so every word is a plain store; a watcher reads words that may be a moment apart.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "conveyor/base/atomic.hpp"
#include "conveyor/worker/meter_layout.hpp"

namespace conveyor {

// Which step of the histogram a duration falls into; its lower bound is `(4 + step % 4) << (step / 4 - 2)`.
constexpr std::size_t meter_step(std::uint64_t nanoseconds) {
  if (nanoseconds < 4) return 0;
  const auto power = static_cast<std::size_t>(std::bit_width(nanoseconds)) - 1;
  return power * 4 + ((nanoseconds >> (power - 2)) & 3);
}

class Meter {
 public:
  explicit Meter(MeterWords& words) : words_(words), last_(monotonic_now()) {}

  // No item is in hand.
  void idle() { words_.since.store(0, relaxed); }  // relaxed here and below: figures for watchers
  // An item has come after a wait.
  void begin() {
    const Nanoseconds now = monotonic_now();
    add(words_.waited, static_cast<std::uint64_t>(now - last_));
    words_.since.store(static_cast<std::uint64_t>(now), relaxed);
    last_ = now;
  }
  // The item in hand is put aside, until `begin`: it is to be tried again after a while.
  void pause() {
    const Nanoseconds now = monotonic_now();
    words_.since.store(0, relaxed);
    add(words_.busy, static_cast<std::uint64_t>(now - last_));
    last_ = now;
  }
  // The item in hand is done, and the next is begun. Returns the nanoseconds that it took if that is worth
  // telling, else 0.
  std::uint64_t lap() {
    const Nanoseconds now = monotonic_now();
    const auto took = static_cast<std::uint64_t>(now - last_);
    words_.since.store(static_cast<std::uint64_t>(now), relaxed);
    last_ = now;
    add(words_.busy, took);
    add(words_.items, 1);
    add(words_.histogram[meter_step(took)], 1);
    return took > words_.slow.load(relaxed) ? took : 0;
  }

 private:
  static void add(Atomic<std::uint64_t>& word, std::uint64_t what) { word.store(word.load(relaxed) + what, relaxed); }

  MeterWords& words_;
  Nanoseconds last_;
};

}  // namespace conveyor
