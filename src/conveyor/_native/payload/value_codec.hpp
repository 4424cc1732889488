// Objects to the bytes that shared dicts and lists keep, and back. What a queue's item is in several parts is here one
// run of bytes: a reader copies it anyway.
#pragma once

#include <nanobind/nanobind.h>

#include "../codec/object_codec.hpp"
#include "codec_choice.hpp"
#include "conveyor/store/store.hpp"
#include "payload.hpp"

namespace conveyor::python {

namespace nb = nanobind;

// An object as bytes; they stay where they are as long as this and the object do.
struct Encoded {
  Encoded() = default;
  Encoded(const Encoded&) = delete;
  Bytes bytes;
  Buffer buffer;
  Payload payload;
};

class ValueCodec {
 public:
  // `codec`: an object with name, dumps and loads; the str "pickle"; or "auto".
  explicit ValueCodec(nb::object codec) : choice_(std::move(codec)) {}
  // False, null: with a Python error set.
  bool encode(nb::handle object, Encoded& into) const;
  nb::object decode(std::uint8_t kind, const std::byte* data, std::size_t size) const;
  nb::object decode(Copy& copy, const Part& part) const {
    return decode(part.kind, copy.data() + part.offset, part.size);
  }

  // A bit for each kind of value that this one can always decode.
  std::uint32_t always_decodable() const;
  // Whether nothing may be pickled that the codec is not asked for.
  bool is_users() const { return choice_.is_users(); }
  nb::handle codec() const { return choice_.codec(); }
  void forget() { choice_.forget(); }

 private:
  bool encode_by_codec(nb::handle object, Encoded& into) const;
  nb::object decode_by_codec(const std::byte* data, std::size_t size) const;

  CodecChoice choice_;
};

}  // namespace conveyor::python
