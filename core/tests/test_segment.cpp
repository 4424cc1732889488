#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "conveyor/queue/segment.hpp"

using namespace conveyor;

namespace {

Fault fault_of(auto action) {
  try {
    action();
  } catch (const SegmentError& error) {
    return error.fault;
  }
  FAIL("no error");
  return Fault::system;
}

std::string fresh_name() { return "core-test-" + std::to_string(getpid()); }

struct Named {
  std::string name = fresh_name();
  ~Named() { unlink(Segment::path_of(name).c_str()); }
};

}  // namespace

TEST_CASE(
    "an anonymous segment costs a descriptor, another when it is watched, and little memory, and leaves nothing") {
  const auto open_descriptors = [] {
    int count = 0;
    for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
  };
  const int before = open_descriptors();
  {
    const auto segment = Segment::create({});
    CHECK(segment->memory_held() <= 64 * 1024);
    CHECK(open_descriptors() == before + 1);
    CHECK(segment->ready_fd() >= 0);
    CHECK(open_descriptors() == before + 2);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a segment attached again in one process is the same one") {
  const auto segment = Segment::create({});
  CHECK(Segment::attach(dup(segment->memory_fd()), dup(segment->ready_fd())) == segment);
  CHECK(Segment::find(segment->identity()) == segment);
  CHECK(Segment::find({1, 2}) == nullptr);
}

TEST_CASE("another process finds it through a hint") {
  const auto segment = Segment::create({});
  const Hint hint{self(), segment->memory_fd(), segment->ready_fd()};
  const Identity identity = segment->identity();
  Hint wrong = hint;
  wrong.memory_fd = 0;
  CHECK(Segment::attach_by_hint(identity, wrong) == nullptr);
  wrong = hint;
  wrong.owner = make_owner(0x3ffffe, 99);
  CHECK(Segment::attach_by_hint(identity, wrong) == nullptr);
  CHECK(Segment::attach_by_hint(identity, hint) == segment);
}

TEST_CASE("named segments: made once, opened, private, removed") {
  const Named named;
  {
    const auto made = Segment::create_named(named.name, {5, 500, false, false});
    struct stat found{};
    REQUIRE(stat(Segment::path_of(named.name).c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
    CHECK(fault_of([&] { Segment::create_named(named.name, {}); }) == Fault::exists);
    CHECK(Segment::open_named(named.name) == made);
  }
  const auto opened = Segment::open_named(named.name);
  CHECK(opened->header().max_items == 5);
  CHECK(opened->header().max_bytes == 500);
  Segment::remove_named(named.name);
  CHECK(fault_of([&] { Segment::open_named(named.name); }) == Fault::missing);
  CHECK(fault_of([&] { Segment::remove_named(named.name); }) == Fault::missing);
}

TEST_CASE("a foreign, cut or changed file is told from a segment") {
  const Named named;
  const std::string path = Segment::path_of(named.name);
  const auto open_it = [&] { Segment::open_named(named.name); };
  const auto write_at = [&](off_t offset, const void* data, std::size_t size) {
    const int fd = open(path.c_str(), O_RDWR);
    REQUIRE(pwrite(fd, data, size, offset) == static_cast<ssize_t>(size));
    close(fd);
  };
  close(open(path.c_str(), O_CREAT | O_RDWR, 0600));
  CHECK(fault_of(open_it) == Fault::corrupt);
  const std::vector<char> noise(100'000, 'x');
  write_at(0, noise.data(), noise.size());
  CHECK(fault_of(open_it) == Fault::corrupt);
  unlink(path.c_str());
  Segment::create_named(named.name, {});
  const std::uint32_t version = layout_version + 1;
  write_at(offsetof(Header, version), &version, sizeof version);
  CHECK(fault_of(open_it) == Fault::version);
  write_at(offsetof(Header, version), &layout_version, sizeof version);
  Segment::open_named(named.name);
  const std::uint64_t wrong = 4096;
  write_at(offsetof(Header, pages_offset), &wrong, sizeof wrong);
  CHECK(fault_of(open_it) == Fault::corrupt);
  unlink(path.c_str());
  Segment::create_named(named.name, {});
  REQUIRE(truncate(path.c_str(), 1 << 20) == 0);
  CHECK(fault_of(open_it) == Fault::corrupt);
}

TEST_CASE("the users of a segment are counted while they live") {
  const auto segment = Segment::create({});
  segment->note_putting();
  segment->note_putting();
  int told[2], go[2];
  REQUIRE((pipe(told) == 0 && pipe(go) == 0));
  const pid_t child = fork();
  if (child == 0) {
    segment->note_getting();
    char byte = 0;
    const bool fine = write(told[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1;
    _exit(fine ? 0 : 1);
  }
  char byte = 0;
  REQUIRE(read(told[0], &byte, 1) == 1);
  CHECK(segment->count_attached().putting == 1);
  CHECK(segment->count_attached().getting == 1);
  REQUIRE(write(go[1], &byte, 1) == 1);
  waitpid(child, nullptr, 0);
  CHECK(segment->count_attached().getting == 0);
}
