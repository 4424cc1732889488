// What the encoder keeps in mind: which objects it has met, for references to them; and for plain data some more.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "plain.hpp"

namespace conveyor::python {

// Which objects were met already, and their numbers. Emptied by counting `round_` up.
class Memo {
 public:
  void begin() {
    count_ = 0;
    if (slots_.size() > most_kept) slots_.assign(64, Slot{});  // one huge item must not cost memory for ever
    if (++round_ == 0) {
      std::fill(slots_.begin(), slots_.end(), Slot{});
      round_ = 1;
    }
  }
  // The number of an object met before, or -1 after remembering it under the next one.
  [[gnu::always_inline]] std::int64_t find_or_add(PyObject* object) {
    if (count_ * 2 >= slots_.size()) grow();
    Slot& slot = slot_of(object);
    if (slot.round == round_) return slot.number;
    slot = {object, round_, count_};
    ++count_;
    return -1;
  }
  bool has(PyObject* object) { return slot_of(object).round == round_; }

 private:
  struct Slot {
    PyObject* object = nullptr;
    std::uint32_t round = 0;
    std::uint32_t number = 0;
  };
  static constexpr std::size_t most_kept = 1 << 16;
  [[gnu::always_inline]] Slot& slot_of(PyObject* object) {
    const std::size_t mask = slots_.size() - 1;
    // Objects are 16-byte aligned: the low bits carry nothing (Fibonacci hashing for the rest).
    std::size_t at = ((reinterpret_cast<std::uintptr_t>(object) >> 4) * 0x9E3779B97F4A7C15ULL >> 40) & mask;
    while (slots_[at].round == round_ && slots_[at].object != object) at = (at + 1) & mask;
    return slots_[at];
  }
  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.size() * 2, Slot{});
    for (const Slot& slot : old) {
      if (slot.round == round_) slot_of(slot.object) = slot;
    }
  }
  std::vector<Slot> slots_ = std::vector<Slot>(64);
  std::uint32_t round_ = 0;
  std::uint32_t count_ = 0;
};

// What only plain data needs to know; nothing, and no time, for the other.
struct Native {};
struct Plain {
  std::vector<PyObject*>& foreign;  // borrowed of the item
  Refusal& refusal;
  std::unordered_map<PyObject*, std::uint32_t> foreign_numbers;
  std::vector<std::uint16_t> heights;  // of what the memo has numbers for; 0 as long as it is open
  int reach = 0;                       // the depth of the deepest value so far of the container that is open
  int in_keys = 0;                     // how many dicts' keys and sets we are in
};

}  // namespace conveyor::python
