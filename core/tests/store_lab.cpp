#include "store_lab.hpp"

#include <algorithm>
#include <random>

namespace lab {
namespace {

using namespace conveyor;

// What an operation is, whoever does it.
struct Chance {
  std::mt19937 random;
  unsigned kind;
  Chance(unsigned seed, unsigned number) : random(seed * 7919 + number), kind(random() % 100) {}
  unsigned below(unsigned bound) { return random() % bound; }
  std::string value() {
    const unsigned sort = below(100);
    const std::size_t size = sort < 80 ? below(60) : sort < 97 ? below(3000) : 70'000 + below(200'000);
    return std::string(size, static_cast<char>('a' + below(26)));
  }
  std::string key() { return "key " + std::to_string(below(300)) + std::string(below(2) * 40, 'x'); }
  std::vector<std::string> values() {
    std::vector<std::string> made(below(12) == 0 ? 150 : below(6));
    for (std::string& each : made) each = std::string(below(200), 'v');
    return made;
  }
};

std::string text(Copy& copy, const Part& part) {
  return std::string(reinterpret_cast<const char*>(copy.data() + part.offset), part.size);
}

auto find(DictScript::Model& model, const std::string& key) {
  return std::find_if(model.begin(), model.end(), [&](const auto& each) { return each.first == key; });
}

void assign(DictScript::Model& model, const std::string& key, const std::string& value) {
  if (const auto at = find(model, key); at != model.end()) {
    at->second = value;
  } else {
    model.emplace_back(key, value);
  }
}

bool is(StoreStatus status, StoreStatus one, StoreStatus other) { return status == one || status == other; }

ListStore::Range range(Chance& chance, bool extended) {
  ListStore::Range made;
  made.start = static_cast<std::int64_t>(chance.below(60)) - 20;
  made.stop = made.start + chance.below(15);
  if (extended) made.step = static_cast<std::int64_t>(chance.below(3)) + 1;
  return made;
}

std::int64_t clip(std::int64_t index, std::size_t length) {
  const auto whole = static_cast<std::int64_t>(length);
  if (index < 0) index = std::max<std::int64_t>(index + whole, 0);
  return std::min(index, whole);
}

}  // namespace

Bytes bytes_of(const std::string& from) { return {reinterpret_cast<const std::byte*>(from.data()), from.size(), 7}; }

DictStore::Key key_of(const DictStore& store, const std::string& from) {
  DictStore::Key key;
  key.canonical = bytes_of(from);
  key.hash = store.hash(key.canonical.data, key.canonical.size);
  return key;
}

bool DictScript::act(Store& store, unsigned seed, unsigned number) {
  Chance chance(seed, number);
  const std::string key = chance.key(), value = chance.value();
  const auto its_key = key_of(store, key);
  Copy copy;
  Part part;
  DictStore::Item item;
  if (chance.kind < 50) return store.set(its_key, bytes_of(value), forever) == StoreStatus::ok;
  if (chance.kind < 75) return is(store.remove(its_key, forever, &copy, &part), StoreStatus::ok, StoreStatus::missing);
  if (chance.kind < 82)
    return is(store.set_default(its_key, bytes_of(value), forever, copy, part), StoreStatus::ok, StoreStatus::changed);
  if (chance.kind < 88) return is(store.remove_last(forever, copy, item), StoreStatus::ok, StoreStatus::missing);
  if (chance.kind < 98) {
    std::uint64_t claim = 0;
    if (!is(store.claim(its_key, forever, claim, copy, part), StoreStatus::ok, StoreStatus::missing)) return false;
    const auto outcome = static_cast<DictStore::Outcome>(chance.below(3));
    return store.settle(its_key, claim, outcome, bytes_of(value), forever) == StoreStatus::ok;
  }
  return store.clear(forever) == StoreStatus::ok;
}

void DictScript::act(Model& model, unsigned seed, unsigned number) {
  Chance chance(seed, number);
  const std::string key = chance.key(), value = chance.value();
  const auto remove = [&] {
    if (const auto at = find(model, key); at != model.end()) model.erase(at);
  };
  if (chance.kind < 50) {
    assign(model, key, value);
  } else if (chance.kind < 75) {
    remove();
  } else if (chance.kind < 82) {
    if (find(model, key) == model.end()) assign(model, key, value);
  } else if (chance.kind < 88) {
    if (!model.empty()) model.pop_back();
  } else if (chance.kind < 98) {
    const auto outcome = static_cast<DictStore::Outcome>(chance.below(3));
    if (outcome == DictStore::Outcome::write) assign(model, key, value);
    if (outcome == DictStore::Outcome::remove) remove();
  } else {
    model.clear();
  }
}

std::string DictScript::read(Store& store, Model& into) {
  Copy copy;
  std::vector<DictStore::Item> items;
  std::uint64_t version = 0;
  if (store.copy_all(true, true, forever, copy, items, version) != StoreStatus::ok) return "cannot be copied";
  into.clear();
  for (const DictStore::Item& each : items) {
    if (each.value.kind != 7) return "a value of the wrong kind";
    into.emplace_back(text(copy, each.key), text(copy, each.value));
  }
  return "";
}

bool ListScript::act(Store& store, unsigned seed, unsigned number) {
  Chance chance(seed, number);
  const std::string value = chance.value();
  const auto index = static_cast<std::int64_t>(chance.below(300)) - 150;
  Copy copy;
  Part part;
  if (chance.kind < 40) return store.append(bytes_of(value), forever) == StoreStatus::ok;
  if (chance.kind < 52) return store.insert(index, bytes_of(value), forever) == StoreStatus::ok;
  if (chance.kind < 62) return is(store.set(index, bytes_of(value), forever), StoreStatus::ok, StoreStatus::missing);
  if (chance.kind < 80) return is(store.remove(index, forever, &copy, &part), StoreStatus::ok, StoreStatus::missing);
  if (chance.kind < 88) {
    const ListStore::Range where = chance.kind < 84 ? ListStore::Range{INT64_MAX} : range(chance, false);
    const std::vector<std::string> values = chance.values();
    std::vector<Bytes> items;
    for (const std::string& each : values) items.push_back(bytes_of(each));
    std::uint64_t expected = 0;
    return store.replace(where, items, forever, expected) == StoreStatus::ok;
  }
  if (chance.kind < 95) return store.remove_range(range(chance, true), forever) == StoreStatus::ok;
  if (chance.kind < 99) {  // reversed
    std::uint64_t length = 0, version = 0, used = 0;
    if (store.figures(forever, length, version, used) != StoreStatus::ok) return false;
    std::vector<std::uint64_t> order(length);
    for (std::uint64_t i = 0; i < length; ++i) order[i] = length - 1 - i;
    return store.reorder(order, version, forever) == StoreStatus::ok;
  }
  return store.clear(forever) == StoreStatus::ok;
}

void ListScript::act(Model& model, unsigned seed, unsigned number) {
  Chance chance(seed, number);
  const std::string value = chance.value();
  auto index = static_cast<std::int64_t>(chance.below(300)) - 150;
  const auto whole = static_cast<std::int64_t>(model.size());
  const std::int64_t place = index < 0 ? index + whole : index;
  const bool there = place >= 0 && place < whole;
  if (chance.kind < 40) {
    model.push_back(value);
  } else if (chance.kind < 52) {
    model.insert(model.begin() + clip(index, model.size()), value);
  } else if (chance.kind < 62) {
    if (there) model[static_cast<std::size_t>(place)] = value;
  } else if (chance.kind < 80) {
    if (there) model.erase(model.begin() + place);
  } else if (chance.kind < 88) {
    const ListStore::Range where = chance.kind < 84 ? ListStore::Range{whole, whole} : range(chance, false);
    const std::vector<std::string> values = chance.values();
    const std::int64_t start = clip(where.start, model.size()), stop = std::max(start, clip(where.stop, model.size()));
    model.erase(model.begin() + start, model.begin() + stop);
    model.insert(model.begin() + start, values.begin(), values.end());
  } else if (chance.kind < 95) {
    const ListStore::Range where = range(chance, true);
    const std::int64_t start = clip(where.start, model.size()), stop = clip(where.stop, model.size());
    Model left;
    for (std::int64_t i = 0; i < whole; ++i) {
      const bool goes = i >= start && i < stop && (i - start) % where.step == 0;
      if (!goes) left.push_back(model[static_cast<std::size_t>(i)]);
    }
    model = left;
  } else if (chance.kind < 99) {
    std::reverse(model.begin(), model.end());
  } else {
    model.clear();
  }
}

std::string ListScript::read(Store& store, Model& into) {
  Copy copy;
  std::vector<Part> items;
  std::uint64_t version = 0;
  if (store.copy({}, forever, copy, items, version) != StoreStatus::ok) return "cannot be copied";
  into.clear();
  for (const Part& each : items) {
    if (each.kind != 7) return "an item of the wrong kind";
    into.push_back(text(copy, each));
  }
  return "";
}

}  // namespace lab
