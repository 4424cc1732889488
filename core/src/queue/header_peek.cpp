// A look at a segment's file, without mapping it.
#include "conveyor/queue/header_peek.hpp"

#include <algorithm>
#include <unistd.h>

#include "segment_checks.hpp"

namespace conveyor {
namespace {

std::vector<OwnerId> owners_in(const Atomic<OwnerId>* list) {
  std::vector<OwnerId> found;
  for (std::size_t i = 0; i < attachment_capacity; ++i) {
    if (const OwnerId owner = list[i].load(relaxed); owner != nobody) found.push_back(owner);
  }
  return found;
}

// Lease records that are looked at, of more than that only the first: they are read at each look.
constexpr std::uint32_t most_records = 4096;

void count_leases(int memory_fd, const CheckedHeader& checked, StreamStatistics& figures) {
  const Header& head = checked.header();
  const std::uint32_t high = std::min({head.leases.high.load(relaxed), lease_capacity(head.page_count), most_records});
  std::vector<LeaseRecord> records(std::min(high, 256U));
  for (std::uint32_t first = 0; first < high;) {
    const bool in_front = first < leases_in_front;
    const std::uint32_t end = in_front ? std::min(high, leases_in_front) : high;
    const auto count = std::min<std::size_t>(records.size(), end - first);
    const std::uint64_t at = (in_front ? sizeof(Header) : head.leases_offset) + first * sizeof(LeaseRecord);
    const ssize_t got = pread(memory_fd, records.data(), count * sizeof(LeaseRecord), static_cast<off_t>(at));
    if (got <= 0) return;
    for (std::size_t i = 0; i < static_cast<std::size_t>(got) / sizeof(LeaseRecord); ++i) {
      const auto stage = static_cast<LeaseStage>(records[i].word.load(relaxed) & 0xff);
      figures.leased += stage == LeaseStage::leased ? 1 : 0;
      figures.returned += stage == LeaseStage::returned || stage == LeaseStage::delayed ? 1 : 0;
      figures.dead += stage == LeaseStage::failed || stage == LeaseStage::moving || stage == LeaseStage::buried ? 1 : 0;
    }
    first += static_cast<std::uint32_t>(count);
  }
}

// As Stream::statistics, without a look whether anybody lives.
StreamStatistics figures_of(int memory_fd, const CheckedHeader& checked) {
  const Header& head = checked.header();
  StreamStatistics s{};
  s.items_out = head.head.word.load(relaxed) >> 1;  // relaxed from here: a copy of our own
  s.bytes_out = head.head.bytes.load(relaxed);
  s.items_in = head.tail.word.load(relaxed) >> 1;
  s.bytes_in = head.tail.bytes.load(relaxed);
  const std::uint64_t waiting = s.items_in > s.items_out ? s.items_in - s.items_out : 0;
  s.depth = waiting + head.returned.load(relaxed);
  s.peak_depth = std::max({head.producers.peak.load(relaxed), head.consumers.peak.load(relaxed), waiting});
  s.put_waits = head.producers.waits.load(relaxed);
  s.get_waits = head.consumers.waits.load(relaxed);
  s.put_blocked_nanoseconds = head.producers.blocked_nanoseconds.load(relaxed);
  s.get_blocked_nanoseconds = head.consumers.blocked_nanoseconds.load(relaxed);
  s.memory_held = memory_of_file(memory_fd);
  s.memory_lent = std::uint64_t{head.pool.lent_pages.load(relaxed)} * page_size;
  s.redelivered = head.leases.given_back.load(relaxed);
  count_leases(memory_fd, checked, s);
  return s;
}

}  // namespace

HeaderPeek peek_header(int memory_fd) {
  const CheckedHeader checked(memory_fd);
  const Header& head = checked.header();
  HeaderPeek seen;
  seen.local = checked.is_local();
  const std::uint64_t out = head.head.word.load(relaxed) >> 1;  // relaxed from here: a copy of our own
  const std::uint64_t in = head.tail.word.load(relaxed) >> 1;
  // With those under lease: their holders may give them back, also by their death.
  seen.waiting = (in > out ? in - out : 0) + head.returned.load(relaxed);
  seen.items = seen.waiting + head.failed.load(relaxed) + head.leases.out.load(relaxed);
  const std::uint64_t bytes_in = head.tail.bytes.load(relaxed), bytes_out = head.head.bytes.load(relaxed);
  seen.bytes = bytes_in > bytes_out ? bytes_in - bytes_out : 0;
  seen.max_items = head.max_items;
  seen.max_bytes = head.max_bytes;
  seen.consumers_lock = head.consumers.lock.holder();
  seen.producers_lock = head.producers.lock.holder();
  seen.pool_lock = head.pool.lock.holder();
  seen.ready_lock = head.ready_lock.holder();
  seen.putting = owners_in(head.putting);
  seen.getting = owners_in(head.getting);
  seen.paused = head.paused.load(relaxed) != 0;
  seen.ended = head.ended.load(relaxed) != 0;
  seen.label = read_label(head.label);
  seen.waiters = waiters_in(head.waiters);
  seen.figures = figures_of(memory_fd, checked);
  return seen;
}

}  // namespace conveyor
