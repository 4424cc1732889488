#include "mappings.hpp"
#include "segment_checks.hpp"
#include "shared_file.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

namespace conveyor {
namespace {

constexpr std::uint64_t smallest_pool = 16ULL << 20;

std::uint64_t soft_limit(int resource) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return UINT64_MAX;
  return limit.rlim_cur;
}

// Address space to give the pool: twice the machine's memory, so that it is memory and not the
// pool that ends a backlog. It costs nothing until touched; only rlimits make it smaller.
std::uint64_t wanted_pool_bytes() {
  struct sysinfo info{};
  std::uint64_t memory = 16ULL << 30;
  if (sysinfo(&info) == 0) memory = static_cast<std::uint64_t>(info.totalram + info.totalswap) * info.mem_unit;
  std::uint64_t wanted = std::bit_ceil(memory * 2);
  for (const int resource : {RLIMIT_AS, RLIMIT_FSIZE}) {
    const std::uint64_t limit = soft_limit(resource);
    if (limit != UINT64_MAX) wanted = std::min(wanted, std::bit_floor(std::max(limit / 8, smallest_pool)));
  }
  return std::clamp<std::uint64_t>(wanted, smallest_pool, std::uint64_t{no_page} / 2 * page_size);
}

// A pipe held by one descriptor that is both ends; it can be opened again through /proc, which an
// eventfd cannot.
int make_ready_fd() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
  const int both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const int error = errno;
  close(ends[0]);
  close(ends[1]);
  errno = error;
  if (both >= 0) fcntl(both, F_SETPIPE_SZ, 4096);  // a token is a byte; the default counts 64 KiB against the user
  return both;
}

std::string words_for(const std::string& name) { return "queue '" + name + "'"; }

}  // namespace

std::string Segment::path_of(const std::string& name) { return named_path(name); }

void Segment::map(std::uint64_t size) {
  base_ = map_file(memory_fd_, size);
  mapped_size_ = size;
}

void Segment::adopt(const Plan& plan) {
  header_ = reinterpret_cast<Header*>(base_);
  descriptors_ = reinterpret_cast<Descriptor*>(base_ + plan.descriptors);
  cold_ = reinterpret_cast<Atomic<std::uint64_t>*>(base_ + plan.cold);
  leases_ = reinterpret_cast<LeaseRecord*>(base_ + plan.leases);
  pages_ = base_ + plan.pages;
  page_count_ = plan.count;
  identity_ = identity_of(memory_fd_);
}

std::shared_ptr<Segment> Segment::find(const Identity& identity) { return Mappings<Segment>::find(identity); }

// The file is all zeros: valid for every field that is not written here.
void Segment::initialise(Segment& fresh, const Bounds& bounds) {
  std::uint64_t pool_bytes = wanted_pool_bytes();
  Plan plan = plan_for(pool_bytes);
  for (;;) {
    int error = ftruncate(fresh.memory_fd_, static_cast<off_t>(plan.total)) == 0 ? 0 : errno;
    if (error == 0) {
      try {
        fresh.map(plan.total);
        break;
      } catch (const SegmentError& refused) {
        error = refused.error;
      }
    }
    // Little address space left (very many queues, a limit): a smaller pool will do.
    if (pool_bytes <= smallest_pool) fail("cannot make a queue's shared memory", error);
    pool_bytes /= 4;
    plan = plan_for(pool_bytes);
  }
  // The header and the first descriptors are the first to be touched: reserve them before.
  if (const int error = posix_fallocate(fresh.memory_fd_, 0, sizeof(Header) + 4096); error != 0) {
    fail("no memory for a queue", error);
  }
  auto* const header = new (fresh.base_) Header{};
  header->version = layout_version;
  header->header_size = sizeof(Header);
  header->total_size = plan.total;
  header->descriptors_offset = plan.descriptors;
  header->cold_offset = plan.cold;
  header->leases_offset = plan.leases;
  header->pages_offset = plan.pages;
  header->page_count = plan.count;
  header->soft_bound = !bounds.soft ? 0 : bounds.counts_lent ? 2 : 1;
  header->max_items = bounds.items;
  header->max_bytes = bounds.bytes;
  header->pid_namespace = pid_namespace();
  header->leases.free = no_lease;
  header->leases.next_due.store(forever, relaxed);  // relaxed: nobody else has it yet
  header->leases.lease_time = bounds.lease_time;
  header->leases.max_attempts = bounds.attempts;
  header->leases.counts_tasks = bounds.counts_tasks ? 1 : 0;
  fresh.adopt(plan);
  // Page 0 is the stream's first; its memory is reserved by the first put.
  header->pool.high_water = 1;
  fresh.descriptors_[0].use = PageUse::stream;
  fresh.descriptors_[0].next = no_page;
  header->magic = segment_magic;
}

std::shared_ptr<Segment> Segment::create(const Bounds& bounds) {
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->memory_fd_ = make_anonymous_file("a queue");
  initialise(*fresh, bounds);
  seal_size(fresh->memory_fd_);
  if (bounds.pipe) {
    fresh->header_->watched.store(1, relaxed);  // relaxed: nobody else has it yet
    return Mappings<Segment>::share(std::move(fresh));
  }
  fresh->ready_fd_.store(make_ready_fd(), relaxed);
  if (fresh->ready_fd_.load(relaxed) < 0) fail("cannot make a queue's descriptor", errno);
  return Mappings<Segment>::share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::create_named(const std::string& name, const Bounds& bounds) {
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->memory_fd_ = make_nameless_file(words_for(name));
  fresh->name_ = name;
  initialise(*fresh, bounds);
  hold_file(fresh->memory_fd_, words_for(name));
  give_name(fresh->memory_fd_, name, words_for(name));
  return Mappings<Segment>::share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::open_named(const std::string& name) {
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->name_ = name;
  fresh->memory_fd_ = open_named_file(name, words_for(name));
  fresh->check();
  return Mappings<Segment>::share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::attach(int memory_fd, int ready_fd) {
  if (auto known = find(identity_of(memory_fd))) {
    // A queue that came twice with one set of inherited descriptors brings the very same numbers.
    if (memory_fd != known->memory_fd_) close(memory_fd);
    if (ready_fd != known->ready_fd_.load(relaxed) && ready_fd >= 0) close(ready_fd);
    return known;
  }
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->memory_fd_ = memory_fd;
  fresh->ready_fd_.store(ready_fd, relaxed);
  fcntl(memory_fd, F_SETFD, FD_CLOEXEC);
  if (ready_fd >= 0) fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  fresh->check();
  return Mappings<Segment>::share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::attach_by_hint(const Identity& identity, const Hint& hint) {
  if (!is_alive(hint.owner)) return nullptr;
  const int memory_fd = open_through_process(identity, hint.owner, hint.memory_fd);
  if (memory_fd < 0) return nullptr;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%u/fd/%d", owner_pid(hint.owner), hint.ready_fd);
  const int ready_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (ready_fd < 0) {
    close(memory_fd);
    return nullptr;
  }
  return attach(memory_fd, ready_fd);
}

void Segment::check() {
  const CheckedHeader head(memory_fd_);
  if (!head.is_local()) {
    throw SegmentError(
        Fault::denied, 0,
        "the segment was made in another pid namespace (container): its processes cannot be told apart from here");
  }
  map(head.plan().total);
  adopt(head.plan());
}

Segment::~Segment() {
  leave_tasks();
  strike_out();
  if (base_ != nullptr) munmap(base_, mapped_size_);
  if (memory_fd_ >= 0) close(memory_fd_);
  if (const int fd = ready_fd_.load(relaxed); fd >= 0) close(fd);
}

int Segment::ready_fd() {
  int fd = ready_fd_.load(relaxed);
  if (fd >= 0 || name_.empty()) return fd;
  // A named segment's is a FIFO beside it, made when first asked for.
  const std::string path = path_of(name_) + ".ready";
  if (mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) return -1;
  fd = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  struct stat found{};
  if (fstat(fd, &found) != 0 || !S_ISFIFO(found.st_mode) || found.st_uid != geteuid()) {
    close(fd);
    errno = EEXIST;  // something else has that name
    return -1;
  }
  int expected = -1;
  if (!ready_fd_.compare_exchange_strong(expected, fd, relaxed)) {
    close(fd);
    return expected;
  }
  return fd;
}

void Segment::remove_named(const std::string& name) { remove_named_file(name, words_for(name)); }

int Segment::reserve_bytes(std::uint64_t offset, std::uint64_t size) {
  return reserve_in_file(memory_fd_, offset, size);
}

int Segment::reserve(std::uint32_t first, std::uint32_t pages) {
  const std::uint64_t size = pages * std::uint64_t{page_size};
  const int error = reserve_bytes(offset_of(pages_) + first * std::uint64_t{page_size}, size);
  if (error != 0) return error;
  populate(page(first), size);
  return 0;
}

int Segment::reserve_tables(std::uint32_t first, std::uint32_t end) {
  const int error =
      reserve_bytes(offset_of(descriptors_) + first * sizeof(Descriptor), (end - first) * sizeof(Descriptor));
  if (error != 0) return error;
  return reserve_bytes(offset_of(cold_) + first / 64 * 8, (end / 64 - first / 64 + 1) * 8);
}

void Segment::give_back(std::uint32_t first, std::uint32_t pages) {
  give_back_in_file(memory_fd_, offset_of(pages_) + first * std::uint64_t{page_size}, pages * std::uint64_t{page_size});
}

std::uint64_t Segment::memory_held() const { return memory_of_file(memory_fd_); }

}  // namespace conveyor
