#include <doctest/doctest.h>
#include <poll.h>

#include <cstring>
#include <vector>

#include "conveyor/queue/stream.hpp"

using namespace conveyor;

namespace {

struct Drop {
  bool message(std::uint8_t, const std::byte*, std::size_t) { return true; }
  bool runs(std::uint8_t, const RunReference*, std::uint32_t, const std::byte*, std::size_t) { return true; }
};

bool readable(int fd) {
  pollfd look{fd, POLLIN, 0};
  return poll(&look, 1, 0) == 1;
}

void put(Stream& stream, std::size_t count) {
  const std::byte data[8] = {};
  Outgoing item;
  item.data = data;
  item.size = sizeof data;
  const std::vector<Outgoing> items(count, item);
  std::size_t done = 0;
  REQUIRE(stream.put(items.data(), count, done, forever) == Status::ok);
}

std::size_t take(Stream& stream, std::size_t count) {
  Drop sink;
  std::size_t done = 0;
  stream.take(count, sink, done);
  return done;
}

}  // namespace

TEST_CASE("readable if and only if there is something to take") {
  Stream stream(Segment::create({}));
  const int fd = stream.segment().ready_fd();
  put(stream, 1);
  CHECK_FALSE(readable(fd));  // nobody asked yet
  CHECK(stream.watch() == 0);
  CHECK(readable(fd));
  CHECK(take(stream, 1) == 1);
  CHECK_FALSE(readable(fd));
  for (int round = 0; round < 200; ++round) {
    put(stream, 3);
    CHECK(readable(fd));
    CHECK(take(stream, 2) == 2);
    CHECK(readable(fd));
    CHECK(take(stream, 5) == 1);
    CHECK_FALSE(readable(fd));
    CHECK(stream.settled_empty());
  }
}

TEST_CASE("a token left behind by the dead is taken away by the next look") {
  Stream stream(Segment::create({}));
  stream.watch();
  stream.ready().begin_put();  // and dies before the commit
  stream.ready().end_put();
  CHECK(readable(stream.segment().ready_fd()));
  CHECK(stream.settled_empty());
  CHECK_FALSE(readable(stream.segment().ready_fd()));
}
