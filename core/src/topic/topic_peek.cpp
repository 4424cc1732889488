#include "conveyor/topic/topic_peek.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <unistd.h>

#include "conveyor/memory/region_layout.hpp"

namespace conveyor {
namespace {

// Subscribers that are looked at, of more than that only the first.
constexpr std::uint32_t most_subscribers = 4096;
constexpr std::uint64_t header_at = sizeof(RegionHeader);

// What is in front of the tables that may have no memory.
struct alignas(TopicHeader) Front {
  std::byte bytes[offsetof(TopicHeader, producers)];
};

bool read_at(int fd, void* target, std::size_t size, std::uint64_t offset) {
  for (std::size_t got = 0; got < size;) {
    const ssize_t n = pread(fd, static_cast<char*>(target) + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    got += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

TopicFigures peek_topic(int memory_fd) {
  TopicFigures found;
  const auto front = std::make_unique<Front>();
  if (!read_at(memory_fd, front->bytes, sizeof front->bytes, header_at)) return found;
  // Only what is in front of `producers` is touched.
  const auto& header = *reinterpret_cast<const TopicHeader*>(front->bytes);
  if (header.capacity < least_capacity || header.capacity > most_capacity) return found;
  const std::uint64_t tail = header.tail.load(relaxed);  // relaxed from here: a copy of our own
  found.capacity = header.capacity;
  found.published = header.state[tail & 1].number.load(relaxed);
  found.bytes = header.bytes.load(relaxed);
  found.waits = header.waits.load(relaxed);
  found.ended = header.ended.load(relaxed) != 0;
  const std::uint64_t oldest = header.oldest.load(relaxed), end = tail & ~std::uint64_t{1};
  found.kept_bytes = end > oldest ? std::min(end - oldest, header.capacity) : 0;
  const std::uint32_t pins = std::min(header.pins_high.load(relaxed), pin_capacity);
  for (std::uint32_t i = 0; i < pins; ++i) {
    if (header.pins[i].owner.load(relaxed) != nobody)
      found.pinned_bytes += std::min(header.pins[i].size.load(relaxed), header.capacity);
  }
  const std::uint32_t high = std::min({header.subscribers_high.load(relaxed), subscriber_capacity, most_subscribers});
  const auto slots = std::make_unique<SubscriberSlot[]>(high);
  if (!read_at(memory_fd, slots.get(), high * sizeof(SubscriberSlot), header_at + offsetof(TopicHeader, slots)))
    return found;
  for (std::uint32_t i = 0; i < high; ++i) {
    if (const auto one = figures_of(slots[i], found.published)) found.slots.push_back(*one);
  }
  return found;
}

}  // namespace conveyor
