#include "conveyor/memory/view.hpp"

#include <algorithm>
#include <cerrno>
#include <new>
#include <sys/mman.h>

#include "shared_file.hpp"

namespace conveyor {
namespace {

// How much larger each view is than the one before. Little for what is kept of the older ones, and not too often.
constexpr std::uint64_t factor = 4;
constexpr std::uint64_t unit = 64 * 1024;

constexpr std::uint64_t round_up(std::uint64_t size) { return (size + unit - 1) / unit * unit; }

}  // namespace

constinit const View::Mapped View::none{nullptr, 0, nullptr};

View::~View() {
  for (const Mapped* each = newest_.load(acquire); each != &none;) {  // sync point "view": nobody else has it any more
    munmap(each->base, each->size);
    const Mapped* const older = each->older;
    delete each;
    each = older;
  }
}

void View::begin(int fd, std::uint64_t offset, std::uint64_t size) {
  fd_ = fd;
  offset_ = offset;
  size_ = size;
}

int View::grow(std::uint64_t end, std::uint64_t least) {
  if (end > size_) return EFAULT;
  const Mapped* seen = newest_.load(acquire);
  std::uint64_t wanted = std::max(seen->size, least);
  while (wanted < end) wanted *= factor;
  wanted = std::min(wanted, size_);
  const std::uint64_t needed = std::min(round_up(end), size_);
  auto* const fresh = new (std::nothrow) Mapped;
  if (fresh == nullptr) return ENOMEM;
  for (;;) {
    int error = 0;
    fresh->base = try_to_map(fd_, offset_, wanted, error);
    if (fresh->base != nullptr) break;
    if (wanted <= needed || error != ENOMEM) {
      delete fresh;
      return error;
    }
    // Little address space is left: less than is likely to be needed will do.
    wanted = wanted - needed > unit ? needed + round_up((wanted - needed) / 4) : needed;
    wanted = std::min(wanted, size_);
  }
  fresh->size = wanted;
  fresh->older = seen;
  // sync point "view": release here, acquire in `newest`.
  while (!newest_.compare_exchange_strong(seen, fresh, acq_rel, acquire)) {
    if (seen->size >= end) {  // another thread was faster, and as thorough
      munmap(fresh->base, fresh->size);
      delete fresh;
      return 0;
    }
    fresh->older = seen;
  }
  return 0;
}

std::uint64_t View::offset_of(const void* part) const {
  const auto at = reinterpret_cast<std::uintptr_t>(part);
  for (const Mapped* each = newest_.load(acquire); each != &none; each = each->older) {
    const std::uint64_t offset = at - reinterpret_cast<std::uintptr_t>(each->base);
    if (offset < each->size) return offset;
  }
  return nowhere;
}

}  // namespace conveyor
