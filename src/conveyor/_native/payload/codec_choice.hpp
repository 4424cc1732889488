// How a queue's items, or a dict's values, become bytes: by the user's codec, by pickle, or by our own encoding for
// what it can carry and pickle for the rest.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "payload.hpp"

namespace conveyor::python {

namespace nb = nanobind;

class CodecChoice {
 public:
  // `codec`: an object with name, dumps and loads; the str "pickle"; or "auto". Of a str of a class of its own,
  // `copies_devices` says whether tensors of devices go by value.
  explicit CodecChoice(nb::object codec);
  // Whether our own encoding comes first.
  bool native() const { return native_; }
  // The user's, or null.
  nb::handle codec() const { return codec_; }
  bool is_users() const { return codec_.is_valid(); }
  // Hash of the name of the user's; 0: none.
  std::uint64_t id() const { return id_; }
  // By the user's codec, or by pickle; false with a Python error set.
  bool pack(nb::handle object, Payload& into) const;
  void forget() { codec_.reset(); }

 private:
  bool pack_by_codec(nb::handle object, Payload& into) const;

  nb::object codec_;
  std::uint64_t id_ = 0;
  bool native_ = true;
  bool copies_devices_ = false;
};

}  // namespace conveyor::python
