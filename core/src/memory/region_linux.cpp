#include "conveyor/memory/region.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mappings.hpp"
#include "shared_file.hpp"

namespace conveyor {
namespace {

constexpr std::uint64_t system_page = 4096;
// Above it, the pages of what is reserved are mapped at once.
constexpr std::uint64_t worth_populating = 64 * 1024;
// Above it, it is asked first whether the system has as much. Where nothing but the machine's memory bounds a memfd,
// fallocate goes on until the system kills somebody.
constexpr std::uint64_t worth_asking = 64ULL << 20;
// Sizes are added up: far below where that could overflow, far above any address space.
constexpr std::uint64_t largest = 1ULL << 56;

std::string words_for(RegionKind kind, const std::string& name) { return kind_text(kind) + " '" + name + "'"; }

[[noreturn]] void fail_kind(RegionKind found, RegionKind wanted) {
  throw SegmentError(Fault::kind, 0, "it is a " + kind_text(found) + ", not a " + kind_text(wanted));
}

void expect_type(const Region::Type& found, const Region::Type& wanted) {
  if (found.kind != wanted.kind) fail_kind(found.kind, wanted.kind);
  if (found.layout != wanted.layout) {
    throw SegmentError(Fault::version, 0,
                       "the " + kind_text(found.kind) + " has layout " + std::to_string(found.layout) +
                           ", this conveyor has " + std::to_string(wanted.layout));
  }
}

// Bytes that the system can give without killing for it; as many as can be thought of when it does not say.
std::uint64_t memory_available() {
  const int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return UINT64_MAX;
  char text[4096];
  const ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length < 0 ? 0 : length] = '\0';
  std::uint64_t found = 0;
  for (const char* name : {"MemAvailable:", "SwapFree:"}) {
    const char* const at = std::strstr(text, name);
    if (at != nullptr) found += std::strtoull(at + std::strlen(name), nullptr, 10) * 1024;
  }
  return found == 0 ? UINT64_MAX : found;
}

// A copy of a file's header, found sound. `wanted` is for the words of an error.
RegionFacts read_facts(int memory_fd, RegionKind wanted) {
  struct stat found{};
  if (fstat(memory_fd, &found) != 0) fail("cannot look at the shared memory", errno);
  if (!S_ISREG(found.st_mode)) fail_corrupt("it is no regular file");
  const auto file_size = static_cast<std::uint64_t>(found.st_size);
  if (file_size < sizeof(RegionHeader))
    fail_corrupt("it has " + std::to_string(file_size) + " bytes, fewer than a header");
  RegionFacts facts{};
  for (std::size_t got = 0; got < sizeof facts;) {
    const ssize_t n =
        pread(memory_fd, reinterpret_cast<char*>(&facts) + got, sizeof facts - got, static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_corrupt("its header cannot be read");
    got += static_cast<std::size_t>(n);
  }
  if (facts.magic == segment_magic) {
    throw SegmentError(Fault::kind, 0,
                       "it is a queue" + (wanted == RegionKind::none ? "" : ", not a " + kind_text(wanted)));
  }
  if (facts.magic != region_magic) fail_corrupt("no conveyor mark at its start");
  if (facts.version != region_version || facts.header_size != sizeof(RegionHeader)) {
    throw SegmentError(Fault::version, 0,
                       "its header has layout " + std::to_string(facts.version) + ", this conveyor has " +
                           std::to_string(region_version));
  }
  if (facts.payload_offset != sizeof(RegionHeader) || facts.total_size <= sizeof(RegionHeader) ||
      facts.total_size > largest)
    fail_corrupt("its parts do not fit together");
  if (file_size != facts.total_size) {
    fail_corrupt("it has " + std::to_string(file_size) + " bytes instead of " + std::to_string(facts.total_size));
  }
  return facts;
}

}  // namespace

std::string kind_text(RegionKind kind) {
  switch (kind) {
    case RegionKind::none: break;
    case RegionKind::topic: return "topic";
    case RegionKind::state: return "shared state";
    case RegionKind::dict: return "shared dict";
    case RegionKind::list: return "shared list";
    case RegionKind::array: return "shared array";
  }
  return "region of kind " + std::to_string(static_cast<std::uint32_t>(kind));
}

void Region::adopt(const RegionFacts& facts) {
  file_.begin(memory_fd_, 0, facts.total_size);
  const bool grows = facts.kind == RegionKind::dict || facts.kind == RegionKind::list;
  const std::uint64_t wanted = grows ? std::min(facts.total_size, View::first_size) : facts.total_size;
  if (const int error = file_.reach(wanted); error != 0) {
    fail("cannot map " + std::to_string(wanted) + " bytes of shared memory (see ulimit -v, sysctl vm.max_map_count)",
         error);
  }
  header_ = reinterpret_cast<RegionHeader*>(file_.base());
  size_ = facts.total_size - facts.payload_offset;
  type_ = {facts.kind, facts.layout};
  identity_ = identity_of(memory_fd_);
}

void Region::initialise(const Type& type, std::uint64_t size, const std::string& what) {
  const std::uint64_t most = largest - sizeof(RegionHeader);
  if (size == 0 || size > most) fail("cannot make " + what + " of " + std::to_string(size) + " bytes", EFBIG);
  RegionFacts facts{};
  facts.magic = region_magic;
  facts.version = region_version;
  facts.header_size = sizeof(RegionHeader);
  facts.kind = type.kind;
  facts.layout = type.layout;
  facts.total_size = sizeof(RegionHeader) + size;
  facts.payload_offset = sizeof(RegionHeader);
  facts.pid_namespace = pid_namespace();
  if (const int error = size_file(memory_fd_, facts.total_size); error != 0)
    fail("cannot make " + what + " of " + std::to_string(size) + " bytes", error);
  if (const int error = reserve_in_file(memory_fd_, 0, sizeof(RegionHeader)); error != 0)
    fail("no memory for " + what, error);
  adopt(facts);
  header_->facts = facts;
}

void Region::check(const Type& type, bool also_foreign) {
  const RegionFacts facts = read_facts(memory_fd_, type.kind);
  expect_type({facts.kind, facts.layout}, type);
  if (!also_foreign && facts.pid_namespace != pid_namespace()) {
    throw SegmentError(Fault::denied, 0, "the " + kind_text(facts.kind) + " was made in " + another_namespace(name_));
  }
  adopt(facts);
}

void Region::expect(const Type& type) const { expect_type(type_, type); }

std::shared_ptr<Region> Region::create(const Type& type, std::uint64_t size) {
  std::unique_ptr<Region> fresh(new Region);
  const std::string what = "a " + kind_text(type.kind);
  fresh->memory_fd_ = make_anonymous_file(what);
  fresh->initialise(type, size, what);
  seal_size(fresh->memory_fd_);
  return Mappings<Region>::share(std::move(fresh));
}

std::shared_ptr<Region> Region::create_named(const std::string& name, const Type& type, std::uint64_t size) {
  std::unique_ptr<Region> fresh(new Region);
  const std::string what = words_for(type.kind, name);
  fresh->name_ = name;
  fresh->memory_fd_ = make_nameless_file(what);
  fresh->initialise(type, size, what);
  hold_file(fresh->memory_fd_, what);
  give_name(fresh->memory_fd_, name, what);
  return Mappings<Region>::share(std::move(fresh));
}

std::shared_ptr<Region> Region::open_named(const std::string& name, const Type& type) {
  std::unique_ptr<Region> fresh(new Region);
  const std::string what = words_for(type.kind, name);
  fresh->name_ = name;
  fresh->memory_fd_ = open_named_file(name, what);
  try {
    fresh->check(type);
  } catch (const SegmentError& error) {
    throw SegmentError(error.fault, error.error, "cannot open " + what + ": " + error.what());
  }
  return Mappings<Region>::share(std::move(fresh));
}

void Region::remove_named(const std::string& name) { remove_named_file(name, "'" + name + "'"); }

std::shared_ptr<Region> Region::create_file(const std::string& path, const Type& type, std::uint64_t size) {
  const std::string what = "the file '" + path + "' for a " + kind_text(type.kind);
  const std::string unready = path + ".new-" + std::to_string(owner_pid(self()));
  std::unique_ptr<Region> fresh(new Region);
  fresh->path_ = path;
  unlink(unready.c_str());  // a process with our number died in the middle of this
  fresh->memory_fd_ = open(unready.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fresh->memory_fd_ < 0) fail("cannot create " + what, errno);
  try {
    fresh->initialise(type, size, what);
    if (const int error = fresh->reserve(0, size); error != 0) fail("no room for " + what, error);
    flock(fresh->memory_fd_, LOCK_EX | LOCK_NB);  // nobody else has it
    if (link(unready.c_str(), path.c_str()) != 0) fail("cannot create " + what, errno);
  } catch (...) {
    unlink(unready.c_str());
    throw;
  }
  unlink(unready.c_str());
  fresh->was_alone_ = true;
  return Mappings<Region>::share(std::move(fresh));
}

std::shared_ptr<Region> Region::open_file(const std::string& path, const Type& type) {
  const std::string what = "'" + path + "'";
  std::unique_ptr<Region> fresh(new Region);
  fresh->path_ = path;
  fresh->memory_fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fresh->memory_fd_ < 0) fail("cannot open " + what, errno);
  if (auto known = find(identity_of(fresh->memory_fd_), type)) return known;
  fresh->was_alone_ = flock(fresh->memory_fd_, LOCK_EX | LOCK_NB) == 0;
  try {
    fresh->check(type, true);
  } catch (const SegmentError& error) {
    throw SegmentError(error.fault, error.error, "cannot open " + what + ": " + error.what());
  }
  if (!fresh->was_alone_) hold_file(fresh->memory_fd_, what);
  return Mappings<Region>::share(std::move(fresh));
}

int Region::flush() { return msync(file_.base(), file_.reached(), MS_SYNC) == 0 ? 0 : errno; }

void Region::let_others_in() {
  while (flock(memory_fd_, LOCK_SH) != 0 && errno == EINTR) {
  }
  was_alone_ = false;
}

std::shared_ptr<Region> Region::attach(int memory_fd, const Type& type) {
  std::unique_ptr<Region> fresh(new Region);
  fresh->memory_fd_ = memory_fd;
  if (auto known = find(identity_of(memory_fd), type)) {
    // One that came twice with one set of inherited descriptors brings the very same number.
    if (memory_fd == known->memory_fd_) fresh->memory_fd_ = -1;
    return known;
  }
  fcntl(memory_fd, F_SETFD, FD_CLOEXEC);
  fresh->check(type);
  return Mappings<Region>::share(std::move(fresh));
}

std::shared_ptr<Region> Region::attach_by_hint(const Identity& identity, OwnerId owner, int memory_fd,
                                               const Type& type) {
  if (!is_alive(owner)) return nullptr;
  const int fd = open_through_process(identity, owner, memory_fd);
  return fd < 0 ? nullptr : attach(fd, type);
}

std::shared_ptr<Region> Region::find(const Identity& identity, const Type& type) {
  auto known = Mappings<Region>::find(identity);
  if (known) known->expect(type);
  return known;
}

RegionKind Region::kind_of(int memory_fd) {
  struct {
    std::uint64_t magic;
    std::uint32_t version, header_size;
    RegionKind kind;
  } start{};
  static_assert(offsetof(RegionFacts, kind) == 16);
  if (pread(memory_fd, &start, sizeof start, 0) != sizeof start || start.magic != region_magic) return RegionKind::none;
  return start.kind;
}

RegionPeek Region::peek_header(int memory_fd) {
  const RegionFacts facts = read_facts(memory_fd, RegionKind::none);
  RegionPeek seen{facts.kind,
                  facts.layout,
                  facts.total_size - facts.payload_offset,
                  facts.pid_namespace == conveyor::pid_namespace(),
                  memory_of_file(memory_fd),
                  {},
                  {}};
  alignas(RegionHeader) std::byte raw[sizeof(RegionHeader)];
  if (pread(memory_fd, raw, sizeof raw, 0) == static_cast<ssize_t>(sizeof raw)) {
    const auto& header = *reinterpret_cast<const RegionHeader*>(raw);
    seen.label = read_label(header.label);
    seen.waiters = waiters_in(header.waiters);
  }
  return seen;
}

Region::~Region() {
  // A process that lets go of a lock that it holds leaves it behind.
  if (header_ != nullptr) noted_cells_.leave(*this);
  if (memory_fd_ >= 0) close(memory_fd_);
}

int Region::reserve(std::uint64_t offset, std::uint64_t size) {
  if (offset > size_ || size > size_ - offset) return EINVAL;
  if (size == 0) return 0;
  if (size >= worth_asking && size > memory_available()) return ENOMEM;
  if (const int error = reach(offset + size); error != 0) return error;
  const std::uint64_t from = sizeof(RegionHeader) + offset;
  if (const int error = reserve_in_file(memory_fd_, from, size); error != 0) return error;
  if (size >= worth_populating) {
    const std::uint64_t first = from / system_page * system_page;
    populate(file_.base() + first, from + size - first);
  }
  return 0;
}

void Region::give_back(std::uint64_t offset, std::uint64_t size) {
  if (offset > size_ || size > size_ - offset) return;
  const std::uint64_t from = sizeof(RegionHeader) + offset;
  const std::uint64_t first = (from + system_page - 1) / system_page * system_page;
  const std::uint64_t end = (from + size) / system_page * system_page;
  if (first < end) give_back_in_file(memory_fd_, first, end - first);
}

std::uint64_t Region::memory_held() const { return memory_of_file(memory_fd_); }

}  // namespace conveyor
