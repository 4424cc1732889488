// The log behind a topic, within one process.
#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "conveyor/topic/subscriber.hpp"

namespace {

using namespace conveyor;

struct Log {
  std::uint64_t capacity;
  std::vector<std::uint64_t> memory;  // words, for the alignment
  std::shared_ptr<TopicLog> topic_log;
  std::uint64_t reserved = 0;
  int refuse = 0;

  explicit Log(std::uint64_t bytes = least_capacity, std::uint64_t keep = UINT64_MAX)
      : capacity(bytes), memory((TopicLog::size_for(bytes) + 8192) / 8) {
    const auto reserve = [this](std::uint64_t offset, std::uint64_t size) {
      if (refuse != 0) return refuse;
      reserved = std::max(reserved, offset + size);
      return 0;
    };
    CHECK(TopicLog::initialise(base(), capacity, keep, reserve) == 0);
    topic_log = std::make_shared<TopicLog>(base(), TopicLog::size_for(capacity), reserve);
    REQUIRE(topic_log->sound());
  }
  std::byte* base() {
    const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
    return reinterpret_cast<std::byte*>((at + 4095) / 4096 * 4096);
  }
  Status publish(std::uint64_t value, std::size_t size = 8, std::string_view key = {}) {
    std::vector<std::uint64_t> payload((size + 7) / 8, value);
    const EventPiece piece{payload.data(), 0, size};
    const Publication event{key, 3, size, &piece, 1};
    std::size_t done = 0;
    return topic_log->publish(&event, 1, done, 0);
  }
};

struct Catch {
  std::uint64_t value = 0;
  std::size_t size = 0;
  bool fine = true;
  PinId pin;
  void message(const RecordView& record) {
    size = record.size;
    std::memcpy(&value, record.payload, 8);
    for (std::size_t i = 0; i < size; ++i) fine &= record.payload[i] == reinterpret_cast<std::byte*>(&value)[i % 8];
  }
  bool large(const RecordView& record, PinId pinned) {
    message(record);
    pin = pinned;
    return true;
  }
};

}  // namespace

TEST_CASE("a log is made once, and of a sound size only") {
  Log log;
  const auto reserve = [](std::uint64_t, std::uint64_t) { return 0; };
  CHECK(log.publish(1) == Status::ok);
  CHECK(TopicLog::initialise(log.base(), log.capacity, 0, reserve) == 0);
  CHECK(log.topic_log->published() == 1);
  CHECK(log.topic_log->header().keep == UINT64_MAX);
  CHECK(TopicLog::initialise(log.base(), log.capacity + 64, 0, reserve) == EINVAL);
  CHECK(TopicLog::initialise(log.base(), 4096, 0, reserve) == EINVAL);
  CHECK(TopicLog::initialise(log.base(), log.capacity, 0, [](auto, auto) { return ENOSPC; }) == ENOSPC);
  CHECK_FALSE(TopicLog(log.base(), TopicLog::size_for(2 * log.capacity), reserve).sound());
  CHECK_FALSE(TopicLog(log.base(), 100, reserve).sound());
}

TEST_CASE("no memory is an error, and harms nothing") {
  Log log;
  Subscriber subscriber(log.topic_log, {});
  REQUIRE(subscriber.join(SubscriberMode::block, From::fresh, 0, 0) == Status::ok);
  log.refuse = ENOSPC;
  CHECK(log.publish(1) == Status::no_memory);
  log.refuse = 0;
  CHECK(log.publish(2) == Status::ok);
  Catch caught;
  CHECK(subscriber.read(caught) == Status::ok);
  CHECK(caught.value == 2);
  CHECK(subscriber.read(caught) == Status::empty);
  CHECK(log.topic_log->check(0).value() == "");
}

TEST_CASE("a log that gets no more memory goes on in what it has") {
  Log log(1 << 20);
  Subscriber subscriber(log.topic_log, {});
  REQUIRE(subscriber.join(SubscriberMode::block, From::fresh, 0, 0) == Status::ok);
  REQUIRE(log.publish(0) == Status::ok);
  log.refuse = ENOSPC;
  const std::uint64_t there = log.reserved;
  std::uint64_t read = 0;
  for (std::uint64_t value = 1; value < 2000; ++value) {
    CAPTURE(value);
    Status status = log.publish(value, 8 + value % 3000);
    if (status == Status::full) {
      for (Catch caught; subscriber.read(caught) == Status::ok; ++read) REQUIRE(caught.value == read);
      status = log.publish(value, 8 + value % 3000);
    }
    REQUIRE(status == Status::ok);
  }
  CHECK(log.reserved == there);
  CHECK(read > 1000);
  CHECK(log.publish(0, 300'000) == Status::too_large);
  CHECK(log.publish(0, 200'000) == Status::ok);
  CHECK(log.topic_log->check(0).value() == "");
}

TEST_CASE("random sizes, subscribers and pins, for many laps") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Log log;
    struct Reader {
      std::unique_ptr<Subscriber> subscriber;
      SubscriberMode mode = SubscriberMode::block;
      std::uint64_t next = 0, missed = 0;
    };
    struct Kept {
      PinId pin;
      std::uint64_t value;
      const std::byte* data;
      std::size_t size;
    };
    std::vector<Reader> readers(4);
    std::vector<Kept> kept;
    std::uint64_t published = 0;
    const auto check_kept = [&](const Kept& each) {
      for (std::size_t i = 0; i < each.size; ++i) {
        if (each.data[i] != reinterpret_cast<const std::byte*>(&each.value)[i % 8]) return false;
      }
      return true;
    };
    for (int turn = 0; turn < 6000; ++turn) {
      Reader& reader = readers[random() % readers.size()];
      const unsigned what = random() % 100;
      if (what < 45) {
        const std::size_t size = random() % 20 == 0  ? 16'000
                                 : random() % 5 == 0 ? 4'000 + random() % 4000
                                                     : 8 + random() % 300;
        if (log.publish(published, size, what % 2 == 0 ? "some.key" : "") == Status::ok) ++published;
      } else if (what < 47) {
        reader.mode = random() % 2 == 0 ? SubscriberMode::block : SubscriberMode::drop_oldest;
        reader.subscriber = std::make_unique<Subscriber>(log.topic_log, std::vector<KeyPattern>{});
        REQUIRE(reader.subscriber->join(reader.mode, From::fresh, 0, 0) == Status::ok);
        reader.next = published;
        reader.missed = 0;
      } else if (what < 48) {
        reader.subscriber.reset();
      } else if (what < 52 && !kept.empty()) {
        std::swap(kept[random() % kept.size()], kept.back());
        REQUIRE(check_kept(kept.back()));
        log.topic_log->unpin(kept.back().pin);
        kept.pop_back();
      } else if (reader.subscriber) {
        struct Pinning : Catch {
          const std::byte* data = nullptr;
          bool large(const RecordView& record, PinId pinned) {
            data = record.payload;
            return Catch::large(record, pinned);
          }
        } caught;
        const Status status = reader.subscriber->read(caught);
        if (status == Status::empty) {
          REQUIRE(reader.next + (reader.subscriber->missed() - reader.missed) == published);
          continue;
        }
        REQUIRE(status == Status::ok);
        REQUIRE(caught.fine);
        const std::uint64_t lost = reader.subscriber->missed() - reader.missed;
        if (reader.mode == SubscriberMode::block) REQUIRE(lost == 0);
        REQUIRE(caught.value == reader.next + lost);
        reader.missed += lost;
        reader.next = caught.value + 1;
        if (caught.pin.valid()) kept.push_back({caught.pin, caught.value, caught.data, caught.size});
      }
      if (turn % 100 == 0) REQUIRE(log.topic_log->check(0).value() == "");
    }
    for (const Kept& each : kept) {
      REQUIRE(check_kept(each));
      log.topic_log->unpin(each.pin);
    }
    // When everybody has gone, or has read all, there is room again for the largest.
    readers.clear();
    for (int i = 0; i < 20; ++i) REQUIRE(log.publish(1, log.topic_log->most_payload(0)) == Status::ok);
    REQUIRE(log.topic_log->check(0).value() == "");
    REQUIRE(log.reserved <= TopicLog::size_for(log.capacity));
  }
}

TEST_CASE("a batch is published together, as far as there is room") {
  Log log;
  Subscriber subscriber(log.topic_log, {});
  REQUIRE(subscriber.join(SubscriberMode::block, From::fresh, 0, 0) == Status::ok);
  const std::vector<std::byte> payload(1000);
  const EventPiece piece{payload.data(), 0, payload.size()};
  const std::vector<Publication> batch(200, Publication{{}, 0, payload.size(), &piece, 1});
  std::size_t done = 0;
  CHECK(log.topic_log->publish(batch.data(), batch.size(), done, 0) == Status::full);
  CHECK(done > 55);
  CHECK(done < 64);
  CHECK(log.topic_log->published() == done);
  subscriber.leave();
  // More than the log holds: with nobody in the way, a portion at a time.
  std::size_t all = 0;
  while (all < batch.size()) {
    const Status status = log.topic_log->publish(batch.data() + all, batch.size() - all, done, 0);
    REQUIRE((status == Status::ok || status == Status::full));
    REQUIRE(done > 0);
    all += done;
  }
  CHECK(log.topic_log->check(0).value() == "");
}

TEST_CASE("threads: one order for all, and waiting without a lost wake-up") {
  Log log;
  constexpr std::uint64_t each = 20'000;
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  std::vector<std::vector<std::uint64_t>> seen(3);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    subscribers.push_back(std::make_unique<Subscriber>(log.topic_log, std::vector<KeyPattern>{}));
    REQUIRE(subscribers[i]->join(SubscriberMode::block, From::fresh, 0, 0) == Status::ok);
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    threads.emplace_back([&, i] {
      for (Slices slices;;) {
        Catch caught;
        const bool ended = log.topic_log->ended();
        const Status status = subscribers[i]->read(caught);
        if (status == Status::ok) {
          seen[i].push_back(caught.value);
        } else if (status != Status::empty || ended) {
          return;
        } else {
          subscribers[i]->settle();
          log.topic_log->wait_event(subscribers[i]->position(), forever, slices);
        }
      }
    });
  }
  for (std::uint64_t publisher = 0; publisher < 2; ++publisher) {
    threads.emplace_back([&, publisher] {
      for (std::uint64_t number = 0; number < each;) {
        const std::uint64_t gate = log.topic_log->gate();
        const std::uint64_t value = publisher << 32 | number;
        const EventPiece piece{&value, 0, 8};
        const Publication event{{}, 0, 8, &piece, 1};
        std::size_t done = 0;
        const Status status = log.topic_log->publish(&event, 1, done, forever / 2);
        number += done;
        Slices slices;
        if (status == Status::full) log.topic_log->wait_room(gate, forever, slices);
      }
    });
  }
  threads[3].join();
  threads[4].join();
  CHECK(log.topic_log->end(forever / 2) == Status::ok);
  for (std::size_t i = 0; i < 3; ++i) threads[i].join();
  CHECK(seen[0].size() == 2 * each);
  CHECK(seen[0] == seen[1]);
  CHECK(seen[0] == seen[2]);
}

TEST_CASE("keys and patterns against a slow way to tell") {
  const std::function<bool(const std::vector<std::string>&, std::size_t, const std::vector<std::string>&, std::size_t)>
      slow = [&](const auto& pattern, std::size_t i, const auto& key, std::size_t j) -> bool {
    if (i == pattern.size()) return j == key.size();
    if (pattern[i] == "#") return slow(pattern, i + 1, key, j) || (j < key.size() && slow(pattern, i, key, j + 1));
    return j < key.size() && (pattern[i] == "*" || pattern[i] == key[j]) && slow(pattern, i + 1, key, j + 1);
  };
  std::mt19937 random(1);
  const auto join = [](const std::vector<std::string>& words) {
    std::string all;
    for (std::size_t i = 0; i < words.size(); ++i) all += (i == 0 ? "" : ".") + words[i];
    return all;
  };
  for (int turn = 0; turn < 50'000; ++turn) {
    std::vector<std::string> pattern(random() % 6), key(random() % 6);
    const char* const words[] = {"a", "b", "*", "#", "#"};
    for (std::string& word : pattern) word = words[random() % 5];
    for (std::string& word : key) word = words[random() % 2];
    CAPTURE(join(pattern));
    CAPTURE(join(key));
    REQUIRE(KeyPattern(join(pattern)).matches(join(key)) == slow(pattern, 0, key, 0));
  }
}

TEST_CASE("subscribers come and go without end, and a full table is said to be full") {
  Log log(least_capacity);
  {
    std::vector<std::unique_ptr<Subscriber>> many;
    for (std::uint32_t i = 0; i < 2000; ++i) {
      many.push_back(std::make_unique<Subscriber>(log.topic_log, std::vector<KeyPattern>{}));
      REQUIRE(many.back()->join(SubscriberMode::block, From::fresh, 0, forever) == Status::ok);
    }
    CHECK(log.topic_log->header().subscribers_high.load() == 2000);
  }
  Subscriber one(log.topic_log, {});
  REQUIRE(one.join(SubscriberMode::block, From::fresh, 0, forever) == Status::ok);
  CHECK(log.topic_log->header().subscribers_high.load() == 1);  // nobody goes through what is not used any more
  for (std::uint32_t i = 1; i < subscriber_capacity; ++i) {
    log.topic_log->header().slots[i].owner.store(self(), relaxed);
    log.topic_log->header().slots[i].mode.store(static_cast<std::uint32_t>(SubscriberMode::drop_oldest), relaxed);
  }
  log.topic_log->header().subscribers_high.store(subscriber_capacity, relaxed);
  Subscriber other(log.topic_log, {});
  CHECK(other.join(SubscriberMode::block, From::fresh, 0, forever) == Status::crowded);
  log.topic_log->header().slots[77].mode.store(static_cast<std::uint32_t>(SubscriberMode::free), relaxed);
  CHECK(other.join(SubscriberMode::block, From::fresh, 0, forever) == Status::ok);
}
