#include "value_codec.hpp"

#include <cstring>
#include <vector>

#include "../support/errors.hpp"
#include "loan.hpp"
#include "pickling.hpp"

namespace conveyor::python {
namespace {

constexpr std::size_t align_to_8(std::size_t size) { return (size + 7) & ~std::size_t{7}; }

void point_at(Encoded& made, const void* data, std::size_t size, Kind kind) {
  made.bytes = {static_cast<const std::byte*>(data), size, static_cast<std::uint8_t>(kind)};
}

// A codec's writer fills its part of the buffer.
bool write_into(nb::handle writer, std::byte* at, std::size_t size) {
  const nb::object view =
      nb::steal(PyMemoryView_FromMemory(reinterpret_cast<char*>(at), static_cast<Py_ssize_t>(size), PyBUF_WRITE));
  if (!view.is_valid() || !call(writer, view).is_valid()) return false;
  return call_method(view, "release").is_valid();
}

}  // namespace

std::uint32_t ValueCodec::always_decodable() const {
  return is_users() ? 0 : 1U << static_cast<int>(Kind::native) | 1U << static_cast<int>(Kind::bytes);
}

bool ValueCodec::encode(nb::handle object, Encoded& into) const {
  if (is_users()) return encode_by_codec(object, into);
  if (choice_.native() && PyBytes_CheckExact(object.ptr())) {
    point_at(into, PyBytes_AS_STRING(object.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(object.ptr())),
             Kind::bytes);
    return true;
  }
  if (choice_.native()) {
    if (const Kind kind = python::encode(object.ptr(), into.buffer); kind != Kind::pickle) {
      point_at(into, into.buffer.data(), into.buffer.size(), kind);
      return true;
    }
  }
  if (!choice_.pack(object, into.payload)) return false;
  point_at(into, into.payload.contiguous(), into.payload.head_size(), Kind::pickle);
  return true;
}

// PayloadHead | PayloadBuffer[] | header | buffers, each at a multiple of 8.
bool ValueCodec::encode_by_codec(nb::handle object, Encoded& into) const {
  if (!choice_.pack(object, into.payload)) return false;
  const auto& sources = into.payload.sources();
  const std::size_t records = sources.size() * sizeof(PayloadBuffer);
  std::vector<PayloadBuffer> index;
  std::size_t size = sizeof(PayloadHead) + records + into.payload.head_size();
  for (const Payload::Source& source : sources) {
    size = align_to_8(size);
    index.push_back({size, source.size(), in_message, 0});
    size += source.size();
  }
  const PayloadHead head{choice_.id(), static_cast<std::uint32_t>(sources.size()), 0, sizeof(PayloadHead),
                         into.payload.head_size()};
  std::byte* const at = into.buffer.extend(size);
  std::memset(at, 0, size);
  std::memcpy(at, &head, sizeof head);
  copy_bytes(at + sizeof head, index.data(), records);
  into.payload.copy_head(at + sizeof head + records);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i].writer.is_valid()) {
      copy_bytes(at + index[i].offset, sources[i].view.buf, sources[i].size());
    } else if (!write_into(sources[i].writer, at + index[i].offset, sources[i].size())) {
      return false;
    }
  }
  point_at(into, at, size, Kind::custom);
  return true;
}

nb::object ValueCodec::decode(std::uint8_t kind, const std::byte* data, std::size_t size) const {
  const auto its = static_cast<Kind>(kind);
  const bool custom = its == Kind::custom;
  if (custom || is_users()) {
    if (custom && is_users()) return decode_by_codec(data, size);
    return raise("CodecMismatch",
                 "the value was stored with another codec than this handle has; open it with the writer's codec=");
  }
  if (its == Kind::native) return nb::steal(python::decode(data, size));
  if (its == Kind::instances) return nb::steal(decode_instances(data, size));
  if (its != Kind::bytes && its != Kind::pickle)
    return raise("CorruptSegment", "a value in the shared memory is damaged: it is of no known kind");
  nb::object bytes =
      nb::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(data), static_cast<Py_ssize_t>(size)));
  return its == Kind::bytes || !bytes.is_valid() ? bytes : nb::steal(unpickle(bytes.ptr()));
}

// The bytes are this process's own copy, but what they say may be damaged.
nb::object ValueCodec::decode_by_codec(const std::byte* data, std::size_t size) const {
  const auto damaged = [] {
    return raise("CorruptSegment", "a value in the shared memory is damaged: its parts do not lie within it");
  };
  PayloadHead head;
  if (size < sizeof head) return damaged();
  std::memcpy(&head, data, sizeof head);
  if (head.codec != choice_.id())
    return raise("CodecMismatch",
                 "the value was stored with another codec than this handle has; open it with the writer's codec=");
  const std::size_t records = std::size_t{head.buffers} * sizeof(PayloadBuffer);
  if (records > size - sizeof head || head.head_size > size - sizeof head - records) return damaged();
  const std::byte* const content = data + sizeof head + records;
  const nb::object bytes = nb::steal(
      PyBytes_FromStringAndSize(reinterpret_cast<const char*>(content), static_cast<Py_ssize_t>(head.head_size)));
  const nb::object header = bytes.is_valid() ? view_of(bytes) : nb::object();
  const nb::object buffers = nb::steal(PyList_New(0));
  if (!header.is_valid() || !buffers.is_valid()) return {};
  std::size_t left = size;
  for (std::uint32_t i = 0; i < head.buffers; ++i) {
    PayloadBuffer each;
    std::memcpy(&each, data + sizeof head + i * sizeof each, sizeof each);
    if (each.offset > size || each.size > size - each.offset || each.size > left) return damaged();
    left -= each.size;  // they do not overlap
    const nb::object copy = nb::steal(PyByteArray_FromStringAndSize(reinterpret_cast<const char*>(data + each.offset),
                                                                    static_cast<Py_ssize_t>(each.size)));
    const nb::object view = copy.is_valid() ? view_of(copy) : nb::object();
    if (!view.is_valid() || PyList_Append(buffers.ptr(), view.ptr()) != 0) return {};
  }
  return call_method(codec(), "loads", header, buffers);
}

}  // namespace conveyor::python
