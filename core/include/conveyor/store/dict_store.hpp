// A dict in a region: keys in the order in which they came, found by a hash table beside them.
//
// Keys and values are blobs, which nobody changes: a new value is a new blob, put in the old one's place by the
// commit. When the table is full, a larger one is written behind everybody's back and takes its place in one commit.
#pragma once

#include <cstdint>
#include <vector>

#include "conveyor/store/store.hpp"

namespace conveyor {

class DictStore : public Store {
 public:
  static constexpr Region::Type type{RegionKind::dict, store_layout_version};
  using Store::Store;

  // `canonical` is what is compared. `original.size` 0: the key is decoded from the canonical bytes.
  struct Key {
    Bytes canonical, original;
    std::uint64_t hash = 0;
  };
  // A key's bytes as they were given to `set`, and its value; in the Copy that came with the call.
  struct Item {
    Part key, value;
    bool original = false;  // `key` is the original bytes, not the canonical ones
  };
  std::uint64_t hash(const std::byte* data, std::size_t size) const;

  StoreStatus get(const Key& key, Nanoseconds deadline, Copy& into, Part& value);
  // ok: whether it is there.
  StoreStatus contains(const Key& key, Nanoseconds deadline);
  // The store's version when the value was written; 0: it is not there. `now`: the store's.
  StoreStatus look(const Key& key, Nanoseconds deadline, std::uint64_t& version, std::uint64_t& now, Copy& into,
                   Part& value);
  StoreStatus set(const Key& key, const Bytes& value, Nanoseconds deadline);
  // ok: it was not there, and is now. changed: it was there; its value is in `into`.
  StoreStatus set_default(const Key& key, const Bytes& value, Nanoseconds deadline, Copy& into, Part& found);
  // `into`: where the value goes that it had; or null. `taking`: or null; with it, `into` and `value` are those of
  // the call before.
  StoreStatus remove(const Key& key, Nanoseconds deadline, Copy* into, Part* value,
                     DecodeThenRemove* removal = nullptr);
  StoreStatus remove_last(Nanoseconds deadline, Copy& into, Item& item, DecodeThenRemove* removal = nullptr);
  StoreStatus clear(Nanoseconds deadline);
  // All of one moment; in the order of the keys.
  StoreStatus copy_all(bool keys, bool values, Nanoseconds deadline, Copy& into, std::vector<Item>& items,
                       std::uint64_t& version);

  // From now on nobody else may change this key, until the claim ends. `missing`: it is not there, and claimed all
  // the same.
  StoreStatus claim(const Key& key, Nanoseconds deadline, std::uint64_t& claim, Copy& into, Part& value);
  enum class Outcome { keep, write, remove };
  StoreStatus settle(const Key& key, std::uint64_t claim, Outcome outcome, const Bytes& value, Nanoseconds deadline);

 private:
  // Where the table lies; looked at once, and checked.
  struct Table {
    std::uint64_t block = 0, capacity = 0, slots = 0, filled = 0;
    TableEntry* entry = nullptr;
    std::uint64_t* slot = nullptr;
  };
  struct Place {
    std::uint64_t entry = 0, slot = 0;
  };
  Table table() const;
  Table lay_out(std::uint64_t block, std::uint64_t capacity, std::uint64_t slots) const;
  bool find(const Table& table, const Key& key, Place& place) const;
  bool same_key(const TableEntry& entry, const Key& key) const;
  Table with_room();
  Table rebuild(const Table& old, std::uint64_t capacity, std::uint64_t slots);
  void add(const Key& key, const Bytes& value);
  void replace(TableEntry& entry, const Bytes& value);
  void erase(const Table& table, const Place& place);
  void put(const Key& key, const Bytes& value);
  Item copy_item(const TableEntry& entry, bool keys, bool values, Copy& into) const;
  std::string walk(std::vector<Extent>& blocks) override;
};

}  // namespace conveyor
