// A segment is mapped as it is used: in each process, beside what was mapped before, and never beyond a limit.
#include "growth_lab.hpp"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include "conveyor/queue/stream.hpp"

using namespace conveyor;
using growth::addresses;
using growth::Limited;
using growth::Other;

namespace {

constexpr std::uint64_t mebibyte = 1 << 20;

struct Numbers {
  std::vector<std::uint32_t> got;
  std::vector<RunReference> runs_taken;
  bool message(std::uint8_t, const std::byte* data, std::size_t) {
    std::memcpy(&got.emplace_back(), data, 4);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t count, const std::byte* head, std::size_t) {
    runs_taken.insert(runs_taken.end(), runs, runs + count);
    return message(0, head, 4);
  }
};

Status put(Stream& stream, std::uint32_t number, std::size_t size) {
  std::vector<std::byte> data(size);
  std::memcpy(data.data(), &number, 4);
  Outgoing item;
  item.data = data.data();
  item.size = size;
  std::size_t done = 0;
  return stream.put(&item, 1, done, forever);
}

Status put_run(Stream& stream, std::uint32_t number, std::uint64_t size) {
  RunReference run;
  if (stream.allocate_run(size, run).first == no_page) return Status::no_memory;
  std::memset(stream.run_data(run), static_cast<int>(number), size);
  Outgoing item;
  item.data = reinterpret_cast<const std::byte*>(&number);
  item.size = 4;
  item.runs = &run;
  item.run_count = 1;
  std::size_t done = 0;
  return stream.put(&item, 1, done, forever);
}

// Items 0, 1, ... as both of these put them: whether all of them came, in order and whole.
bool take_all(Stream& stream, std::uint32_t count) {
  for (std::uint32_t number = 0; number < count;) {
    Numbers sink;
    std::size_t done = 0;
    if (stream.take(100, sink, done) != Status::ok) return false;
    for (const std::uint32_t each : sink.got) {
      if (each != number++) return false;
    }
    for (const RunReference& run : sink.runs_taken) {
      const std::byte* const data = stream.run_data(run);
      if (data[0] != data[run.size - 1] || data[run.size / 2] != data[0]) return false;
      stream.release(run);
    }
  }
  return stream.empty();
}

}  // namespace

TEST_CASE("a view maps in steps, stops where the file ends, and keeps what it had") {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  REQUIRE(ftruncate(fd, 100 * mebibyte + 4096) == 0);
  View view;
  view.begin(fd, 4096, 100 * mebibyte);
  CHECK(view.reached() == 0);
  CHECK(view.offset_of(&fd) == View::nowhere);
  CHECK(view.reach(1) == 0);
  CHECK(view.reached() == View::first_size);
  std::byte* const old = view.base() + 5000;
  *old = std::byte{7};
  CHECK(view.reach(View::first_size) == 0);
  CHECK(view.base() + 5000 == old);
  CHECK(view.reach(View::first_size + 1) == 0);
  CHECK(view.base() + 5000 != old);
  CHECK(view.base()[5000] == std::byte{7});
  view.base()[5000] = std::byte{8};
  CHECK(*old == std::byte{8});
  CHECK(view.offset_of(old) == 5000);
  CHECK(view.offset_of(view.base() + 5001) == 5001);
  CHECK(view.reach(100 * mebibyte) == 0);
  CHECK(view.reached() == 100 * mebibyte);
  CHECK(view.reach(100 * mebibyte + 1) == EFAULT);
  close(fd);
}

TEST_CASE("with few addresses left a view takes what is needed, and says so when that is too much") {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  REQUIRE(ftruncate(fd, 1024 * mebibyte) == 0);
  View view;
  view.begin(fd, 0, 1024 * mebibyte);
  REQUIRE(view.reach(1) == 0);
  {
    const Limited limited(8 * mebibyte);
    CHECK(view.reach(5 * mebibyte) == 0);
    CHECK(view.reached() >= 5 * mebibyte);
    CHECK(view.reached() <= 8 * mebibyte);
    const std::uint64_t had = view.reached();
    CHECK(view.reach(9 * mebibyte) == ENOMEM);
    CHECK(view.reached() == had);
  }
  CHECK(view.reach(9 * mebibyte) == 0);
  close(fd);
}

TEST_CASE("a queue costs a mebibyte of addresses, and a large one little more than it holds") {
  const std::uint64_t before = addresses();
  std::vector<std::shared_ptr<Segment>> segments;
  for (int i = 0; i < 100; ++i) {
    segments.push_back(Segment::create({}));
    Stream stream(segments.back());
    REQUIRE(put(stream, 0, 4000) == Status::ok);
    REQUIRE(take_all(stream, 1));
  }
  CHECK(addresses() - before < 120 * mebibyte);
  segments.clear();
  CHECK(addresses() - before < 10 * mebibyte);
  {
    Stream stream(Segment::create({}));
    for (std::uint32_t number = 0; number < 8; ++number) REQUIRE(put_run(stream, number, 8 * mebibyte) == Status::ok);
    CHECK(addresses() - before < 400 * mebibyte);
    CHECK(stream.check() == "");
    CHECK(take_all(stream, 8));
  }
  CHECK(addresses() - before < 10 * mebibyte);
}

TEST_CASE("a process that came early reads what was put beyond its view") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  Other other([&] {
    Stream its(segment);
    return take_all(its, 10'100);
  });
  for (std::uint32_t number = 0; number < 10'000; ++number) REQUIRE(put(stream, number, 5000) == Status::ok);
  for (std::uint32_t number = 10'000; number < 10'100; ++number)
    REQUIRE(put_run(stream, number, mebibyte) == Status::ok);
  CHECK(stream.check() == "");
  CHECK(other.run());
  segment->count_attached();
  CHECK(stream.check() == "");
}

TEST_CASE("without addresses to take an item it stays, and comes when there are some") {
  for (const bool by_run : {false, true}) {
    CAPTURE(by_run);
    const auto segment = Segment::create({});
    Stream stream(segment);
    REQUIRE(put(stream, 0, 5000) == Status::ok);
    Other other([&] {
      Stream its(segment);
      Numbers sink;
      std::size_t done = 0;
      {
        const Limited limited(100'000);
        // What is in its view it takes, and one at a time is never worse than many.
        Status status = Status::ok;
        while (status == Status::ok) status = its.take(1, sink, done);
        if (status != Status::no_memory || done != 0 || sink.got.empty() || sink.got.size() > 300) return false;
        if (its.take(100, sink, done) != Status::no_memory || done != 0) return false;
        if (its.statistics().items_out != sink.got.size()) return false;
        if (its.check() == "") return false;  // it cannot look
        if (!by_run && put(its, 0, 5000) != Status::no_memory) return false;  // it cannot reach the last page
      }
      for (const RunReference& run : sink.runs_taken) its.release(run);
      const auto before = static_cast<std::uint32_t>(sink.got.size());
      for (std::uint32_t i = 0; i < before; ++i) {
        if (sink.got[i] != i) return false;
      }
      std::uint32_t next = before;
      while (!its.empty()) {
        Numbers more;
        if (its.take(1, more, done) != Status::ok || more.got[0] != next++) return false;
        for (const RunReference& run : more.runs_taken) its.release(run);
      }
      return next == 1000 && its.check() == "";
    });
    for (std::uint32_t number = 1; number < 1000; ++number)
      REQUIRE((by_run ? put_run(stream, number, 40'000) : put(stream, number, 5000)) == Status::ok);
    CHECK(other.run());
    CHECK(stream.check() == "");
  }
}

TEST_CASE("without addresses to put a large item the queue is as before") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  REQUIRE(put(stream, 0, 100) == Status::ok);
  const std::uint64_t held = segment->memory_held();
  {
    const Limited limited(8 * mebibyte);
    RunReference run;
    for (int i = 0; i < 50; ++i) CHECK(stream.allocate_run(64 * mebibyte, run).error == ENOMEM);
    CHECK(put(stream, 1, 100) == Status::ok);
    REQUIRE(stream.allocate_run(mebibyte, run).first != no_page);
    stream.release(run);
  }
  CHECK(segment->memory_held() < held + 2 * mebibyte);
  CHECK(stream.check() == "");
  CHECK(take_all(stream, 2));
  CHECK(put_run(stream, 0, 64 * mebibyte) == Status::ok);
  CHECK(take_all(stream, 1));
  CHECK(stream.check() == "");
}

TEST_CASE("what a dead consumer left is put in order by the first who can") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  constexpr std::uint32_t count = 1000;  // of leases: more than a first view of their table has
  for (std::uint32_t number = 0; number < count + 2; ++number) REQUIRE(put(stream, number, 8) == Status::ok);
  Header& header = segment->header();
  Other other([&] {
    Stream its(segment);
    Numbers sink;
    std::size_t done = 0;
    const Limited limited(20'000);
    // The lock of one that has died, with a lease that it did not come to commit.
    const OwnerId dead = make_owner(0x3ffffe, 12345);
    std::memcpy(static_cast<void*>(&header.consumers.lock), &dead, sizeof dead);
    its.await_consumers_lock(1'000'000'000);
    return its.take(1, sink, done) == Status::no_memory && header.consumers.lock.holder() == nobody &&
           header.consumers_owed.load() == 1;
  });
  std::vector<LeaseId> leases(count);
  Numbers sink;
  std::size_t done = 0;
  REQUIRE(stream.take(count, sink, done, leases.data()) == Status::ok);
  REQUIRE(done == count);
  // As if it had died between the record and the commit.
  LeaseTable table(*segment);
  REQUIRE(table.make_room() == 0);
  table.add(count, 0, 0);
  REQUIRE(other.run());
  CHECK(header.consumers_owed.load() == 1);
  CHECK(stream.take(1, sink, done) == Status::ok);
  CHECK(header.consumers_owed.load() == 0);
  CHECK(header.leases.out.load() == count);
  CHECK(stream.check() == "");
}

TEST_CASE("a page that was never in use is damage, and maps nothing") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  REQUIRE(put(stream, 0, 100) == Status::ok);
  REQUIRE(put(stream, 1, 100) == Status::ok);
  const std::uint32_t far = segment->page_count() - 1;
  const std::uint64_t before = addresses();
  SUBCASE("where the consumers stand") {
    for (SideState& state : segment->header().consumers.state) state.page = far;
  }
  SUBCASE("where a page leads") {
    segment->descriptor(0).next = far;
    auto* const message = reinterpret_cast<MessageHeader*>(segment->page(0));
    message->form = static_cast<std::uint8_t>(MessageForm::skip);
  }
  Numbers sink;
  std::size_t done = 0;
  CHECK(stream.take(1, sink, done) == Status::corrupt);
  CHECK(sink.got.empty());
  CHECK(stream.check() != "");
  CHECK(addresses() - before < mebibyte);
}

TEST_CASE("threads map more at the same time") {
  const auto segment = Segment::create({});
  Stream stream(segment);
  std::vector<std::thread> threads;
  Atomic<std::uint32_t> failed{0};
  for (std::uint32_t which = 0; which < 4; ++which) {
    threads.emplace_back([&, which] {
      std::vector<RunReference> kept;
      std::vector<std::byte*> where;
      for (std::uint32_t round = 0; round < 60; ++round) {
        RunReference run;
        if (stream.allocate_run((1 + which + round) * 50'000, run).first == no_page) {
          failed.fetch_add(1);
          continue;
        }
        kept.push_back(run);
        where.push_back(stream.run_data(run));
        std::memset(where.back(), static_cast<int>(which * 64 + round), 50'000);
      }
      for (std::size_t i = 0; i < kept.size(); ++i) {
        const std::byte expected = where[i][0];
        if (stream.run_data(kept[i])[49'999] != expected) failed.fetch_add(1);
        stream.release(kept[i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed.load() == 0);
  CHECK(stream.check() == "");
}
