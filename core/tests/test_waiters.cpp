#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "conveyor/base/wait.hpp"
#include "conveyor/base/waiters.hpp"
#include "conveyor/memory/label.hpp"

using namespace conveyor;

namespace {

constexpr Nanoseconds ms = 1'000'000;

Waiters& shared_waiters() {
  void* const at = mmap(nullptr, sizeof(Waiters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *new (at) Waiters{};
}

// Runs it in a child, which then ends without a destructor; waits for that.
template <class Work>
int in_child(Work work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a wait is noted once it has lasted a slice, and no longer than it lasts") {
  Waiters& waiters = shared_waiters();
  {
    Slices slices(waiters, WaitsFor::item);
    slices.next(1'000 * ms);
    slices.next(1'005 * ms);  // woken before its slice was over
    CHECK(waiters_in(waiters).empty());
    slices.next(1'010 * ms);
    const auto seen = waiters_in(waiters);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].owner == self());
    CHECK(seen[0].thread == static_cast<std::uint32_t>(gettid()));
    CHECK(std::string(name_of(seen[0].what)) == "item");
    CHECK(seen[0].since == 1'000 * ms);
    slices.next(2'000 * ms);
    CHECK(waiters_in(waiters).size() == 1);
  }
  CHECK(waiters_in(waiters).empty());
}

TEST_CASE("what the dead left behind makes room for the living") {
  Waiters& waiters = shared_waiters();
  for (std::size_t i = 0; i < waiter_capacity; ++i) {
    in_child([&] {
      auto* const note = new WaitNote(waiters, WaitsFor::room);
      note->write(1);
      return 0;
    });
  }
  CHECK(waiters_in(waiters).size() == waiter_capacity);
  WaitNote note(waiters, WaitsFor::tasks);
  note.write(2);
  const auto seen = waiters_in(waiters);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].owner == self());
}

TEST_CASE("where all places are taken by the living, a wait goes unseen") {
  Waiters& waiters = shared_waiters();
  std::vector<std::unique_ptr<WaitNote>> notes;
  for (std::size_t i = 0; i < waiter_capacity + 3; ++i) {
    notes.push_back(std::make_unique<WaitNote>(waiters, WaitsFor::item));
    notes.back()->write(1);
  }
  CHECK(waiters_in(waiters).size() == waiter_capacity);
  notes.clear();
  CHECK(waiters_in(waiters).empty());
}

TEST_CASE("a child that goes on in the midst of a wait leaves its parent's note alone") {
  Waiters& waiters = shared_waiters();
  auto note = std::make_unique<WaitNote>(waiters, WaitsFor::item);
  note->write(1);
  in_child([&] {
    note.reset();
    return 0;
  });
  CHECK(waiters_in(waiters).size() == 1);
  note.reset();
  CHECK(waiters_in(waiters).empty());
}

TEST_CASE("any bytes may stand where notes and labels are") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    Waiters& waiters = shared_waiters();
    Label label{};
    auto* const bytes = reinterpret_cast<unsigned char*>(&waiters);
    for (std::size_t i = 0; i < sizeof waiters; ++i) bytes[i] = static_cast<unsigned char>(random());
    auto* const text = reinterpret_cast<unsigned char*>(&label);
    for (std::size_t i = 0; i < sizeof label; ++i) text[i] = static_cast<unsigned char>(random() | 1);
    for (const Waiter& one : waiters_in(waiters)) CHECK(*name_of(one.what) != '\0');
    CHECK(read_label(label).name.size() <= sizeof label.name);
    CHECK(read_label(label).place.size() <= sizeof label.place);
    {
      WaitNote note(waiters, WaitsFor::item);
      note.write(1);
    }
    munmap(&waiters, sizeof waiters);
  }
}

TEST_CASE("a label that is too long is cut between characters, a place from its front") {
  Label label{};
  std::string name, place;
  for (int i = 0; i < 80; ++i) name += "\u00e4", place += "\u00f6";
  write_label(label, name, place + ".py:12");
  const LabelFacts facts = read_label(label);
  CHECK(facts.name == name.substr(0, 62));
  CHECK(facts.place == place.substr(0, 120) + ".py:12");
  CHECK(facts.maker == self());
  CHECK(facts.made > 1'700'000'000'000'000'000ULL);
  write_label(label, "", "");
  CHECK(read_label(label).name.empty());
}
