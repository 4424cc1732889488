#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <random>
#include <thread>

#include "store_lab.hpp"

using namespace conveyor;
using lab::bytes_of;
using lab::key_of;

namespace {

template <class Script>
void compare(unsigned seed, unsigned operations) {
  typename Script::Store store(lab::new_region<Script>(), 0);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  typename Script::Model model, found;
  for (unsigned number = 0; number < operations; ++number) {
    CAPTURE(seed);
    CAPTURE(number);
    REQUIRE(Script::act(store, seed, number));
    Script::act(model, seed, number);
    if (number % 7 != 0) continue;
    REQUIRE(Script::read(store, found) == "");
    REQUIRE(found == model);
    REQUIRE(store.check(forever) == "");
  }
  REQUIRE(store.clear(forever) == StoreStatus::ok);
  std::uint64_t length, version, used;
  REQUIRE(store.figures(forever, length, version, used) == StoreStatus::ok);
  CHECK(length == 0);
  CHECK(used == 0);
}

}  // namespace

TEST_CASE("a dict does what a plain one does") {
  for (unsigned seed = 0; seed < 4; ++seed) compare<lab::DictScript>(seed, 1500);
}

TEST_CASE("a list does what a plain one does") {
  for (unsigned seed = 0; seed < 4; ++seed) compare<lab::ListScript>(seed, 1500);
}

TEST_CASE("a full dict says so, and nothing is damaged") {
  DictStore store(lab::new_region<lab::DictScript>(), 200'000);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  int stored = 0;
  const std::string value(100, 'v');
  while (store.set(key_of(store, std::to_string(stored)), bytes_of(value), forever) == StoreStatus::ok) ++stored;
  CHECK(stored > 500);
  CHECK(store.set(key_of(store, "x"), bytes_of(std::string(300'000, 'v')), forever) == StoreStatus::full);
  CHECK(store.check(forever) == "");
  std::uint64_t length, version, used;
  store.figures(forever, length, version, used);
  CHECK(length == static_cast<std::uint64_t>(stored));
  CHECK(used <= 200'000);
  // What was there can be read and removed, and then there is room again.
  for (int i = 0; i < stored; i += 2)
    CHECK(store.remove(key_of(store, std::to_string(i)), forever, nullptr, nullptr) == StoreStatus::ok);
  CHECK(store.set(key_of(store, "x"), bytes_of(value), forever) == StoreStatus::ok);
  CHECK(store.check(forever) == "");
}

TEST_CASE("an extension that does not fit leaves nothing") {
  ListStore store(lab::new_region<lab::ListScript>(), 100'000);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  REQUIRE(store.append(bytes_of("first"), forever) == StoreStatus::ok);
  std::uint64_t length, version, used, again, expected;
  store.figures(forever, length, version, used);
  const std::string item(100, 'i');
  const std::vector<Bytes> many(2000, bytes_of(item));
  CHECK(store.replace({INT64_MAX}, many, forever, expected) == StoreStatus::full);
  CHECK(store.replace({0, 1}, many, forever, expected) == StoreStatus::full);
  CHECK(store.check(forever) == "");
  store.figures(forever, length, version, again);
  CHECK(length == 1);
  CHECK(again < used + 40'000);  // the ring may have grown
}

TEST_CASE("the region ends before the bound") {
  DictStore store(lab::new_region<lab::DictScript>(1 << 20), 0);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  int stored = 0;
  StoreStatus status;
  const std::string value(1000, 'v');
  while ((status = store.set(key_of(store, std::to_string(stored)), bytes_of(value), forever)) == StoreStatus::ok)
    ++stored;
  CHECK(status == StoreStatus::no_memory);
  CHECK(stored > 400);
  CHECK(store.check(forever) == "");
}

TEST_CASE("a million keys") {
  DictStore store(lab::new_region<lab::DictScript>(), 0);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  constexpr int many = 1'000'000;
  for (int i = 0; i < many; ++i) {
    const std::string key = std::to_string(i);
    if (store.set(key_of(store, key), bytes_of(key), forever) != StoreStatus::ok) FAIL("not stored");
  }
  for (int i = 0; i < many; i += 997) {
    Copy copy;
    Part part;
    REQUIRE(store.get(key_of(store, std::to_string(i)), forever, copy, part) == StoreStatus::ok);
    CHECK(part.size == std::to_string(i).size());
  }
  CHECK(store.check(forever) == "");
  CHECK(store.clear(forever) == StoreStatus::ok);
  CHECK(store.check(forever) == "");
  CHECK(store.region().memory_held() < 200'000);
}

TEST_CASE("memory that was used in small pieces can be used in large ones, once all is cleared") {
  const auto fill = []<class Script>(Script*) {
    typename Script::Store store(lab::new_region<Script>(4 << 20), 0);
    REQUIRE(store.open(forever) == StoreStatus::ok);
    for (int round = 0; round < 3; ++round) {
      const auto put = [&](int number, std::size_t size) {
        const std::string value(size, 'v'), name = std::to_string(number);
        if constexpr (std::is_same_v<Script, lab::DictScript>) {
          return store.set(key_of(store, name), bytes_of(value), forever);
        } else {
          return store.append(bytes_of(value), forever);
        }
      };
      int number = 0;
      while (put(number, 20) == StoreStatus::ok) ++number;
      CHECK(number > 10'000);
      CHECK(store.clear(forever) == StoreStatus::ok);
      CHECK(store.check(forever) == "");
      CHECK(put(0, 2 << 20) == StoreStatus::ok);
      CHECK(store.clear(forever) == StoreStatus::ok);
      CHECK(store.check(forever) == "");
      CHECK(store.region().memory_held() < 200'000);
    }
  };
  fill(static_cast<lab::DictScript*>(nullptr));
  fill(static_cast<lab::ListScript*>(nullptr));
}

TEST_CASE("threads and processes add to one number, by claims") {
  const auto region = lab::new_region<lab::DictScript>();
  constexpr int workers = 3, threads = 2, each = 300;
  const auto work = [&] {
    DictStore store(region, 0);
    if (store.open(forever) != StoreStatus::ok) return false;
    std::vector<std::thread> running;
    std::atomic<int> failures{0};
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&] {
        const std::string name = "number";
        const auto key = key_of(store, name);
        for (int i = 0; i < each; ++i) {
          std::uint64_t claim = 0;
          for (;;) {
            Copy copy;
            Part part;
            const std::uint64_t seen = store.claims_now();
            const StoreStatus status = store.claim(key, forever, claim, copy, part);
            if (status == StoreStatus::claimed) {
              Slices slices;
              store.wait_released(seen, monotonic_now() + 50'000'000, slices);
              continue;
            }
            if (status != StoreStatus::ok && status != StoreStatus::missing) ++failures;
            const std::string old =
                status == StoreStatus::ok ? std::string(reinterpret_cast<char*>(copy.data()), part.size) : "0";
            const std::string sum = std::to_string(std::stoi(old) + 1);
            if (store.settle(key, claim, DictStore::Outcome::write, bytes_of(sum), forever) != StoreStatus::ok)
              ++failures;
            break;
          }
        }
      });
    }
    for (std::thread& thread : running) thread.join();
    return failures == 0;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < workers; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(work() ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  DictStore store(region, 0);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  lab::DictScript::Model found;
  CHECK(lab::DictScript::read(store, found) == "");
  CHECK(found == lab::DictScript::Model{{"number", std::to_string(workers * threads * each)}});
  CHECK(store.check(forever) == "");
}

TEST_CASE("what another has claimed can be read and not written") {
  DictStore store(lab::new_region<lab::DictScript>(), 0);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  const std::string names[] = {"a", "b"}, one = "1", two = "2";
  const auto key = key_of(store, names[0]), other = key_of(store, names[1]);
  REQUIRE(store.set(key, bytes_of(one), forever) == StoreStatus::ok);
  Copy copy;
  Part part;
  std::uint64_t claim = 0;
  REQUIRE(store.claim(key, forever, claim, copy, part) == StoreStatus::ok);
  CHECK(store.set(key, bytes_of(two), forever) == StoreStatus::own_claim);
  std::thread([&] {
    CHECK(store.set(key, bytes_of(two), forever) == StoreStatus::claimed);
    CHECK(store.remove(key, forever, nullptr, nullptr) == StoreStatus::claimed);
    CHECK(store.clear(forever) == StoreStatus::claimed);
    CHECK(store.get(key, forever, copy, part) == StoreStatus::ok);
    CHECK(store.set(other, bytes_of(two), forever) == StoreStatus::ok);
  }).join();
  CHECK(store.settle(key, claim, DictStore::Outcome::keep, {}, forever) == StoreStatus::ok);
  CHECK(store.settle(key, claim, DictStore::Outcome::keep, {}, forever) == StoreStatus::lapsed);
  CHECK(store.set(key, bytes_of(two), forever) == StoreStatus::ok);
}

TEST_CASE("as many claims as there is room for") {
  DictStore store(lab::new_region<lab::DictScript>(), 0);
  REQUIRE(store.open(forever) == StoreStatus::ok);
  Copy copy;
  Part part;
  std::vector<std::uint64_t> claims(claim_capacity);
  for (std::uint32_t i = 0; i < claim_capacity; ++i)
    REQUIRE(store.claim(key_of(store, std::to_string(i)), forever, claims[i], copy, part) == StoreStatus::missing);
  std::uint64_t one_more = 0;
  const std::string name = "one more";
  const auto key = key_of(store, name);
  CHECK(store.claim(key, forever, one_more, copy, part) == StoreStatus::crowded);
  CHECK(store.settle(key_of(store, "3"), claims[3], DictStore::Outcome::write, bytes_of("x"), forever) ==
        StoreStatus::ok);
  CHECK(store.claim(key, forever, one_more, copy, part) == StoreStatus::missing);
  CHECK(store.check(forever) == "");
}

TEST_CASE("damage anywhere is an error or a wrong item, and no crash") {
  std::mt19937 random(5);
  int corrupt = 0, fine = 0;
  const auto flip = [&](Region& region, std::size_t size) {
    const std::uint64_t kind = random() % 4;
    const std::size_t at = kind == 0   ? random() % 384
                           : kind == 1 ? offsetof(StoreHeader, state) + random() % sizeof(StoreState)
                                       : sizeof(StoreHeader) + random() % size;
    if (random() % 2 == 0) {
      region.data()[at] ^= static_cast<std::byte>(1U << random() % 8);
    } else {
      const std::uint64_t values[] = {0, 1, UINT32_MAX, UINT64_MAX, 1ULL << 63, random() % (1 << 20)};
      std::memcpy(region.data() + at / 8 * 8, &values[random() % 6], 8);
    }
    // A damaged lock is a held one: that is another test's business.
    std::memset(region.data(), 0, sizeof(Lock));
  };
  const auto run = [&]<class Script>(Script*) {
    for (unsigned seed = 0; seed < 100; ++seed) {
      const auto region = lab::new_region<Script>(3 << 20);
      typename Script::Store store(region, 0);
      REQUIRE(store.open(forever) == StoreStatus::ok);
      for (unsigned number = 0; number < 40; ++number) Script::act(store, seed, number);
      for (unsigned number = 40; number < 80; ++number) {
        flip(*region, 20'000);
        ++(Script::act(store, seed, number) ? fine : corrupt);
        typename Script::Model found;
        Script::read(store, found);
      }
      store.check(forever);
    }
  };
  run(static_cast<lab::DictScript*>(nullptr));
  run(static_cast<lab::ListScript*>(nullptr));
  CHECK(corrupt > 100);
  CHECK(fine > 100);
}
