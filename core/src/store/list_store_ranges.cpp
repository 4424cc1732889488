// What concerns many items of a list at once: each is one commit.
#include <algorithm>

#include "conveyor/base/kill_point.hpp"
#include "conveyor/store/list_store.hpp"

namespace conveyor {

// As PySlice_AdjustIndices has it.
ListStore::Fitted ListStore::fit(const Range& range, std::uint64_t length) {
  const auto whole = static_cast<std::int64_t>(length);
  const auto clip = [&](std::int64_t index) {
    const std::int64_t least = range.step < 0 ? -1 : 0, most = range.step < 0 ? whole - 1 : whole;
    if (index < 0) index = index < -whole ? least : index + whole;
    return std::clamp(index, least, std::max(most, least));
  };
  const std::int64_t start = clip(range.start), stop = clip(range.stop);
  std::uint64_t count = 0;
  if (range.step > 0 && start < stop) {
    count = static_cast<std::uint64_t>(stop - start - 1) / static_cast<std::uint64_t>(range.step) + 1;
  } else if (range.step < 0 && stop < start) {
    count = static_cast<std::uint64_t>(start - stop - 1) / (0 - static_cast<std::uint64_t>(range.step)) + 1;
  }
  return {static_cast<std::uint64_t>(start < 0 ? 0 : start), count, range.step};
}

StoreStatus ListStore::copy(const Range& range, Nanoseconds deadline, Copy& into, std::vector<Part>& items,
                            std::uint64_t& version) {
  return locked(deadline, [&] {
    version = read(header_.state.version);
    const Ring in = ring();
    const Fitted wanted = fit(range, in.length);
    items.reserve(wanted.count);
    std::uint64_t at = wanted.start;
    for (std::uint64_t i = 0; i < wanted.count; ++i, at += static_cast<std::uint64_t>(wanted.step))
      items.push_back(copy_out(blob(in, at), into));
    return StoreStatus::ok;
  });
}

std::vector<std::uint64_t> ListStore::raise_all(const std::vector<Bytes>& items) {
  std::vector<std::uint64_t> blobs;
  blobs.reserve(items.size());
  begin_nursery(items.size());
  for (const Bytes& item : items) blobs.push_back(raise(item));
  commit();
  return blobs;
}

void ListStore::discard(const std::vector<std::uint64_t>& blobs) {
  const std::uint64_t ring = make_ring(blobs.size(), true), capacity = ring_capacity(ring);
  for (std::size_t i = 0; i < blobs.size(); ++i) write(ring_slot(ring, capacity, i), blobs[i]);
  throw_away(TrashKind::ring, ring, 0, blobs.size());
}

void ListStore::become(const Ring& old, const std::vector<std::uint64_t>& blobs,
                       const std::vector<std::uint64_t>& removed, bool has_nursery) {
  Ring fresh;
  if (old.block != 0) will_free(old.block);
  fresh.block = make_ring(blobs.size());
  fresh.capacity = ring_capacity(fresh.block);
  for (std::size_t i = 0; i < blobs.size(); ++i) write(slot(fresh, i), blobs[i]);
  if (!removed.empty()) discard(removed);
  Store::set(header_.state.root, fresh.block);
  Store::set(header_.state.first, 0);
  Store::set(header_.state.length, blobs.size());
  if (old.block != 0) free(old.block);
  if (has_nursery) end_nursery();
  changed();
  CONVEYOR_KILL_POINT("store.before-become");
  commit();
  empty_trash();
}

StoreStatus ListStore::replace(const Range& range, const std::vector<Bytes>& items, Nanoseconds deadline,
                               std::uint64_t& expected) {
  return locked(deadline, [&] {
    const Ring in = ring();
    const Fitted wanted = fit(range, in.length);
    expected = wanted.count;
    if (range.step != 1 && wanted.count != items.size()) return StoreStatus::changed;
    if (items.empty() && wanted.count == 0) return StoreStatus::ok;
    if (wanted.start == in.length && wanted.count == 0) {  // at the end: the ring stays
      const Ring now = with_room(items.size());
      const std::vector<std::uint64_t> blobs = raise_all(items);
      // Nobody looks at these slots before `length` says that they are there.
      for (std::size_t i = 0; i < blobs.size(); ++i) write(slot(now, now.length + i), blobs[i]);
      Store::set(header_.state.length, now.length + blobs.size());
      end_nursery();
      changed();
      CONVEYOR_KILL_POINT("store.before-extend");
      commit();
      return StoreStatus::ok;
    }
    std::vector<std::uint64_t> all, removed;
    all.reserve(in.length + items.size());
    removed.reserve(wanted.count);
    const std::vector<std::uint64_t> blobs = items.empty() ? std::vector<std::uint64_t>{} : raise_all(items);
    for (std::uint64_t i = 0; i < in.length; ++i) all.push_back(blob(in, i));
    std::uint64_t at = wanted.start;
    if (range.step == 1) {
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(at);
      const auto to = from + static_cast<std::ptrdiff_t>(wanted.count);
      removed.assign(from, to);
      all.insert(all.erase(from, to), blobs.begin(), blobs.end());
    } else {
      for (const std::uint64_t made : blobs) {
        removed.push_back(std::exchange(all[at], made));
        at += static_cast<std::uint64_t>(wanted.step);
      }
    }
    become(in, all, removed, !items.empty());
    return StoreStatus::ok;
  });
}

StoreStatus ListStore::remove_range(const Range& range, Nanoseconds deadline) {
  return locked(deadline, [&] {
    const Ring in = ring();
    const Fitted wanted = fit(range, in.length);
    if (wanted.count == 0) return StoreStatus::ok;
    if (wanted.count == in.length) return drop_all(in);
    std::vector<bool> goes(in.length);
    std::uint64_t at = wanted.start;
    for (std::uint64_t i = 0; i < wanted.count; ++i, at += static_cast<std::uint64_t>(wanted.step)) goes[at] = true;
    std::vector<std::uint64_t> all, removed;
    for (std::uint64_t i = 0; i < in.length; ++i) (goes[i] ? removed : all).push_back(blob(in, i));
    const bool at_front = goes[0] && !goes[in.length - 1] && wanted.step == 1;
    if (at_front) {  // the ring stays
      discard(removed);
      Store::set(header_.state.first, in.first + wanted.count);
      Store::set(header_.state.length, in.length - wanted.count);
      changed();
      commit();
      empty_trash();
    } else {
      become(in, all, removed, false);
    }
    return StoreStatus::ok;
  });
}

StoreStatus ListStore::drop_all(const Ring& in) {
  throw_away(TrashKind::ring, in.block, in.first, in.length);
  Store::set(header_.state.root, 0);
  Store::set(header_.state.length, 0);
  Store::set(header_.state.first, 0);
  changed();
  commit();
  empty_trash();
  return StoreStatus::ok;
}

StoreStatus ListStore::clear(Nanoseconds deadline) {
  return locked(deadline, [&] {
    const Ring in = ring();
    return in.block == 0 ? StoreStatus::ok : drop_all(in);
  });
}

StoreStatus ListStore::reverse(Nanoseconds deadline) {
  return locked(deadline, [&] {
    const Ring in = ring();
    if (in.length == 0) return StoreStatus::ok;
    std::vector<std::uint64_t> all;
    all.reserve(in.length);
    for (std::uint64_t i = in.length; i-- != 0;) all.push_back(blob(in, i));
    become(in, all, {}, false);
    return StoreStatus::ok;
  });
}

StoreStatus ListStore::reorder(const std::vector<std::uint64_t>& order, std::uint64_t version, Nanoseconds deadline) {
  return locked(deadline, [&] {
    const Ring in = ring();
    if (read(header_.state.version) != version || order.size() != in.length) return StoreStatus::changed;
    if (in.length == 0) return StoreStatus::ok;
    std::vector<std::uint64_t> all;
    std::vector<bool> seen(in.length);
    all.reserve(in.length);
    for (const std::uint64_t from : order) {
      if (from >= in.length || seen[from]) return StoreStatus::missing;  // no permutation
      seen[from] = true;
      all.push_back(blob(in, from));
    }
    become(in, all, {}, false);
    return StoreStatus::ok;
  });
}

std::string ListStore::walk(std::vector<Extent>& blocks) {
  const Ring in = ring();
  if (in.block != 0) walk_ring(in.block, in.first, in.length, blocks);
  return "";
}

}  // namespace conveyor
