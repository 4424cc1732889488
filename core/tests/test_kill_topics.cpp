// A process is killed at every named step of a topic, publisher or subscriber, with one and with several others.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string_view>

#include "conveyor/topic/topic_log.hpp"
#include "topic_lab.hpp"

namespace {

const char* const points[] = {
#include "kill_points.inc"
};

std::vector<crash::TopicPlan> plans_for(const std::string& point, int hit) {
  const crash::Fate lives, dies{point, hit};
  const crash::Fate stuck{"topic.locked", 20, false};  // leaves a lock for others to take over
  const crash::Fate stuck_at_once{"topic.locked", 1, false};
  using conveyor::SubscriberMode;
  const crash::Listener listens{lives}, drops{lives, SubscriberMode::drop_oldest}, fails{lives, SubscriberMode::fail};
  return {
      {{dies}, {listens}, {}, {}},
      {{dies, lives}, {listens, listens, drops}, {}, {}},
      {{lives}, {{dies}, listens}, {}, {}},
      {{lives, lives}, {listens, {dies}, {dies, SubscriberMode::drop_oldest}, drops}, {}, {}},
      {{lives}, {{dies, SubscriberMode::drop_oldest}, drops, fails}, {}, {}},
      {{stuck, dies, lives}, {listens, {dies}}, {}, {}},
      {{lives}, {listens, drops}, {dies}, {dies}},
      {{dies}, {listens}, {}, {}, true},
      {{{point, hit + 1}}, {listens}, {}, {}, true},
      {{lives, dies}, {listens, drops}, {}, {}, true},
      {{stuck_at_once, dies, lives}, {listens, listens}, {}, {}, true},
      {{stuck, lives}, {listens, {dies}}, {}, {}, true, {dies}},
      {{lives, lives}, {listens}, {}, {dies, lives}, true},
  };
}

}  // namespace

TEST_CASE("a topic's process killed at any step harms nobody") {
  for (const std::string point : points) {
    const bool shared = point.starts_with("lock.") || point.starts_with("wait.");
    if (!shared && !point.starts_with("topic.") && !point.starts_with("producers.")) continue;
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

TEST_CASE("a topic's producer killed on its way in or out has done it, or has not") {
  struct Case {
    const char* point;
    int hit;  // 1: on its way in, 2: out
    std::uint32_t missing;
    std::size_t lost;
    std::uint64_t items;
  };
  for (const Case& expected : {
           Case{"producers.named", 1, 1, 0, 0},
           Case{"producers.committed", 1, 0, 1, 0},
           Case{"producers.half-applied", 1, 0, 1, 0},
           Case{"producers.applied", 1, 0, 1, 0},
           Case{"topic.before-commit", 1, 0, 1, 0},
           Case{"topic.committed", 1, 0, 1, 1},
           Case{"producers.counted", 8, 0, 1, 7},
           Case{"topic.unlocked", 8, 0, 1, 8},
           Case{"producers.committed", 2, 0, 0, 0},
           Case{"producers.half-applied", 2, 0, 0, 0},
           Case{"producers.applied", 2, 0, 0, 0},
       }) {
    CAPTURE(expected.point);
    CAPTURE(expected.hit);
    const crash::Fate dies{expected.point, expected.hit}, lives;
    const crash::Listener listens{lives}, drops{lives, conveyor::SubscriberMode::drop_oldest};
    for (const std::vector<crash::Fate>& publishers : {std::vector{dies}, std::vector{dies, lives}}) {
      const crash::Outcome outcome = crash::run({publishers, {listens, drops, listens}, {}, {}, true});
      CHECK(outcome.trouble == "");
      CHECK(outcome.killed);
      CHECK(outcome.missing == expected.missing);
      REQUIRE(outcome.lost.size() == expected.lost);
      if (expected.lost != 0) CHECK(outcome.lost[0].items == expected.items);
    }
  }
}

TEST_CASE("whoever opens a topic finishes what one that died with its lock had begun") {
  using namespace conveyor;
  for (const char* const point : {"producers.committed", "producers.half-applied", "producers.applied"}) {
    for (const int hit : {1, 2}) {
      CAPTURE(point);
      CAPTURE(hit);
      const std::size_t size = TopicLog::size_for(least_capacity);
      auto* const base =
          static_cast<std::byte*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
      const auto reserve = [](std::uint64_t, std::uint64_t) { return 0; };
      REQUIRE(TopicLog::initialise(base, least_capacity, 0, reserve) == 0);
      const pid_t child = fork();
      if (child == 0) {
        std::atomic<std::uint32_t> counted{0};
        crash::meet({point, hit}, counted);
        TopicLog topic_log(base, size, reserve);
        topic_log.enter_producing(true, forever / 2);
        topic_log.leave_producing(1'000'000'000);
        _exit(0);
      }
      CHECK(crash::reap(child));
      REQUIRE(TopicLog::initialise(base, least_capacity, 0, reserve) == 0);
      TopicLog topic_log(base, size, reserve);
      CHECK(topic_log.header().ending.intent.load() == 0);
      CHECK(topic_log.header().ending.expected.load() == producers_armed);
      CHECK(topic_log.ended() == (hit == 2));
      topic_log.look_for_lost();
      CHECK(topic_log.ended());
      CHECK(topic_log.lost().size() == (hit == 1 ? 1 : 0));
      munmap(base, size);
    }
  }
}
