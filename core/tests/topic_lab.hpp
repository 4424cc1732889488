// A small world of topics to kill processes in: publishers and subscribers as real processes on one log, and a ledger
// that tells afterwards who published and who got what.
#pragma once

#include <string>
#include <vector>

#include "conveyor/topic/topic_layout.hpp"
#include "crash_lab.hpp"

namespace crash {

struct Listener {
  Fate fate;
  conveyor::SubscriberMode mode = conveyor::SubscriberMode::block;
};

struct TopicPlan {
  std::vector<Fate> publishers;
  std::vector<Listener> subscribers;
  std::vector<Fate> makers;   // who die over making the log, before it is made
  std::vector<Fate> closers;  // who die over ending it; or, by_producers, over saying how many will come
  bool by_producers = false;  // it ends when its registered publishers have left
  std::vector<Fate> lookers;  // then, when the publishers are gone: who look who was lost, one after the other
};

Outcome run(const TopicPlan& plan);

}  // namespace crash
