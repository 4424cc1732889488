#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "conveyor/memory/region.hpp"
#include "conveyor/queue/segment.hpp"

using namespace conveyor;

namespace {

constexpr Region::Type topic{RegionKind::topic, 3};
constexpr Region::Type dict{RegionKind::dict, 3};

SegmentError error_of(auto action) {
  try {
    action();
  } catch (const SegmentError& error) {
    return error;
  }
  FAIL("no error");
  return {Fault::system, 0, ""};
}
Fault fault_of(auto action) { return error_of(action).fault; }

struct Named {
  std::string name = "core-region-" + std::to_string(getpid());
  ~Named() { unlink(Segment::path_of(name).c_str()); }
  void write_at(std::uint64_t offset, const void* data, std::size_t size) const {
    const int fd = open(Segment::path_of(name).c_str(), O_CREAT | O_RDWR, 0600);
    REQUIRE(pwrite(fd, data, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size));
    close(fd);
  }
};

bool says(const SegmentError& error, const char* words) { return std::strstr(error.what(), words) != nullptr; }

}  // namespace

TEST_CASE("a region has its size, costs memory only where reserved, and gives it back") {
  const auto region = Region::create(topic, 1ULL << 40);
  CHECK(region->size() == 1ULL << 40);
  CHECK(region->memory_held() == 4096);
  const std::uint64_t far = 1ULL << 39;
  REQUIRE(region->reserve(far, 1 << 20) == 0);
  CHECK(region->memory_held() == 4096 + (1 << 20));
  std::memset(region->data() + far, 7, 1 << 20);
  region->give_back(far + 1, (1 << 20) - 1);  // the first page is only a part
  CHECK(region->memory_held() == 2 * 4096);
  CHECK(region->data()[far] == std::byte{7});
  CHECK(region->data()[far + 4096] == std::byte{0});
}

TEST_CASE("what is reserved outside of a region is refused, whatever the numbers") {
  const auto region = Region::create(topic, 1 << 20);
  CHECK(region->reserve(0, 1 << 20) == 0);
  CHECK(region->reserve(1 << 20, 0) == 0);
  CHECK(region->reserve(1, 1 << 20) == EINVAL);
  CHECK(region->reserve(UINT64_MAX, 2) == EINVAL);
  CHECK(region->reserve(2, UINT64_MAX) == EINVAL);
  const auto vast = Region::create(topic, 1ULL << 40);
  CHECK(vast->reserve(0, 1ULL << 40) == ENOMEM);
  CHECK(vast->memory_held() == 4096);
  const std::uint64_t held = region->memory_held();
  region->give_back(UINT64_MAX, 4096);
  CHECK(region->memory_held() == held);
}

TEST_CASE("an absurd size is an error, not a crash") {
  CHECK(fault_of([] { Region::create(topic, 0); }) == Fault::memory);
  CHECK(fault_of([] { Region::create(topic, UINT64_MAX); }) == Fault::memory);
  CHECK(fault_of([] { Region::create(topic, 1ULL << 55); }) == Fault::memory);
}

TEST_CASE("a region attached again is the same; of another type it is refused") {
  const auto region = Region::create(topic, 4096);
  CHECK(Region::attach(dup(region->memory_fd()), topic) == region);
  CHECK(Region::attach(region->memory_fd(), topic) == region);
  CHECK(Region::find(region->identity(), topic) == region);
  CHECK(Region::find({1, 2}, topic) == nullptr);
  const SegmentError wrong = error_of([&] { Region::attach(dup(region->memory_fd()), dict); });
  CHECK(wrong.fault == Fault::kind);
  CHECK(says(wrong, "it is a topic, not a shared dict"));
  CHECK(fault_of([&] { Region::find(region->identity(), {RegionKind::topic, 4}); }) == Fault::version);
}

TEST_CASE("another process finds a region through a hint, and sees the same memory") {
  const auto region = Region::create(topic, 4096);
  REQUIRE(region->reserve(0, 4096) == 0);
  int found[2], go[2];
  REQUIRE((pipe(found) == 0 && pipe(go) == 0));
  const pid_t child = fork();
  if (child == 0) {
    const auto own = Region::create(topic, 4096);
    own->reserve(0, 4096);
    own->data()[5] = std::byte{42};
    const std::uint64_t told[] = {own->identity().device, own->identity().inode, self(),
                                  static_cast<std::uint64_t>(own->memory_fd())};
    char byte = 0;
    const bool fine = write(found[1], told, sizeof told) == sizeof told && read(go[0], &byte, 1) == 1;
    _exit(fine && own->data()[6] == std::byte{43} ? 0 : 1);
  }
  std::uint64_t told[4];
  REQUIRE(read(found[0], told, sizeof told) == sizeof told);
  const Identity identity{told[0], told[1]};
  CHECK(Region::attach_by_hint({told[0], told[1] + 1}, told[2], static_cast<int>(told[3]), topic) == nullptr);
  CHECK(Region::attach_by_hint(identity, told[2], 9999, topic) == nullptr);
  CHECK(Region::attach_by_hint(identity, make_owner(0x3ffffe, 99), static_cast<int>(told[3]), topic) == nullptr);
  const auto theirs = Region::attach_by_hint(identity, told[2], static_cast<int>(told[3]), topic);
  REQUIRE(theirs != nullptr);
  CHECK(theirs->data()[5] == std::byte{42});
  theirs->data()[6] = std::byte{43};
  REQUIRE(write(go[1], "x", 1) == 1);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  for (const int fd : {found[0], found[1], go[0], go[1]}) close(fd);
}

TEST_CASE("a named region: made once, private, opened, removed") {
  const Named named;
  {
    const auto made = Region::create_named(named.name, topic, 4096);
    struct stat seen{};
    REQUIRE(stat(Segment::path_of(named.name).c_str(), &seen) == 0);
    CHECK((seen.st_mode & 0777) == 0600);
    CHECK(fault_of([&] { Region::create_named(named.name, dict, 4096); }) == Fault::exists);
    CHECK(fault_of([&] { Segment::create_named(named.name, {}); }) == Fault::exists);
    CHECK(Region::open_named(named.name, topic) == made);
    made->reserve(0, 4096);
    made->data()[9] = std::byte{1};
  }
  CHECK(Region::open_named(named.name, topic)->data()[9] == std::byte{1});
  Region::remove_named(named.name);
  CHECK(fault_of([&] { Region::open_named(named.name, topic); }) == Fault::missing);
  CHECK(fault_of([&] { Region::remove_named(named.name); }) == Fault::missing);
}

TEST_CASE("a queue, and a region of another kind, are told apart by name") {
  const Named named;
  Region::create_named(named.name, topic, 4096);
  const SegmentError asked_for_queue = error_of([&] { Segment::open_named(named.name); });
  CHECK(asked_for_queue.fault == Fault::kind);
  CHECK(says(asked_for_queue, "it is a topic, not a queue"));
  const SegmentError asked_for_dict = error_of([&] { Region::open_named(named.name, dict); });
  CHECK(asked_for_dict.fault == Fault::kind);
  CHECK(says(asked_for_dict, named.name.c_str()));
  Region::remove_named(named.name);
  Segment::create_named(named.name, {});
  const SegmentError is_queue = error_of([&] { Region::open_named(named.name, topic); });
  CHECK(is_queue.fault == Fault::kind);
  CHECK(says(is_queue, "it is a queue, not a topic"));
}

TEST_CASE("a foreign, cut or changed file is told from a region") {
  const Named named;
  const auto open_it = [&] { Region::open_named(named.name, topic); };
  const std::vector<char> noise(100'000, 'x');
  named.write_at(0, "x", 1);
  CHECK(fault_of(open_it) == Fault::corrupt);
  named.write_at(0, noise.data(), noise.size());
  CHECK(fault_of(open_it) == Fault::corrupt);
  unlink(Segment::path_of(named.name).c_str());
  Region::create_named(named.name, topic, 10'000);
  const auto spoilt = [&](std::uint64_t offset, auto wrong, auto right, Fault fault) {
    named.write_at(offset, &wrong, sizeof wrong);
    CHECK(fault_of(open_it) == fault);
    named.write_at(offset, &right, sizeof right);
    open_it();
  };
  spoilt(offsetof(RegionFacts, version), region_version + 1, region_version, Fault::version);
  spoilt(offsetof(RegionFacts, layout), 9U, 3U, Fault::version);
  spoilt(offsetof(RegionFacts, payload_offset), std::uint64_t{0}, std::uint64_t{4096}, Fault::corrupt);
  spoilt(offsetof(RegionFacts, total_size), UINT64_MAX, std::uint64_t{14'096}, Fault::corrupt);
  spoilt(offsetof(RegionFacts, kind), 77U, 1U, Fault::kind);
  spoilt(offsetof(RegionFacts, pid_namespace), std::uint64_t{1}, pid_namespace(), Fault::denied);
  REQUIRE(truncate(Segment::path_of(named.name).c_str(), 8192) == 0);
  CHECK(fault_of(open_it) == Fault::corrupt);
}
