#include "conveyor/store/dict_store.hpp"

#include <algorithm>
#include <bit>

#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

constexpr std::uint64_t tag_of(std::uint64_t hash) { return hash >> 32 << 32; }
constexpr std::uint64_t number_in(std::uint64_t slot) { return slot & 0xffffffff; }
// At most so many slots of a table may be taken.
constexpr std::uint64_t bearable(std::uint64_t slots) { return slots - slots / 3; }

// Multiply to 128 bits and fold, eight bytes at a time (as in wyhash and its kin).
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

std::uint64_t DictStore::hash(const std::byte* data, std::size_t size) const {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15, other = 0xD6E8FEB86659FD93;
  std::uint64_t sum = seed() ^ mix(size ^ odd, other);
  std::uint64_t word;
  for (; size >= sizeof word; size -= sizeof word, data += sizeof word) {
    std::memcpy(&word, data, sizeof word);
    sum = mix(sum ^ word, odd);
  }
  word = 0;
  if (size != 0) std::memcpy(&word, data, size);
  return mix(sum ^ word, other) ^ sum;
}

DictStore::Table DictStore::lay_out(std::uint64_t block, std::uint64_t capacity, std::uint64_t slots) const {
  Table made;
  made.block = block;
  made.capacity = capacity;
  made.slots = slots;
  made.entry = reinterpret_cast<TableEntry*>(content(block) + sizeof(TableShape));
  made.slot = reinterpret_cast<std::uint64_t*>(made.entry + capacity);
  return made;
}

DictStore::Table DictStore::table() const {
  const std::uint64_t root = Store::get(header_.state.root);
  if (root == 0) {
    if (Store::get(header_.state.length) != 0) damaged();
    return {};
  }
  const std::uint64_t bytes = BlockHead::size(head_of(root));
  if (bytes < sizeof(TableShape)) damaged();
  const TableShape shape = snapshot(*reinterpret_cast<const TableShape*>(content(root)));
  if (shape.capacity > size() / sizeof(TableEntry) || shape.slots > size() / 8 || !std::has_single_bit(shape.slots) ||
      sizeof(TableShape) + shape.capacity * sizeof(TableEntry) + shape.slots * 8 != bytes)
    damaged();
  Table made = lay_out(root, shape.capacity, shape.slots);
  made.filled = Store::get(header_.state.filled);
  if (made.filled > made.capacity || Store::get(header_.state.length) > made.filled) damaged();
  return made;
}

bool DictStore::same_key(const TableEntry& entry, const Key& key) const {
  const std::uint64_t blob = read(entry.key);
  const std::uint64_t bytes = BlockHead::size(head_of(blob));
  if (bytes < sizeof(KeyHead)) damaged();
  const KeyHead head = snapshot(*reinterpret_cast<const KeyHead*>(content(blob)));
  if (sizeof(KeyHead) + std::uint64_t{head.canonical} + head.original != bytes) damaged();
  return head.canonical == key.canonical.size &&
         std::memcmp(content(blob) + sizeof(KeyHead), key.canonical.data, key.canonical.size) == 0;
}

// True: where it is. False: the slot that it would take.
bool DictStore::find(const Table& in, const Key& key, Place& place) const {
  bool has_place = false;
  for (std::uint64_t step = 0; step < in.slots; ++step) {
    const std::uint64_t at = (key.hash + step) & (in.slots - 1);
    const std::uint64_t slot = read(in.slot[at]);
    if (slot == slot_empty || slot == slot_deleted) {
      if (!has_place) place.slot = at;
      has_place = true;
      if (slot == slot_empty) return false;
      continue;
    }
    if (tag_of(slot) != tag_of(key.hash)) continue;
    const std::uint64_t number = number_in(slot) - 1;
    if (number >= in.filled) damaged();
    const TableEntry& entry = in.entry[number];
    if (read(entry.key) == 0) damaged();
    if (read(entry.hash) == key.hash && same_key(entry, key)) {
      place = {number, at};
      return true;
    }
  }
  if (!has_place && in.slots != 0) damaged();  // a sound table has empty slots
  return false;
}

DictStore::Table DictStore::rebuild(const Table& old, std::uint64_t capacity, std::uint64_t slots) {
  StoreState& state = header_.state;
  const std::uint64_t live = Store::get(state.length);
  if (old.block != 0) will_free(old.block);
  const std::uint64_t block = allocate(sizeof(TableShape) + capacity * sizeof(TableEntry) + slots * 8, 0);
  Table made = lay_out(block, capacity, slots);
  const TableShape shape{capacity, slots};
  std::memcpy(content(block), &shape, sizeof shape);
  std::memset(made.slot, 0, slots * 8);
  for (std::uint64_t i = 0; i < old.filled; ++i) {
    const TableEntry entry = snapshot(old.entry[i]);
    if (entry.key == 0) continue;
    if (made.filled == live) damaged();
    made.entry[made.filled] = entry;
    std::uint64_t at = entry.hash & (slots - 1);
    while (made.slot[at] != slot_empty) at = (at + 1) & (slots - 1);
    made.slot[at] = tag_of(entry.hash) | ++made.filled;
  }
  if (made.filled != live) damaged();
  Store::set(state.root, block);
  Store::set(state.filled, live);
  Store::set(state.taken, live);
  if (old.block != 0) free(old.block);
  CONVEYOR_KILL_POINT("store.rebuilt");
  commit();
  return made;
}

DictStore::Table DictStore::with_room() {
  const Table now = table();
  if (now.filled < now.capacity && Store::get(header_.state.taken) < bearable(now.slots)) return now;
  const std::uint64_t live = Store::get(header_.state.length);
  const std::uint64_t wanted = live + live / 2 + 8;
  if (wanted > most_entries) throw NoMemory{StoreStatus::no_memory};
  const std::uint64_t slots = std::bit_ceil(wanted + wanted / 2);
  const std::uint64_t capacity = std::max(wanted, std::min(bearable(slots), wanted * 2));
  try {
    return rebuild(now, capacity, slots);
  } catch (const NoMemory&) {
    // There is room for what takes the place of something that was removed: a table of this size has it.
    if (live >= now.capacity || live >= bearable(now.slots)) throw;
    forget();
    return rebuild(now, now.capacity, now.slots);
  }
}

void DictStore::replace(TableEntry& entry, const Bytes& value) {
  const std::uint64_t old = read(entry.value);
  will_free(old);
  const std::uint64_t blob = store(value);
  changed();
  Store::set(entry.value, blob);
  Store::set(entry.version, Store::get(header_.state.version));
  free(old);
}

void DictStore::add(const Key& key, const Bytes& value) {
  StoreState& state = header_.state;
  const Table in = with_room();
  Place place;
  if (find(in, key, place)) damaged();
  const std::uint64_t blob = allocate(sizeof(KeyHead) + key.canonical.size + key.original.size, key.original.kind);
  const KeyHead head{static_cast<std::uint32_t>(key.canonical.size), static_cast<std::uint32_t>(key.original.size)};
  std::byte* const at = content(blob);
  std::memcpy(at, &head, sizeof head);
  std::memcpy(at + sizeof head, key.canonical.data, key.canonical.size);
  if (key.original.size != 0) std::memcpy(at + sizeof head + key.canonical.size, key.original.data, key.original.size);
  const std::uint64_t value_blob = store(value);
  changed();
  // Nobody looks at this entry before `filled` and the slot say that it is there.
  TableEntry& entry = in.entry[in.filled];
  write(entry.hash, key.hash);
  write(entry.key, blob);
  write(entry.value, value_blob);
  write(entry.version, Store::get(state.version));
  if (read(in.slot[place.slot]) == slot_empty) Store::set(state.taken, Store::get(state.taken) + 1);
  Store::set(in.slot[place.slot], tag_of(key.hash) | (in.filled + 1));
  Store::set(state.filled, in.filled + 1);
  Store::set(state.length, Store::get(state.length) + 1);
}

void DictStore::erase(const Table& in, const Place& place) {
  StoreState& state = header_.state;
  TableEntry& entry = in.entry[place.entry];
  const std::uint64_t key = read(entry.key), value = read(entry.value);
  // With nothing behind it that was put there because of it, the slot is as good as new.
  const bool is_last = read(in.slot[(place.slot + 1) & (in.slots - 1)]) == slot_empty;
  Store::set(in.slot[place.slot], is_last ? slot_empty : slot_deleted);
  if (const std::uint64_t taken = Store::get(state.taken); is_last && taken != 0) Store::set(state.taken, taken - 1);
  Store::set(entry.key, 0);
  Store::set(state.length, Store::get(state.length) - 1);
  if (place.entry + 1 == in.filled) Store::set(state.filled, place.entry);
  changed();
  free(key);
  free(value);
}

void DictStore::put(const Key& key, const Bytes& value) {
  const Table in = table();
  Place place;
  if (find(in, key, place)) {
    replace(in.entry[place.entry], value);
  } else {
    add(key, value);
  }
}

StoreStatus DictStore::get(const Key& key, Nanoseconds deadline, Copy& into, Part& value) {
  return locked(deadline, [&] {
    const Table in = table();
    Place place;
    if (!find(in, key, place)) return StoreStatus::missing;
    value = copy_out(read(in.entry[place.entry].value), into);
    return StoreStatus::ok;
  });
}

StoreStatus DictStore::contains(const Key& key, Nanoseconds deadline) {
  return locked(deadline, [&] {
    Place place;
    return find(table(), key, place) ? StoreStatus::ok : StoreStatus::missing;
  });
}

StoreStatus DictStore::look(const Key& key, Nanoseconds deadline, std::uint64_t& version, std::uint64_t& now,
                            Copy& into, Part& value) {
  return locked(deadline, [&] {
    now = read(header_.state.version);
    const std::uint64_t known = version;
    version = 0;
    const Table in = table();
    Place place;
    if (!find(in, key, place)) return StoreStatus::missing;
    version = read(in.entry[place.entry].version);
    if (version != known) value = copy_out(read(in.entry[place.entry].value), into);
    return StoreStatus::ok;
  });
}

StoreStatus DictStore::set(const Key& key, const Bytes& value, Nanoseconds deadline) {
  return locked(deadline, [&] {
    if (const StoreStatus status = look_for_claims(key.hash); status != StoreStatus::ok) return status;
    put(key, value);
    commit();
    return StoreStatus::ok;
  });
}

StoreStatus DictStore::set_default(const Key& key, const Bytes& value, Nanoseconds deadline, Copy& into, Part& found) {
  return locked(deadline, [&] {
    const Table in = table();
    Place place;
    if (find(in, key, place)) {
      found = copy_out(read(in.entry[place.entry].value), into);
      return StoreStatus::changed;
    }
    if (const StoreStatus status = look_for_claims(key.hash); status != StoreStatus::ok) return status;
    add(key, value);
    commit();
    return StoreStatus::ok;
  });
}

StoreStatus DictStore::remove(const Key& key, Nanoseconds deadline, Copy* into, Part* value,
                              DecodeThenRemove* removal) {
  return locked(deadline, [&] {
    const Table in = table();
    Place place;
    if (!find(in, key, place)) return StoreStatus::missing;
    if (const StoreStatus status = look_for_claims(key.hash); status != StoreStatus::ok) return status;
    const TableEntry& entry = in.entry[place.entry];
    if (into != nullptr && (removal == nullptr || removal->version != read(entry.version))) {
      into->clear();
      *value = copy_out(read(entry.value), *into);
      if (removal != nullptr && !removal->always_decodes(value->kind)) {
        removal->version = read(entry.version);
        return StoreStatus::changed;
      }
    }
    erase(in, place);
    commit();
    return StoreStatus::ok;
  });
}

StoreStatus DictStore::claim(const Key& key, Nanoseconds deadline, std::uint64_t& claim, Copy& into, Part& value) {
  return locked(deadline, [&] {
    const Table in = table();
    Place place;
    const bool found = find(in, key, place);
    if (found) value = copy_out(read(in.entry[place.entry].value), into);
    const StoreStatus status = make_claim(key.hash, claim);
    return status == StoreStatus::ok && !found ? StoreStatus::missing : status;
  });
}

StoreStatus DictStore::settle(const Key& key, std::uint64_t claim, Outcome outcome, const Bytes& value,
                              Nanoseconds deadline) {
  return locked(deadline, [&] {
    if (find_claim(claim) == nullptr) return StoreStatus::lapsed;
    if (outcome == Outcome::write) {
      put(key, value);
    } else if (outcome == Outcome::remove) {
      const Table in = table();
      Place place;
      if (find(in, key, place)) erase(in, place);
    }
    // The same commit: nobody sees the claim gone and the old value.
    end_claim(*find_claim(claim));
    commit();
    return StoreStatus::ok;
  });
}

}  // namespace conveyor
