// A list in a region: a ring of offsets of blobs, so that both ends grow and shrink in one step.
//
// In the middle, a few offsets are moved by the journal; where that would be many, a new ring is written behind
// everybody's back and takes the old one's place in one commit.
#pragma once

#include <cstdint>
#include <vector>

#include "conveyor/store/store.hpp"

namespace conveyor {

class ListStore : public Store {
 public:
  static constexpr Region::Type type{RegionKind::list, store_layout_version};
  static constexpr std::uint64_t any_version = UINT64_MAX;
  using Store::Store;

  // An index may be negative, as in Python, and counts from the end of the list as it is under the lock.
  StoreStatus get(std::int64_t index, Nanoseconds deadline, Copy& into, Part& item);
  StoreStatus set(std::int64_t index, const Bytes& item, Nanoseconds deadline);
  // At both ends, whatever is beyond them.
  StoreStatus insert(std::int64_t index, const Bytes& item, Nanoseconds deadline);
  StoreStatus append(const Bytes& item, Nanoseconds deadline) { return insert(INT64_MAX, item, deadline); }
  // `into`: where the item goes; or null. `version`: the list must not have changed since. `taking`: or null; with it,
  // `into` and `item` are those of the call before.
  StoreStatus remove(std::int64_t index, Nanoseconds deadline, Copy* into, Part* item,
                     std::uint64_t version = any_version, DecodeThenRemove* removal = nullptr);
  // Indices as Python's slices have them, before they are fitted to the length.
  struct Range {
    std::int64_t start = 0, stop = INT64_MAX, step = 1;
  };
  // All of one moment.
  StoreStatus copy(const Range& range, Nanoseconds deadline, Copy& into, std::vector<Part>& items,
                   std::uint64_t& version);
  // All or nothing. `step` other than 1: as many as there are, else `changed`, and `expected` says how many.
  StoreStatus replace(const Range& range, const std::vector<Bytes>& items, Nanoseconds deadline,
                      std::uint64_t& expected);
  StoreStatus remove_range(const Range& range, Nanoseconds deadline);
  StoreStatus clear(Nanoseconds deadline);
  StoreStatus reverse(Nanoseconds deadline);
  // Item i is the one that was at order[i]. `changed`: the list is not of that version any more.
  StoreStatus reorder(const std::vector<std::uint64_t>& order, std::uint64_t version, Nanoseconds deadline);

 private:
  struct Ring {
    std::uint64_t block = 0, capacity = 0, first = 0, length = 0;
  };
  // A range that fits the list.
  struct Fitted {
    std::uint64_t start, count;
    std::int64_t step;
  };
  Ring ring() const;
  static Fitted fit(const Range& range, std::uint64_t length);
  std::uint64_t& slot(const Ring& in, std::uint64_t index) const {
    return ring_slot(in.block, in.capacity, in.first + index);
  }
  std::uint64_t blob(const Ring& in, std::uint64_t index) const { return read(slot(in, index)); }
  bool is_copy(std::uint64_t block, Copy& copy, const Part& part) const;
  Ring with_room(std::uint64_t more);
  Ring resize(const Ring& old, std::uint64_t capacity);
  void make_gap(const Ring& in, std::uint64_t index, std::uint64_t item);
  void close_gap(const Ring& in, std::uint64_t index);
  // Puts a ring with these blobs in the list's place, and throws away what is in `removed`.
  void become(const Ring& old, const std::vector<std::uint64_t>& blobs, const std::vector<std::uint64_t>& removed,
              bool has_nursery);
  std::vector<std::uint64_t> raise_all(const std::vector<Bytes>& items);
  StoreStatus drop_all(const Ring& in);
  void discard(const std::vector<std::uint64_t>& blobs);
  std::string walk(std::vector<Extent>& blocks) override;
};

}  // namespace conveyor
