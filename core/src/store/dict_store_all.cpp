// What concerns all of a dict: clearing it, its last item, a copy of everything.
#include "conveyor/store/dict_store.hpp"

namespace conveyor {

DictStore::Item DictStore::copy_item(const TableEntry& entry, bool keys, bool values, Copy& into) const {
  Item item;
  if (keys) {
    const std::uint64_t blob = read(entry.key);
    const std::uint64_t head = head_of(blob);
    const std::uint64_t bytes = BlockHead::size(head);
    if (bytes < sizeof(KeyHead)) damaged();
    const KeyHead key = snapshot(*reinterpret_cast<const KeyHead*>(content(blob)));
    if (sizeof(KeyHead) + std::uint64_t{key.canonical} + key.original != bytes) damaged();
    item.original = key.original != 0;
    const std::size_t size = item.original ? key.original : key.canonical;
    const std::byte* const from = content(blob) + sizeof(KeyHead) + (item.original ? key.canonical : 0);
    item.key = {into.size(), size, BlockHead::kind(head)};
    std::memcpy(into.extend(size), from, size);
  }
  if (values) item.value = copy_out(read(entry.value), into);
  return item;
}

StoreStatus DictStore::copy_all(bool keys, bool values, Nanoseconds deadline, Copy& into, std::vector<Item>& items,
                                std::uint64_t& version) {
  return locked(deadline, [&] {
    version = read(header_.state.version);
    const Table in = table();
    items.reserve(read(header_.state.length));  // checked by `table`, as is `filled`
    for (std::uint64_t i = 0; i < in.filled; ++i) {
      if (read(in.entry[i].key) != 0) items.push_back(copy_item(in.entry[i], keys, values, into));
    }
    return items.size() == read(header_.state.length) ? StoreStatus::ok : StoreStatus::corrupt;
  });
}

StoreStatus DictStore::remove_last(Nanoseconds deadline, Copy& into, Item& item, DecodeThenRemove* removal) {
  return locked(deadline, [&] {
    const Table in = table();
    std::uint64_t at = in.filled;
    while (at != 0 && read(in.entry[at - 1].key) == 0) --at;
    if (at == 0) return StoreStatus::missing;
    const TableEntry& entry = in.entry[at - 1];
    const std::uint64_t hash = read(entry.hash);
    if (const StoreStatus status = look_for_claims(hash); status != StoreStatus::ok) return status;
    if (removal == nullptr || removal->version != read(entry.version)) {
      into.clear();
      item = copy_item(entry, true, true, into);
      if (removal != nullptr &&
          !(removal->always_decodes(item.value.kind) && (!item.original || removal->always_decodes(item.key.kind)))) {
        removal->version = read(entry.version);
        return StoreStatus::changed;
      }
    }
    for (std::uint64_t step = 0; step < in.slots; ++step) {
      const std::uint64_t slot = (hash + step) & (in.slots - 1);
      const std::uint64_t found = read(in.slot[slot]);
      if (found == slot_empty) break;
      if (found != slot_deleted && (found & 0xffffffff) == at) {
        erase(in, {at - 1, slot});
        Store::set(header_.state.filled, at - 1);
        commit();
        return StoreStatus::ok;
      }
    }
    damaged();
  });
}

StoreStatus DictStore::clear(Nanoseconds deadline) {
  return locked(deadline, [&] {
    if (const StoreStatus status = look_for_any_claims(); status != StoreStatus::ok) return status;
    const Table in = table();
    if (in.block == 0) return StoreStatus::ok;
    throw_away(TrashKind::table, in.block, 0, in.filled);
    for (std::uint64_t* const word :
         {&header_.state.root, &header_.state.length, &header_.state.filled, &header_.state.taken})
      Store::set(*word, 0);
    changed();
    commit();
    empty_trash();
    return StoreStatus::ok;
  });
}

std::string DictStore::walk(std::vector<Extent>& blocks) {
  const Table in = table();
  if (in.block == 0) return read(header_.state.length) == 0 ? "" : "items without a table";
  blocks.push_back(extent_of(in.block));
  std::uint64_t live = 0, taken = 0;
  for (std::uint64_t i = 0; i < in.filled; ++i) {
    const TableEntry& entry = in.entry[i];
    if (read(entry.key) == 0) continue;
    ++live;
    blocks.push_back(extent_of(read(entry.key)));
    blocks.push_back(extent_of(read(entry.value)));
    const KeyHead head = snapshot(*reinterpret_cast<const KeyHead*>(content(read(entry.key))));
    const Bytes canonical{content(read(entry.key)) + sizeof(KeyHead), head.canonical};
    if (hash(canonical.data, canonical.size) != read(entry.hash)) return "a key has not the hash that stands there";
    Place place;
    if (!find(in, {canonical, {}, read(entry.hash)}, place) || place.entry != i) return "a key cannot be found";
  }
  std::uint64_t slots = 0;
  for (std::uint64_t i = 0; i < in.slots; ++i) {
    const std::uint64_t slot = read(in.slot[i]);
    if (slot == slot_empty) continue;
    ++taken;
    if (slot != slot_deleted) ++slots;
  }
  if (live != read(header_.state.length) || slots != live) return "the length is wrong";
  return taken == read(header_.state.taken) ? "" : "the count of taken slots is wrong";
}

}  // namespace conveyor
