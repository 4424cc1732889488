#include "conveyor/store/list_store.hpp"

#include <algorithm>

#include "conveyor/base/kill_point.hpp"

namespace conveyor {
namespace {

// So many offsets are moved one by one; each takes a word of the journal.
constexpr std::uint64_t few = 100;

// The index from the beginning, or `length` when it is outside.
std::uint64_t place_of(std::int64_t index, std::uint64_t length) {
  const auto whole = static_cast<std::int64_t>(length);
  if (index < 0) index += whole;
  return index < 0 || index >= whole ? length : static_cast<std::uint64_t>(index);
}

}  // namespace

ListStore::Ring ListStore::ring() const {
  const StoreState& state = header_.state;
  Ring found;
  found.block = Store::get(state.root);
  found.length = Store::get(state.length);
  found.first = Store::get(state.first);
  if (found.block == 0) {
    if (found.length != 0) damaged();
    return found;
  }
  found.capacity = ring_capacity(found.block);
  if (found.length > found.capacity) damaged();
  return found;
}

bool ListStore::is_copy(std::uint64_t block, Copy& copy, const Part& part) const {
  const std::uint64_t head = head_of(block);
  return BlockHead::kind(head) == part.kind && BlockHead::size(head) == part.size &&
         (part.size == 0 || std::memcmp(content(block), copy.data() + part.offset, part.size) == 0);
}

ListStore::Ring ListStore::resize(const Ring& old, std::uint64_t capacity) {
  Ring made = old;
  if (old.block != 0) will_free(old.block);
  made.block = make_ring(capacity);
  made.capacity = ring_capacity(made.block);
  made.first = 0;
  for (std::uint64_t i = 0; i < old.length; ++i) write(slot(made, i), blob(old, i));
  Store::set(header_.state.root, made.block);
  Store::set(header_.state.first, 0);
  if (old.block != 0) free(old.block);
  CONVEYOR_KILL_POINT("store.ring-resized");
  commit();
  return made;
}

ListStore::Ring ListStore::with_room(std::uint64_t more) {
  const Ring now = ring();
  return more <= now.capacity - now.length ? now : resize(now, std::max(now.length + more, now.length * 2));
}

StoreStatus ListStore::get(std::int64_t index, Nanoseconds deadline, Copy& into, Part& item) {
  return locked(deadline, [&] {
    const Ring in = ring();
    const std::uint64_t at = place_of(index, in.length);
    if (at == in.length) return StoreStatus::missing;
    item = copy_out(blob(in, at), into);
    return StoreStatus::ok;
  });
}

StoreStatus ListStore::set(std::int64_t index, const Bytes& item, Nanoseconds deadline) {
  return locked(deadline, [&] {
    const Ring in = ring();
    const std::uint64_t at = place_of(index, in.length);
    if (at == in.length) return StoreStatus::missing;
    const std::uint64_t old = blob(in, at);
    will_free(old);
    Store::set(slot(in, at), store(item));
    free(old);
    changed();
    commit();
    return StoreStatus::ok;
  });
}

// The shorter side moves by one, into or over what is no item's place.
void ListStore::make_gap(const Ring& in, std::uint64_t index, std::uint64_t item) {
  Ring now = in;
  if (index < in.length - index) {
    now.first = in.first - 1;
    Store::set(header_.state.first, now.first);
    for (std::uint64_t i = 0; i < index; ++i) set_first(slot(now, i), blob(in, i));
  } else {
    for (std::uint64_t i = index; i < in.length; ++i) set_first(slot(now, i + 1), blob(in, i));
  }
  set_first(slot(now, index), item);
  Store::set(header_.state.length, in.length + 1);
}

void ListStore::close_gap(const Ring& in, std::uint64_t index) {
  if (index < in.length - index) {
    Store::set(header_.state.first, in.first + 1);
    for (std::uint64_t i = 0; i < index; ++i) set_first(slot(in, i + 1), blob(in, i));
  } else {
    for (std::uint64_t i = index; i + 1 < in.length; ++i) set_first(slot(in, i), blob(in, i + 1));
  }
  Store::set(header_.state.length, in.length - 1);
}

StoreStatus ListStore::insert(std::int64_t index, const Bytes& item, Nanoseconds deadline) {
  return locked(deadline, [&] {
    const Ring in = with_room(1);
    const auto whole = static_cast<std::int64_t>(in.length);
    if (index < 0) index = std::max<std::int64_t>(index + whole, 0);
    const auto at = static_cast<std::uint64_t>(std::min(index, whole));
    const std::uint64_t made = store(item);
    if (std::min(at, in.length - at) <= few) {
      make_gap(in, at, made);
    } else {
      Ring fresh = in;
      will_free(in.block);
      fresh.block = make_ring(in.length + 1);
      fresh.capacity = ring_capacity(fresh.block);
      fresh.first = 0;
      for (std::uint64_t i = 0; i < at; ++i) write(slot(fresh, i), blob(in, i));
      write(slot(fresh, at), made);
      for (std::uint64_t i = at; i < in.length; ++i) write(slot(fresh, i + 1), blob(in, i));
      Store::set(header_.state.root, fresh.block);
      Store::set(header_.state.first, 0);
      Store::set(header_.state.length, in.length + 1);
      free(in.block);
    }
    changed();
    commit();
    return StoreStatus::ok;
  });
}

StoreStatus ListStore::remove(std::int64_t index, Nanoseconds deadline, Copy* into, Part* item, std::uint64_t version,
                              DecodeThenRemove* removal) {
  return locked(deadline, [&] {
    if (version != any_version && read(header_.state.version) != version) return StoreStatus::changed;
    Ring in = ring();
    const std::uint64_t at = place_of(index, in.length);
    if (at == in.length) return StoreStatus::missing;
    const std::uint64_t old = blob(in, at);
    if (into != nullptr && !(removal != nullptr && removal->seen && is_copy(old, *into, *item))) {
      into->clear();
      *item = copy_out(old, *into);
      if (removal != nullptr && !removal->always_decodes(item->kind)) {
        removal->seen = true;
        return StoreStatus::changed;
      }
    }
    // A list that was long gives its ring back.
    if (in.capacity > 64 && in.length < in.capacity / 4) {
      try {
        in = resize(in, in.length * 2);
      } catch (const NoMemory&) {
        forget();  // it can do so later
      }
    }
    if (std::min(at, in.length - at) <= few) {
      close_gap(in, at);
    } else {
      Ring fresh = in;
      will_free(in.block);
      fresh.block = make_ring(in.length);
      fresh.capacity = ring_capacity(fresh.block);
      fresh.first = 0;
      for (std::uint64_t i = 0; i + 1 < in.length; ++i) write(slot(fresh, i), blob(in, i < at ? i : i + 1));
      Store::set(header_.state.root, fresh.block);
      Store::set(header_.state.first, 0);
      Store::set(header_.state.length, in.length - 1);
      free(in.block);
    }
    free(old);
    changed();
    commit();
    return StoreStatus::ok;
  });
}

}  // namespace conveyor
