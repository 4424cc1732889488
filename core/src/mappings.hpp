// Everything of one kind that is mapped here, so that what is received twice is mapped once.
#pragma once

#include <memory>
#include <mutex>
#include <pthread.h>
#include <vector>

#include "conveyor/segment.hpp"

namespace conveyor {

template <class Mapped>
class Mappings {
 public:
  // The one mapped already that is the same file, or else this.
  static std::shared_ptr<Mapped> share(std::unique_ptr<Mapped> fresh) {
    Mappings& all = instance();
    const std::lock_guard guard(all.mutex_);
    std::erase_if(all.known_, [](const auto& weak) { return weak.expired(); });
    if (auto known = all.look_up(fresh->identity())) return known;
    std::shared_ptr<Mapped> shared(std::move(fresh));
    all.known_.push_back(shared);
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
      for (const auto& weak : here.known_) {
        if (auto known = weak.lock()) all.push_back(std::move(known));
      }
    }
    for (const auto& one : all) action(*one);
  }

 private:
  std::shared_ptr<Mapped> look_up(const Identity& identity) const {
    for (const auto& weak : known_) {
      if (auto known = weak.lock(); known && known->identity() == identity) return known;
    }
    return nullptr;
  }

  static Mappings& instance() {
    static Mappings* const all = [] {
      auto* made = new Mappings;  // never destroyed: what is mapped may outlive static destructors
      // A thread of the parent may hold the mutex at the fork; the child would inherit it locked.
      pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                     [] { instance().mutex_.unlock(); });
      return made;
    }();
    return *all;
  }

  std::mutex mutex_;
  std::vector<std::weak_ptr<Mapped>> known_;
};

}  // namespace conveyor
