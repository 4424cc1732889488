// What cannot be decoded is not lost: its bytes, and who sent it, go with the error.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "payload.hpp"

namespace conveyor::python {

namespace nb = nanobind;

// A piece of memory that is still this process's.
struct Piece {
  const std::byte* data;
  std::uint64_t size;
};

// A pickle that calls `conveyor._native._decode_instances` with the bytes: so they can be read where the classes are. New
// reference; null with a Python error set.
nb::object pickle_of_instances(const Piece& piece);

// Gives the pending Python error `raw` (bytes), `buffers` (a list of bytes, which `pickle.loads(raw, buffers=buffers)`
// takes), and `producer_pid` (None: not known). Without memory for a copy, `raw` is None. Of an item with instances in it
// `raw` is a pickle that reads it by this package.
void keep_bytes(std::uint32_t sender, Kind kind, const Piece& head, const std::vector<Piece>& buffers = {});
// The same, of an item that was taken, before its runs are released.
void keep_bytes(const Stream& stream, const Taken& taken);

// Errors of items that came in a batch with others, which were returned: each is raised by a later call.
class Unheard {
 public:
  bool any() const { return !errors_.empty(); }
  void add(nb::object error);
  // The first becomes the Python error. False: there is none, or they are of the process that this one was forked from.
  bool raise();
  // To sys.unraisablehook: nobody will call any more.
  void give_up();
  void forget() { errors_.clear(); }
  int traverse(visitproc visit, void* arg) {
    for (const nb::object& error : errors_) Py_VISIT(error.ptr());
    return 0;
  }

 private:
  std::vector<nb::object> errors_;
  std::uint32_t generation_ = 0;  // of forks
};

}  // namespace conveyor::python
