// A view of a part of a file, in this process: it begins small and grows with what is touched.
//
// A file of shared memory is sparse, and as large as it may ever become; to map all of it in every process would
// cost address space by the terabyte. So what lies in front is mapped, and when more is needed a larger view is
// mapped beside the older ones. These stay as long as this object: arrays in the hands of users and calls of other
// threads point into them, and it is the same memory. Each is several times as large as the one before, so that all of
// them together are hardly more than the newest.
//
// Nothing of this is shared: another process maps as much as it needs itself.
//
//   sync point "view": `grow` releases a view when it is mapped; `newest` acquires it. Threads may grow at the same
//                      time, and a fork may catch one of them in it: there is no lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conveyor/base/atomic.hpp"

namespace conveyor {

class View {
 public:
  static constexpr std::uint64_t first_size = 1ULL << 20;

  View() = default;
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View();

  // The `size` bytes of the file that begin at `offset`, which is a multiple of the system's page. Nothing is mapped yet.
  // To be called once, before any of the others. The descriptor stays the caller's.
  void begin(int fd, std::uint64_t offset, std::uint64_t size);
  // Makes sure that bytes [0, end) are mapped; 0 or an errno: ENOMEM is address space (or too many mappings), EFAULT
  // that there are no such bytes. `least`: a first view has as many.
  int reach(std::uint64_t end, std::uint64_t least = first_size) { return end <= newest().size ? 0 : grow(end, least); }
  std::uint64_t reached() const { return newest().size; }
  // Of byte 0, where all that was reached before this call is mapped. A pointer stays valid as long as this object.
  std::byte* base() const { return newest().base; }
  // Where in the file's part a pointer into one of the views leads; `nowhere` if it leads into none.
  static constexpr std::uint64_t nowhere = UINT64_MAX;
  std::uint64_t offset_of(const void* part) const;

 private:
  struct Mapped {
    std::byte* base;
    std::uint64_t size;
    const Mapped* older;
  };
  static const Mapped none;
  const Mapped& newest() const { return *newest_.load(acquire); }  // sync point "view"
  int grow(std::uint64_t end, std::uint64_t least);

  int fd_ = -1;
  std::uint64_t offset_ = 0;
  std::uint64_t size_ = 0;
  ThreadAtomic<const Mapped*> newest_{&none};
};

}  // namespace conveyor
