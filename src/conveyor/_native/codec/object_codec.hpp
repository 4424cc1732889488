// A compact encoding for trees of None, bool, int, float, str, bytes, tuple, list, dict, set and
// frozenset, and of complex, datetime, date, time, timedelta, Decimal and UUID, several times faster
// than pickle. And of instances of simple classes, as instance_class.hpp says.
//
// It carries exactly what it can carry exactly: of the former only those very types. Anything else
// in an object makes `encode` decline, and the whole object goes to pickle. Aliasing is kept as
// pickle keeps it: an object met a second time becomes a reference to the first. Only an object with
// more than one reference can be met twice, so only those are remembered.
//
// Encoding runs no Python code: it makes no object that the garbage collector would look at, so that
// no finalizer can put on a queue, or change what is being encoded, in the middle. Decoding makes such
// objects; its state is its own. Encoding never gives up the GIL.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace conveyor::python {

// What a message holds; stored with it.
enum class Kind : std::uint8_t {
  pickle = 0,  // or any bytes that were sent as bytes
  native = 1,  // this encoding
  bytes = 2,   // the content of one bytes object
  buffers = 3,  // a pickle and the buffers that it left out
  custom = 4,   // what a user's codec made
  instances = 5,  // this encoding, with instances of classes in it: reading it imports, and runs their code
};

// An empty buffer may be null, which memcpy must not get.
inline void copy_bytes(void* to, const void* from, std::size_t size) {
  if (size != 0) std::memcpy(to, from, size);
}

// A growing run of bytes; small ones live inside.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* extend(std::size_t more) {
    if (size_ + more > capacity_) grow(more);
    std::byte* const at = data() + size_;
    size_ += more;
    return at;
  }
  void put(std::uint8_t byte) { *extend(1) = static_cast<std::byte>(byte); }
  void put(const void* from, std::size_t size) { copy_bytes(extend(size), from, size); }
  std::byte* data() { return heap_ ? heap_.get() : small_; }
  std::size_t size() const { return size_; }
  void cut(std::size_t size) { size_ = size; }

 private:
  void grow(std::size_t more);
  static constexpr std::size_t small_size = 1024;
  std::unique_ptr<std::byte[]> heap_;
  std::size_t size_ = 0;
  std::size_t capacity_ = small_size;
  std::byte small_[small_size];
};

// Appends, and says what it has become: native, or instances. Pickle: not ours, `into` is as before; send it to pickle.
// Never sets a Python error.
Kind encode(PyObject* object, Buffer& into);

// New reference, or null with a Python error set: CorruptSegment for damaged bytes.
PyObject* decode(const std::byte* data, std::size_t size);
// The same of what has instances in it. Runs Python code, whose errors it passes on.
PyObject* decode_instances(const std::byte* data, std::size_t size);

}  // namespace conveyor::python
