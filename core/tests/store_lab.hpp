// Random but repeatable operations on a shared dict or list, done to the real thing and to plain containers, so that
// the two can be compared, also after somebody died in the middle.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "conveyor/store/dict_store.hpp"
#include "conveyor/store/list_store.hpp"

namespace lab {

struct DictScript {
  using Store = conveyor::DictStore;
  using Model = std::vector<std::pair<std::string, std::string>>;  // in the order of insertion
  // Operation number `number` of the script that `seed` names. False: the store said what it should not.
  static bool act(Store& store, unsigned seed, unsigned number);
  static void act(Model& model, unsigned seed, unsigned number);
  // What the store holds, or why that cannot be told.
  static std::string read(Store& store, Model& into);
};

struct ListScript {
  using Store = conveyor::ListStore;
  using Model = std::vector<std::string>;
  static bool act(Store& store, unsigned seed, unsigned number);
  static void act(Model& model, unsigned seed, unsigned number);
  static std::string read(Store& store, Model& into);
};

inline constexpr std::uint64_t region_size = 1ULL << 30;

template <class Script>
std::shared_ptr<conveyor::Region> new_region(std::uint64_t size = region_size) {
  return conveyor::Region::create(Script::Store::type, size);
}

conveyor::DictStore::Key key_of(const conveyor::DictStore& store, const std::string& text);
conveyor::Bytes bytes_of(const std::string& text);

}  // namespace lab
