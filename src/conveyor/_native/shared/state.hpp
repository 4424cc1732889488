// What the bindings of the shared state have in common: cells, and waiting with the GIL released.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>

#include <utility>

#include "../support/deadline.hpp"
#include "../support/errors.hpp"
#include "conveyor/process/normal_end.hpp"
#include "conveyor/sync/arena.hpp"
#include "conveyor/sync/mutex.hpp"

namespace conveyor::python {

// A cell that a handle holds. When the handle goes and was never pickled, nobody else can have the cell.
class HeldCell {
 public:
  HeldCell(CellType type, std::size_t size) : place_(guarded([&] { return carve(type, size); })) { note(); }
  HeldCell(std::shared_ptr<Region> region, std::uint64_t offset, CellType type, std::size_t least)
      : place_(guarded([&] { return checked_place(std::move(region), offset, type, least); })), known_(true) {
    note();
  }
  HeldCell(const HeldCell&) = delete;
  HeldCell& operator=(const HeldCell&) = delete;
  ~HeldCell() {
    if (!known_) uncarve(place_);
  }
  template <class Cell>
  Cell& as() const {
    return place_.as<Cell>();
  }
  std::uint64_t offset() const { return place_.offset; }
  Waiters& waiters() const { return place_.region->waiters(); }  // for a note of who waits
  // For a pickle.
  const std::shared_ptr<Region>& tell() {
    known_ = true;
    return place_.region;
  }

 private:
  void note() const { place_.region->noted_cells().note(place_.offset, leave_cells); }

  Place place_;
  bool known_ = false;
};

// Calls `wait(slices)` without the GIL until it says something else than `interrupted`; in between, signal handlers run.
// False: one raised, and that is the Python error.
template <class How, class Wait>
bool wait_without_gil(How interrupted, How& how, Slices&& slices, Wait wait) {
  for (;;) {
    {
      const WithoutGil released;
      how = wait(slices);
    }
    if (how != interrupted) return true;
    if (!look_for_signals(slices)) return false;
  }
}

template <class How, class Wait>
bool wait_without_gil(How interrupted, How& how, Wait wait) {
  return wait_without_gil(interrupted, how, Slices(longest_look), wait);
}
// With a note that this thread waits for that cell.
template <class How, class Wait>
bool wait_without_gil(const HeldCell& cell, How interrupted, How& how, Wait wait) {
  return wait_without_gil(interrupted, how, Slices(cell.waiters(), WaitsFor::state, longest_look), wait);
}

// The same where it must be done, whatever a handler raises: that is raised afterwards. Throws it.
template <class How, class Attempt>
How keep_trying_without_gil(How interrupted, Attempt attempt) {
  How how = interrupted;
  nb::object raised;
  while (!wait_without_gil(interrupted, how, [&](Slices&) { return attempt(); })) raised = take_exception();
  if (raised.is_valid()) {
    set_exception(raised);
    throw nb::python_error();
  }
  return how;
}

// None: for ever; at most 0: at once. Throws the Python error.
inline Nanoseconds deadline_after(nb::handle timeout) {
  Deadline deadline;
  if (!parse_deadline(Py_True, timeout, deadline)) throw nb::python_error();
  return deadline.immediate ? 0 : deadline.at;
}

}  // namespace conveyor::python
