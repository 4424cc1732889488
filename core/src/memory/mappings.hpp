// Everything of one kind that is mapped here, so that what is received twice is mapped once.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <unordered_map>
#include <vector>

#include "conveyor/base/identity.hpp"

namespace conveyor {

template <class Mapped>
class Mappings {
 public:
  // The one mapped already that is the same file, or else this.
  static std::shared_ptr<Mapped> share(std::unique_ptr<Mapped> fresh) {
    Mappings& all = instance();
    const std::lock_guard guard(all.mutex_);
    if (auto known = all.look_up(fresh->identity())) return known;
    // Those that are gone leave their place behind; together they cost no more than those that are there.
    if (all.known_.size() >= all.enough_) {
      std::erase_if(all.known_, [](const auto& each) { return each.second.expired(); });
      all.enough_ = std::max(least, 2 * all.known_.size());
    }
    std::shared_ptr<Mapped> shared(std::move(fresh));
    all.known_.insert_or_assign(shared->identity(), shared);
    return shared;
  }

  static std::shared_ptr<Mapped> find(const Identity& identity) {
    Mappings& all = instance();
    const std::lock_guard guard(all.mutex_);
    return all.look_up(identity);
  }

  // Calls this with each, outside the lock.
  template <class Action>
  static void each(Action action) {
    std::vector<std::shared_ptr<Mapped>> all;
    {
      Mappings& here = instance();
      const std::lock_guard guard(here.mutex_);
      for (const auto& one : here.known_) {
        if (auto known = one.second.lock()) all.push_back(std::move(known));
      }
    }
    for (const auto& one : all) action(*one);
  }

 private:
  struct Hash {
    std::size_t operator()(const Identity& identity) const {
      return std::hash<std::uint64_t>()(identity.inode * 0x9E3779B97F4A7C15 ^ identity.device);
    }
  };
  static constexpr std::size_t least = 64;

  std::shared_ptr<Mapped> look_up(const Identity& identity) const {
    const auto found = known_.find(identity);
    return found == known_.end() ? nullptr : found->second.lock();
  }

  static void before_fork() {
    Mappings& all = instance();
    all.mutex_.lock();
    if constexpr (requires(Mapped& mapped) { mapped.before_fork(); }) {
      for (const auto& each : all.known_) {
        if (const std::shared_ptr<Mapped> mapped = each.second.lock()) mapped->before_fork();
      }
    }
  }

  static Mappings& instance() {
    static Mappings* const all = [] {
      auto* made = new Mappings;  // never destroyed: what is mapped may outlive static destructors
      // A thread of the parent may hold the mutex at the fork; the child would inherit it locked.
      pthread_atfork(before_fork, [] { instance().mutex_.unlock(); }, [] { instance().mutex_.unlock(); });
      return made;
    }();
    return *all;
  }

  std::mutex mutex_;
  std::unordered_map<Identity, std::weak_ptr<Mapped>, Hash> known_;
  std::size_t enough_ = least;
};

}  // namespace conveyor
