#include "segment_checks.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>
#include <vector>

namespace conveyor {
namespace {

constexpr const char* directory = "/dev/shm/";
constexpr const char* prefix = "conveyor.";
constexpr std::uint64_t smallest_pool = 16ULL << 20;

// Every segment that is mapped here, so that a queue received twice is mapped once.
struct Mapped {
  std::mutex mutex;
  std::vector<std::weak_ptr<Segment>> segments;
};

Mapped& mapped() {
  static Mapped* const all = [] {
    auto* made = new Mapped;  // never destroyed: segments may outlive static destructors
    // A thread of the parent may hold the mutex at the fork; the child would inherit it locked.
    pthread_atfork([] { mapped().mutex.lock(); }, [] { mapped().mutex.unlock(); }, [] { mapped().mutex.unlock(); });
    return made;
  }();
  return *all;
}

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

}  // namespace

std::string Segment::path_of(const std::string& name) { return directory + (prefix + name); }

void Segment::map(std::uint64_t size) {
  void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory_fd_, 0);
  if (at == MAP_FAILED) fail("cannot map " + std::to_string(size) + " bytes of shared memory (see ulimit -v)", errno);
  madvise(at, size, MADV_DONTDUMP);  // a core dump need not walk the sparse pool
  base_ = static_cast<std::byte*>(at);
  mapped_size_ = size;
}

void Segment::adopt(const Plan& plan) {
  header_ = reinterpret_cast<Header*>(base_);
  descriptors_ = reinterpret_cast<Descriptor*>(base_ + plan.descriptors);
  cold_ = reinterpret_cast<Atomic<std::uint64_t>*>(base_ + plan.cold);
  leases_ = reinterpret_cast<LeaseRecord*>(base_ + plan.leases);
  pages_ = base_ + plan.pages;
  page_count_ = plan.count;
  struct stat found{};
  if (fstat(memory_fd_, &found) != 0) fail("cannot look at the shared memory", errno);
  identity_ = {static_cast<std::uint64_t>(found.st_dev), static_cast<std::uint64_t>(found.st_ino)};
}

std::shared_ptr<Segment> Segment::share(std::unique_ptr<Segment> fresh) {
  Mapped& all = mapped();
  const std::lock_guard guard(all.mutex);
  std::erase_if(all.segments, [](const auto& weak) { return weak.expired(); });
  for (const auto& weak : all.segments) {
    if (auto known = weak.lock(); known && known->identity_ == fresh->identity_) return known;
  }
  std::shared_ptr<Segment> shared(std::move(fresh));
  all.segments.push_back(shared);
  return shared;
}

std::shared_ptr<Segment> Segment::find(const Identity& identity) {
  Mapped& all = mapped();
  const std::lock_guard guard(all.mutex);
  for (const auto& weak : all.segments) {
    if (auto known = weak.lock(); known && known->identity_ == identity) return known;
  }
  return nullptr;
}

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
  header->soft_bound = bounds.soft ? 1 : 0;
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
  fresh->memory_fd_ = memfd_create("conveyor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fresh->memory_fd_ < 0) fail("cannot create shared memory (memfd_create)", errno);
  initialise(*fresh, bounds);
  // Nobody can cut the file short under a mapping, which would be a SIGBUS.
  fcntl(fresh->memory_fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  if (bounds.pipe) {
    fresh->header_->watched.store(1, relaxed);  // relaxed: nobody else has it yet
    return share(std::move(fresh));
  }
  fresh->ready_fd_.store(make_ready_fd(), relaxed);
  if (fresh->ready_fd_.load(relaxed) < 0) fail("cannot make a queue's descriptor", errno);
  return share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::create_named(const std::string& name, const Bounds& bounds) {
  const std::string path = path_of(name);
  // Made whole under no name, then linked: nobody can open a half-made one, and a crash leaves nothing.
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->memory_fd_ = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fresh->memory_fd_ < 0) fail("cannot create a file in /dev/shm for queue '" + name + "'", errno);
  fresh->name_ = name;
  initialise(*fresh, bounds);
  fresh->hold();
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fresh->memory_fd_);
  if (linkat(AT_FDCWD, link, AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0)
    fail("cannot create queue '" + name + "'", errno);
  return share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::open_named(const std::string& name) {
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->name_ = name;
  // Without waiting for anything, whatever lies there.
  fresh->memory_fd_ = open(path_of(name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fresh->memory_fd_ < 0) {
    const int error = errno;
    if (error == ELOOP || error == EISDIR || error == ENXIO || error == ENODEV) fail_corrupt("it is no regular file");
    fail("cannot open queue '" + name + "'", error);
  }
  struct stat found{};
  if (fstat(fresh->memory_fd_, &found) != 0) fail("cannot look at queue '" + name + "'", errno);
  if (found.st_uid != geteuid())
    throw SegmentError(Fault::denied, EACCES, "queue '" + name + "' belongs to another user");
  if (!fresh->hold()) fail("queue '" + name + "' was removed", ENOENT);
  fresh->check();
  return share(std::move(fresh));
}

// From here to the end of the last process that has this very open file. A collector looks for that lock,
// and removes the name while it holds an exclusive one: whoever came too late finds a file without a name.
// False: it has no name any more.
bool Segment::hold() {
  constexpr int most_tries = 1000;
  constexpr timespec millisecond{0, 1'000'000};
  for (int tries = 0; flock(memory_fd_, LOCK_SH | LOCK_NB) != 0;) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) break;  // no such locks here: then the collector gets none either
    if (++tries == most_tries)
      fail("queue '" + name_ + "' is just being removed, by a process that has stopped", EAGAIN);
    nanosleep(&millisecond, nullptr);
  }
  struct stat found{};
  return fstat(memory_fd_, &found) != 0 || found.st_nlink != 0;
}

std::shared_ptr<Segment> Segment::attach(int memory_fd, int ready_fd) {
  struct stat found{};
  if (fstat(memory_fd, &found) != 0) fail("cannot look at a queue's shared memory", errno);
  if (auto known = find({static_cast<std::uint64_t>(found.st_dev), static_cast<std::uint64_t>(found.st_ino)})) {
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
  return share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::attach_by_hint(const Identity& identity, const Hint& hint) {
  if (!is_alive(hint.owner)) return nullptr;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%u/fd/%d", owner_pid(hint.owner), hint.memory_fd);
  // Opened read-only first: looking at a descriptor that is not ours any more must change nothing.
  struct stat found{};
  if (stat(path, &found) != 0) return nullptr;
  if (static_cast<std::uint64_t>(found.st_dev) != identity.device ||
      static_cast<std::uint64_t>(found.st_ino) != identity.inode)
    return nullptr;
  const int memory_fd = open(path, O_RDWR | O_CLOEXEC);
  if (memory_fd < 0) return nullptr;
  std::snprintf(path, sizeof path, "/proc/%u/fd/%d", owner_pid(hint.owner), hint.ready_fd);
  const int ready_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fstat(memory_fd, &found) != 0 || static_cast<std::uint64_t>(found.st_ino) != identity.inode || ready_fd < 0) {
    close(memory_fd);
    if (ready_fd >= 0) close(ready_fd);
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

void Segment::remove_named(const std::string& name) {
  const std::string path = path_of(name);
  Segment held;  // until the end: a collector that is about to remove the same must not meet a new one there
  held.name_ = name;
  do {
    if (held.memory_fd_ >= 0) close(held.memory_fd_);
    held.memory_fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  } while (held.memory_fd_ >= 0 && !held.hold());
  if (unlink(path.c_str()) != 0) fail("cannot remove queue '" + name + "'", errno);
  unlink((path + ".ready").c_str());
}

int Segment::reserve_bytes(std::uint64_t offset, std::uint64_t size) {
  for (;;) {
    if (fallocate(memory_fd_, 0, static_cast<off_t>(offset), static_cast<off_t>(size)) == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

int Segment::reserve(std::uint32_t first, std::uint32_t pages) {
  const std::uint64_t size = pages * std::uint64_t{page_size};
  const int error = reserve_bytes(offset_of(pages_) + first * std::uint64_t{page_size}, size);
  if (error != 0) return error;
#ifdef MADV_POPULATE_WRITE
  // Maps them all at once; otherwise each 4 KiB costs a fault of its own when it is written. Only a
  // matter of time: an older kernel (before 5.14) refuses, and the faults do it.
  madvise(page(first), size, MADV_POPULATE_WRITE);
#endif
  return 0;
}

int Segment::reserve_tables(std::uint32_t first, std::uint32_t end) {
  const int error =
      reserve_bytes(offset_of(descriptors_) + first * sizeof(Descriptor), (end - first) * sizeof(Descriptor));
  if (error != 0) return error;
  return reserve_bytes(offset_of(cold_) + first / 64 * 8, (end / 64 - first / 64 + 1) * 8);
}

void Segment::give_back(std::uint32_t first, std::uint32_t pages) {
  const off_t offset = (pages_ - base_) + static_cast<off_t>(first) * static_cast<off_t>(page_size);
  while (fallocate(memory_fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                   static_cast<off_t>(pages) * static_cast<off_t>(page_size)) != 0 &&
         errno == EINTR) {
  }
}

std::uint64_t Segment::memory_held() const {
  struct stat found{};
  return fstat(memory_fd_, &found) == 0 ? static_cast<std::uint64_t>(found.st_blocks) * 512 : 0;
}

}  // namespace conveyor
