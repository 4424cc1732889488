// What a file must be to be a segment.
#include "segment_checks.hpp"

#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

#include "conveyor/memory/region.hpp"

namespace conveyor {
namespace {

constexpr std::uint64_t round_up(std::uint64_t size, std::uint64_t unit) { return (size + unit - 1) / unit * unit; }

}  // namespace

Plan plan_for(std::uint64_t pool_bytes) {
  Plan plan{};
  plan.count = static_cast<std::uint32_t>(pool_bytes / page_size);
  static_assert(sizeof(Header) + leases_in_front * sizeof(LeaseRecord) <= page_size);
  plan.pages = page_size;
  plan.page_table = plan.pages + static_cast<std::uint64_t>(plan.count) * page_size;
  const std::uint64_t blocks = (std::uint64_t{plan.count} + pages_in_block - 1) / pages_in_block;
  plan.leases = round_up(plan.page_table + blocks * sizeof(PageBlock), 4096);
  plan.producers = plan.leases + lease_capacity(plan.count) * sizeof(LeaseRecord);
  plan.total = plan.producers + producer_capacity * sizeof(ProducerSlot);
  static_assert(producer_capacity * sizeof(ProducerSlot) % 4096 == 0);
  return plan;
}

CheckedHeader::CheckedHeader(int memory_fd) {
  struct stat found{};
  if (fstat(memory_fd, &found) != 0) fail("cannot look at a queue's shared memory", errno);
  if (!S_ISREG(found.st_mode)) fail_corrupt("it is no regular file");
  const auto file_size = static_cast<std::uint64_t>(found.st_size);
  if (const RegionKind kind = Region::kind_of(memory_fd); kind != RegionKind::none)
    throw SegmentError(Fault::kind, 0, "it is a " + kind_text(kind) + ", not a queue");
  if (file_size < sizeof(Header)) fail_corrupt("it has " + std::to_string(file_size) + " bytes, fewer than a header");
  for (std::size_t got = 0; got < sizeof raw_;) {
    const ssize_t n = pread(memory_fd, raw_ + got, sizeof raw_ - got, static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_corrupt("its header cannot be read");
    got += static_cast<std::size_t>(n);
  }
  const Header& head = header();
  if (head.magic != segment_magic) fail_corrupt("no conveyor mark at its start");
  if (head.version != layout_version || head.header_size != sizeof(Header)) {
    throw SegmentError(Fault::version, 0,
                       "the segment has layout " + std::to_string(head.version) + ", this conveyor has " +
                           std::to_string(layout_version));
  }
  plan_ = plan_for(static_cast<std::uint64_t>(head.page_count) * page_size);
  if (head.page_count < pages_in_front || head.total_size != plan_.total || head.pages_offset != plan_.pages ||
      head.page_table_offset != plan_.page_table || head.leases_offset != plan_.leases) {
    fail_corrupt("its parts do not fit together");
  }
  if (file_size != plan_.total)
    fail_corrupt("it has " + std::to_string(file_size) + " bytes instead of " + std::to_string(plan_.total));
}

}  // namespace conveyor
