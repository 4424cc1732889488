#include <doctest/doctest.h>
#include <sys/mman.h>

#include <new>
#include <thread>

#include "conveyor/base/wait.hpp"

using namespace conveyor;

namespace {

struct Shared {
  EventCount event;
  Atomic<std::uint32_t> turn;
};

Shared* shared() { return new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared; }

void await(Shared& place, std::uint32_t parity) {
  Slices slices;
  while (place.turn.load(acquire) % 2 != parity) {
    const std::uint32_t epoch = place.event.announce();
    if (place.turn.load(acquire) % 2 == parity) break;
    place.event.sleep(epoch, forever, slices);
  }
}

}  // namespace

TEST_CASE("slices grow, and are short again for who was held up since it looked for signals") {
  constexpr Nanoseconds ms = 1'000'000;
  Slices slices(70 * ms);
  Nanoseconds now = 1'000'000'000;
  for (const Nanoseconds slice : {10 * ms, 20 * ms, 40 * ms, 70 * ms, 70 * ms}) {
    slices.looked(now);
    CHECK(slices.next(now + 1'000) == slice);
    now += slice;
  }
  for (const Nanoseconds slice : {10 * ms, 20 * ms, 40 * ms, 70 * ms, 70 * ms}) {
    slices.looked(now);
    CHECK(slices.next(now + Slices::moment) == slice);
    slices.looked(now);
    CHECK(slices.next(now) == 70 * ms);
  }
  CHECK(Slices().next() == 10 * ms);  // who has not looked at all may have missed one
}

TEST_CASE("a sleep ends with its slice, and says so") {
  Shared& place = *shared();
  Slices slices;
  const std::uint32_t epoch = place.event.announce();
  CHECK(place.event.sleep(epoch, forever, slices) == Waited::interrupted);
  CHECK(place.event.sleep(epoch, monotonic_now() + 1'000'000, slices) == Waited::timed_out);
  place.event.notify(1);
  CHECK(place.event.sleep(epoch, forever, slices) == Waited::again);
}

TEST_CASE("no wake-up is lost between two who take turns") {
  Shared& place = *shared();
  constexpr int turns = 5'000;
  const auto play = [&](std::uint32_t parity) {
    for (int i = 0; i < turns; ++i) {
      await(place, parity);
      place.turn.fetch_add(1, release);
      place.event.notify(1);
    }
  };
  const Nanoseconds start = monotonic_now();
  std::thread other([&] { play(1); });
  play(0);
  other.join();
  CHECK(place.turn.load(acquire) == 2 * turns);
  // A lost wake-up costs a slice of 10 ms at least, and there were 10,000 chances.
  CHECK(monotonic_now() - start < 20'000'000'000);
}

TEST_CASE("the sleepers' mark goes when a notifier finds nobody") {
  Shared& place = *shared();
  place.event.announce();  // and dies
  CHECK(place.event.has_sleepers());
  place.event.notify(1);
  CHECK_FALSE(place.event.has_sleepers());
}

TEST_CASE("serving one ticket does not hide a later one") {
  Shared& place = *shared();
  // A notifier that would wake many is overtaken: another serves the sleeper, who then announces itself anew.
  place.event.announce();
  place.event.notify(INT32_MAX);
  CHECK_FALSE(place.event.has_sleepers());
  place.event.announce();
  CHECK(place.event.has_sleepers());
  place.event.announce();
  place.event.notify(1);
  CHECK_FALSE(place.event.has_sleepers());
}

TEST_CASE("a sleep ends at its deadline") {
  Shared& place = *shared();
  Slices slices;
  const Nanoseconds start = monotonic_now();
  Waited result = Waited::again;
  while (result != Waited::timed_out && monotonic_now() - start < 1'000'000'000)
    result = place.event.sleep(place.event.announce(), start + 20'000'000, slices);
  CHECK(result == Waited::timed_out);
  CHECK(monotonic_now() - start >= 20'000'000);
}

TEST_CASE("a spin ends in time, and sees what it waits for") {
  Shared& place = *shared();
  Spin spin;
  CHECK_FALSE(place.event.spin(spin, [] { return false; }));
  CHECK(place.event.spin(spin, [] { return true; }));
}
