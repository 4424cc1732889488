#include <doctest/doctest.h>

#include "lease_lab.hpp"

TEST_CASE("hundreds of kills at random moments lose nothing that is leased") {
  int killed = 0;
  // Who has finished its work cannot be killed any more: as many rounds as it takes.
  for (unsigned seed = 1; killed < 200; ++seed) {
    CAPTURE(seed);
    REQUIRE(seed <= 200);
    CHECK(crash::run_random_leases(seed, 30, killed) == "");
  }
}
