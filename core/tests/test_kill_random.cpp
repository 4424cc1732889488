#include <doctest/doctest.h>

#include "crash_lab.hpp"

TEST_CASE("hundreds of kills at random moments lose nothing but what the dead held") {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    CHECK(crash::run_random(seed, 40) == "");
  }
}
