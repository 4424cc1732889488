#include "../memory/mappings.hpp"
#include "../memory/shared_file.hpp"
#include "conveyor/memory/region_layout.hpp"
#include "conveyor/queue/lease.hpp"
#include "conveyor/queue/segment.hpp"
#include "segment_checks.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

namespace conveyor {
namespace {

constexpr std::uint64_t smallest_pool = 16ULL << 20;

// How large the pool may become: twice the machine's memory, so that it is memory and not the pool that ends a
// backlog. The file is sparse, and mapped as it is used; only a bound on the size of files makes it smaller.
std::uint64_t wanted_pool_bytes() {
  struct sysinfo info{};
  std::uint64_t memory = 16ULL << 30;
  if (sysinfo(&info) == 0) memory = static_cast<std::uint64_t>(info.totalram + info.totalswap) * info.mem_unit;
  std::uint64_t wanted = std::bit_ceil(memory * 2);
  const std::uint64_t limit = soft_limit(RLIMIT_FSIZE);
  if (limit != UINT64_MAX) wanted = std::min(wanted, std::bit_floor(std::max(limit / 8, smallest_pool)));
  return std::clamp<std::uint64_t>(wanted, smallest_pool, std::uint64_t{no_page} / 2 * page_size);
}

// Where there is no /proc: a FIFO, which has a name for a moment.
int make_ready_fifo() {
  int error = ENOENT;
  for (const char* const folder : {"/dev/shm", "/tmp", "/var/tmp"}) {
    char path[64];
    std::uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number) break;
    std::snprintf(path, sizeof path, "%s/.conveyor-%016llx", folder, static_cast<unsigned long long>(number));
    if (mkfifo(path, 0600) != 0) {
      error = errno;
      continue;
    }
    const int both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    error = errno;
    unlink(path);
    if (both >= 0) return both;
  }
  errno = error == EMFILE || error == ENFILE ? error : ENOENT;
  return -1;
}

// A pipe held by one descriptor that is both ends; it can be opened again through /proc, which an
// eventfd cannot.
int make_ready_fd() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
  int both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const int error = errno;
  close(ends[0]);
  close(ends[1]);
  errno = error;
  if (both < 0 && error == ENOENT) both = make_ready_fifo();
  if (both >= 0) fcntl(both, F_SETPIPE_SZ, 4096);  // a token is a byte; the default counts 64 KiB against the user
  return both;
}

// A named segment's is a FIFO beside it, made by the process that asks for it first.
int open_ready_fifo(const std::string& path) {
  if (mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) return -1;
  const int fd = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  struct stat found{};
  int error = 0;
  if (fstat(fd, &found) != 0 || !S_ISFIFO(found.st_mode) || (found.st_mode & 077) != 0)
    error = EEXIST;  // no file of ours
  if (error == 0 && found.st_uid != geteuid()) error = EPERM;
  if (error == 0) return fd;
  close(fd);
  errno = error;
  return -1;
}

std::string words_for(const std::string& name) { return "queue '" + name + "'"; }

}  // namespace

std::string Segment::path_of(const std::string& name) { return named_path(name); }

void Segment::adopt(const Plan& plan) {
  plan_ = plan;
  page_count_ = plan.count;
  file_.begin(memory_fd_, 0, plan.page_table);
  table_.begin(memory_fd_, plan.page_table, plan.leases - plan.page_table);
  leases_.begin(memory_fd_, plan.leases, plan.producers - plan.leases);
  producers_.begin(memory_fd_, plan.producers, plan.total - plan.producers);
  if (const int error = file_.reach(page_size); error != 0)
    fail("cannot map a queue's shared memory (see ulimit -v, sysctl vm.max_map_count)", error);
  header_ = reinterpret_cast<Header*>(file_.base());
  first_leases_ = file_.base() + sizeof(Header);
  note_reached();
  identity_ = identity_of(memory_fd_);
}

Reach Segment::extend(std::uint32_t first, std::uint32_t pages) {
  const std::uint64_t end = std::uint64_t{first} + pages;
  // A process that hands out pages raises the mark before, so that what told us of the page (relaxed: that) tells of the
  // mark, too. What only damage can name is not mapped, large as it may be.
  if (end > std::min(header_->pool.high_water.load(relaxed), page_count_)) return Reach::corrupt;
  if (file_.reach((end + 1) * page_size) != 0 || reach_table(static_cast<std::uint32_t>(end)) != 0)
    return Reach::no_memory;
  note_reached();
  return Reach::ok;
}

void Segment::note_reached() {
  const std::uint64_t mapped = file_.reached() / page_size - 1;
  const auto both = static_cast<std::uint32_t>(std::min<std::uint64_t>(mapped, std::min(table_reached(), page_count_)));
  std::uint32_t seen = reached_.load(acquire);
  // sync point "reached": release here, acquire in `reach`.
  while (seen < both && !reached_.compare_exchange_strong(seen, both, acq_rel, acquire)) {
  }
}

std::shared_ptr<Segment> Segment::find(const Identity& identity) { return Mappings<Segment>::find(identity); }

// The file is all zeros: valid for every field that is not written here.
void Segment::initialise(Segment& fresh, const Bounds& bounds) {
  const Plan plan = plan_for(wanted_pool_bytes());
  if (const int error = size_file(fresh.memory_fd_, plan.total); error != 0)
    fail("cannot make a queue's shared memory", error);
  // The header is the first to be touched: reserve it before.
  if (const int error = reserve_in_file(fresh.memory_fd_, 0, sizeof(Header)); error != 0)
    fail("no memory for a queue", error);
  fresh.adopt(plan);
  Header* const header = fresh.header_;
  header->version = layout_version;
  header->header_size = sizeof(Header);
  header->total_size = plan.total;
  header->pages_offset = plan.pages;
  header->page_table_offset = plan.page_table;
  header->leases_offset = plan.leases;
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
  // Page 0 is the stream's first; its memory is reserved by the first put.
  header->pool.high_water.store(1, relaxed);  // relaxed: nobody else has it yet
  header->descriptors[0].use = PageUse::stream;
  header->descriptors[0].next = no_page;
  header->magic = segment_magic;
}

std::shared_ptr<Segment> Segment::create(const Bounds& bounds) {
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->memory_fd_ = make_anonymous_file("a queue");
  initialise(*fresh, bounds);
  seal_size(fresh->memory_fd_);
  if (bounds.pipe) {
    fresh->header_->watched.store(1, relaxed);  // relaxed: nobody else has it yet
    fresh->unready_.store(ENOTSUP, relaxed);
  }
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
  fresh->pass_on();
  fresh->ready_fd_.store(ready_fd, relaxed);  // relaxed: nobody else has it yet
  if (ready_fd < 0) fresh->unready_.store(ENOTSUP, relaxed);
  fcntl(memory_fd, F_SETFD, FD_CLOEXEC);
  if (ready_fd >= 0) fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  fresh->check();
  return Mappings<Segment>::share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::attach_from_outside(int memory_fd) {
  if (auto known = find(identity_of(memory_fd))) {
    if (memory_fd != known->memory_fd_) close(memory_fd);
    return known;
  }
  std::unique_ptr<Segment> fresh(new Segment);
  fresh->memory_fd_ = memory_fd;
  fresh->from_outside_ = true;
  fresh->pass_on();
  fcntl(memory_fd, F_SETFD, FD_CLOEXEC);
  fresh->check();
  // Now, as far as it is there: later it is under a lock that the others need.
  if (fresh->header_->ready_inode.load(relaxed) != 0) fresh->ready_fd();  // relaxed: an earlier look for a later one
  return Mappings<Segment>::share(std::move(fresh));
}

std::shared_ptr<Segment> Segment::attach_by_hint(const Identity& identity, const Hint& hint) {
  if (!is_alive(hint.owner)) return nullptr;
  const int memory_fd = open_through_process(identity, hint.owner, hint.memory_fd);
  if (memory_fd < 0) return nullptr;
  if (hint.ready_fd < 0) return attach(memory_fd, -1);
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
    throw SegmentError(Fault::denied, 0, "the segment was made in " + another_namespace(name_));
  }
  adopt(head.plan());
}

Segment::~Segment() {
  leave_tasks();
  strike_out();
  if (memory_fd_ >= 0) close(memory_fd_);
  if (const int fd = ready_fd_.load(relaxed); fd >= 0) close(fd);
}

// relaxed in these: the number of a descriptor carries nothing else.

int Segment::ready_fd() {
  if (const int why = unready_.load(relaxed); why != 0) {
    errno = why;
    return -1;
  }
  int fd = ready_fd_.load(relaxed);
  if (fd >= 0) return fd;
  if (from_outside_) {
    fd = open_ready_elsewhere();
  } else {
    fd = name_.empty() ? make_ready_fd() : open_ready_fifo(path_of(name_) + ".ready");
  }
  if (fd < 0) return -1;
  int expected = -1;
  if (!ready_fd_.compare_exchange_strong(expected, fd, relaxed)) {
    close(fd);
    return expected;
  }
  note_ready(fd);
  return fd;
}

void Segment::note_ready(int fd) {
  struct stat found{};
  if (fstat(fd, &found) != 0) return;
  header_->ready_device.store(static_cast<std::uint64_t>(found.st_dev), relaxed);
  header_->ready_inode.store(static_cast<std::uint64_t>(found.st_ino), relaxed);
}

void Segment::before_fork() {
  pass_on();
  if (!name_.empty() || from_outside_ || unready_.load(relaxed) != 0 || ready_fd_.load(relaxed) >= 0) return;
  // Some descriptors are left to the program: this queue is one that nobody has watched so far, and perhaps nobody will.
  const std::uint64_t limit = soft_limit(RLIMIT_NOFILE);
  const int fd = make_ready_fd();
  int expected = -1;
  if (fd >= 0 && static_cast<std::uint64_t>(fd) < limit - limit / 8 &&
      ready_fd_.compare_exchange_strong(expected, fd, relaxed)) {
    note_ready(fd);
    return;
  }
  const int error = fd < 0 ? errno : EMFILE;
  if (fd >= 0) close(fd);
  if (expected < 0) unready_.store(error, relaxed);
}

void Segment::remove_named(const std::string& name) { remove_named_file(name, words_for(name)); }

int Segment::reserve_bytes(std::uint64_t offset, std::uint64_t size) {
  return reserve_in_file(memory_fd_, offset, size);
}

int Segment::reserve(std::uint32_t first, std::uint32_t pages) {
  switch (reach(first, pages)) {
    case Reach::ok: break;
    case Reach::no_memory: return ENOMEM;
    case Reach::corrupt: return EFAULT;
  }
  const std::uint64_t size = pages * std::uint64_t{page_size};
  if (const int error = reserve_bytes(plan_.pages + first * std::uint64_t{page_size}, size); error != 0) return error;
  populate(page(first), size);
  return 0;
}

int Segment::reserve_table(std::uint32_t first, std::uint32_t end) {
  while (first < end) {
    const std::uint32_t block = first / pages_in_block, within = first % pages_in_block;
    const std::uint32_t last = std::min(end - block * pages_in_block, pages_in_block);
    const std::uint64_t at = plan_.page_table + block * sizeof(PageBlock);
    const std::uint64_t from = offsetof(PageBlock, descriptors) + within * sizeof(Descriptor);
    int error = reserve_bytes(at, sizeof(PageBlock::cold));
    if (error == 0) error = reserve_bytes(at + from, (last - within) * sizeof(Descriptor));
    if (error != 0) return error;
    first = (block + 1) * pages_in_block;
  }
  return 0;
}

int Segment::reserve_leases(std::uint32_t first, std::uint32_t end) {
  const std::uint64_t at = first < leases_in_front ? sizeof(Header) : plan_.leases;
  return reserve_bytes(at + first * sizeof(LeaseRecord), (end - first) * sizeof(LeaseRecord));
}

void Segment::give_back(std::uint32_t first, std::uint32_t pages) {
  give_back_in_file(memory_fd_, plan_.pages + first * std::uint64_t{page_size}, pages * std::uint64_t{page_size});
}

std::uint64_t Segment::memory_held() const { return memory_of_file(memory_fd_); }

// -- the lists of processes that use a segment: for the statistics, and to find the dead

void Segment::note(Atomic<OwnerId>* list, Atomic<std::uint32_t>& generation) {
  const std::uint32_t now = fork_generation();
  if (generation.load(relaxed) == now) return;
  generation.store(now, relaxed);
  count_attached();  // a newcomer often replaces somebody who died
  const OwnerId me = self();
  for (std::size_t i = 0; i < attachment_capacity; ++i) {
    if (list[i].load(relaxed) == me) return;
  }
  for (std::size_t i = 0; i < attachment_capacity; ++i) {
    OwnerId vacant = nobody;
    if (list[i].compare_exchange_strong(vacant, me, relaxed)) return;
  }
  // More processes than the list holds: they work all the same, they are only not counted.
}

std::uint32_t Segment::count_alive(Atomic<OwnerId>* list) {
  std::uint32_t alive = 0;
  for (std::size_t i = 0; i < attachment_capacity; ++i) {
    OwnerId owner = list[i].load(relaxed);
    if (owner == nobody) continue;
    if (is_alive(owner)) {
      ++alive;
    } else if (list[i].compare_exchange_strong(owner, nobody, relaxed)) {
      header_->sweep_wanted.store(1, relaxed);
    }
  }
  return alive;
}

Segment::Attached Segment::count_attached() { return {count_alive(header_->putting), count_alive(header_->getting)}; }

void Segment::leave_tasks() {
  if (header_ == nullptr || getting_generation_.load(relaxed) != fork_generation()) return;
  LeaseTable table(*this);
  if (table.counts_tasks() && table.any_out()) table.leave_own_tasks();
}

void Segment::strike_out() {
  if (header_ == nullptr) return;
  const auto strike = [](Atomic<OwnerId>* list) {
    for (std::size_t i = 0; i < attachment_capacity; ++i) {
      OwnerId me = self();
      list[i].compare_exchange_strong(me, nobody, relaxed);
    }
  };
  // Only what this very process wrote: a forked child that never used the queue wrote nothing.
  if (putting_generation_.load(relaxed) == fork_generation()) strike(header_->putting);
  if (getting_generation_.load(relaxed) == fork_generation()) strike(header_->getting);
}

}  // namespace conveyor
