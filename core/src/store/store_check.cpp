// For tests: everything is walked, and each byte of the heap accounted for.
#include <algorithm>
#include <string>

#include "conveyor/store/store.hpp"

namespace conveyor {

void Store::walk_ring(std::uint64_t block, std::uint64_t first, std::uint64_t count,
                      std::vector<Extent>& blocks) const {
  const std::uint64_t capacity = ring_capacity(block);
  if (count > capacity) damaged();
  blocks.push_back(extent_of(block));
  for (std::uint64_t i = 0; i < count; ++i) blocks.push_back(extent_of(read(ring_slot(block, capacity, first + i))));
}

std::string Store::check_heap(std::vector<Extent>& blocks) {
  std::uint64_t used = 0;
  for (const Extent& each : blocks) used += each.size;
  if (used != read(header_.state.used))
    return std::to_string(used) + " bytes in use, " + std::to_string(read(header_.state.used)) + " counted";
  const std::uint64_t end = bump();
  for (std::uint32_t number = 0; number < size_classes; ++number) {
    for (std::uint64_t block = read(header_.state.free[number]); block != 0; block = read(word_at(block))) {
      const Extent found{block, extent_of_class(number)};
      if (block < heap_start || block % 16 != 0 || block > end || found.size > end - block) return "a bad free block";
      blocks.push_back(found);
      if (blocks.size() > size_ / 16) return "a circle of free blocks";
    }
  }
  std::sort(blocks.begin(), blocks.end(), [](const Extent& a, const Extent& b) { return a.at < b.at; });
  std::uint64_t at = heap_start;
  for (const Extent& each : blocks) {
    if (each.at < at) return "two blocks lie on each other at " + std::to_string(each.at);
    // Only before a large block, which begins with a page, may there be a gap.
    if (each.at != at && (each.at % system_page != 0 || each.at - at >= system_page))
      return "lost: " + std::to_string(each.at - at) + " bytes at " + std::to_string(at);
    at = each.at + each.size;
  }
  return at == end ? "" : "lost: the last " + std::to_string(end - at) + " bytes";
}

std::string Store::check(Nanoseconds deadline) {
  std::string trouble;
  const StoreStatus status = locked(deadline, [&] {
    std::vector<Extent> blocks;
    std::uint64_t claims = 0;
    for (const Claim& claim : header_.claims) claims += read(claim.owner) == nobody ? 0 : 1;
    if (claims != read(header_.state.claims)) trouble = "the count of claims is wrong";
    if (header_.committed.load(relaxed) != 0)
      trouble = "something is committed and not done";  // relaxed: under the lock
    if (has_trash() || read(header_.state.nursery) != 0) trouble = "rubbish is left";
    if (trouble.empty()) trouble = walk(blocks);
    if (trouble.empty()) trouble = check_heap(blocks);
    return StoreStatus::ok;
  });
  if (status == StoreStatus::corrupt) return "damage";
  return status == StoreStatus::ok ? trouble : "the lock was not to be had";
}

}  // namespace conveyor
