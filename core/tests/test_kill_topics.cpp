// A process is killed at every named step of a topic, publisher or subscriber, with one and with several others.
#include <doctest/doctest.h>

#include <string_view>

#include "topic_lab.hpp"

namespace {

const char* const points[] = {
#include "kill_points.inc"
};

std::vector<crash::TopicPlan> plans_for(const std::string& point, int hit) {
  const crash::Fate lives, dies{point, hit};
  const crash::Fate stuck{"topic.locked", 20, false};  // leaves a lock for others to take over
  using conveyor::SeatMode;
  const crash::Listener listens{lives}, drops{lives, SeatMode::drop_oldest}, fails{lives, SeatMode::fail};
  return {
      {{dies}, {listens}, {}, {}},
      {{dies, lives}, {listens, listens, drops}, {}, {}},
      {{lives}, {{dies}, listens}, {}, {}},
      {{lives, lives}, {listens, {dies}, {dies, SeatMode::drop_oldest}, drops}, {}, {}},
      {{lives}, {{dies, SeatMode::drop_oldest}, drops, fails}, {}, {}},
      {{stuck, dies, lives}, {listens, {dies}}, {}, {}},
      {{lives}, {listens, drops}, {dies}, {dies}},
  };
}

}  // namespace

TEST_CASE("a topic's process killed at any step harms nobody") {
  for (const std::string point : points) {
    const bool shared = point.starts_with("lock.") || point.starts_with("wait.");
    if (!shared && !point.starts_with("topic.")) continue;
    CAPTURE(point);
    bool reached = shared;  // by the queues' own test
    int runs = 0;
    for (const int hit : {1, 7, 1, 1, 1, 1}) {
      CAPTURE(hit);
      if (++runs > 2 && reached) break;
      int number = 0;
      for (const crash::TopicPlan& plan : plans_for(point, hit)) {
        CAPTURE(number);
        ++number;
        const crash::Outcome outcome = crash::run(plan);
        CHECK(outcome.trouble == "");
        reached |= outcome.killed;
      }
    }
    CHECK_MESSAGE(reached, "no plan passes this step");
  }
}
