// A segment: the shared memory of one queue, mapped into this process.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "conveyor/ending.hpp"
#include "conveyor/layout.hpp"

namespace conveyor {

enum class Fault { system, memory, corrupt, version, kind, exists, missing, denied };

class SegmentError : public std::runtime_error {
 public:
  SegmentError(Fault whose, int number, const std::string& text)
      : std::runtime_error(text), fault(whose), error(number) {}
  const Fault fault;
  const int error;  // errno, or 0
};

struct Bounds {
  std::uint64_t items = unbounded;
  std::uint64_t bytes = unbounded;
  bool soft = false;  // an item above `bytes` may pass when the queue is empty
  bool pipe = false;  // tokens go over the pipe's own descriptors, from the beginning
  bool counts_tasks = false;         // for task_done and join
  std::uint32_t attempts = 0;        // how often an item may fail under lease; 0: no bound
  Nanoseconds lease_time = forever;  // how long a lease lasts, unless it says otherwise
  bool counts_lent = false;          // of a soft bound: what receivers look at where it lies counts, as with a hard one
};

// Where another process can open the descriptors of an anonymous segment.
struct Hint {
  OwnerId owner = nobody;
  int memory_fd = -1;
  int ready_fd = -1;
};

struct Identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const Identity&) const = default;
};

// Where the parts of a segment with so many pages lie.
struct Plan {
  std::uint64_t descriptors, cold, leases, pages, total;
  std::uint32_t count;
};

class Segment {
 public:
  // An anonymous segment: a memfd, gone with its last user.
  static std::shared_ptr<Segment> create(const Bounds& bounds);
  // A named one, mode 0600, that lives until `remove`. Throws Fault::exists. Whoever has it open holds a shared
  // lock of the kernel's on the file, so that `conveyor gc` can tell that nobody has (docs/adr/0008).
  static std::shared_ptr<Segment> create_named(const std::string& name, const Bounds& bounds);
  // Throws Fault::missing, corrupt, version or denied.
  static std::shared_ptr<Segment> open_named(const std::string& name);
  // Takes over both descriptors, whatever happens.
  static std::shared_ptr<Segment> attach(int memory_fd, int ready_fd);
  // Through /proc/<pid>/fd of a process that holds it; null when no hint leads there.
  static std::shared_ptr<Segment> attach_by_hint(const Identity& identity, const Hint& hint);
  // The one already mapped here, if any.
  static std::shared_ptr<Segment> find(const Identity& identity);
  static void remove_named(const std::string& name);
  static std::string path_of(const std::string& name);

  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment();

  Header& header() const { return *header_; }
  Descriptor& descriptor(std::uint32_t page) const { return descriptors_[page]; }
  Atomic<std::uint64_t>* cold_bits() const { return cold_; }
  LeaseRecord& lease(std::uint32_t index) const { return leases_[index]; }
  std::byte* page(std::uint32_t page) const { return pages_ + static_cast<std::size_t>(page) * page_size; }
  std::uint32_t page_count() const { return page_count_; }
  const Identity& identity() const { return identity_; }
  const std::string& name() const { return name_; }
  int memory_fd() const { return memory_fd_; }
  // The ends of an anonymous queue in this process, as a pipe has them: the ready descriptor is a pipe's, open for reading
  // and writing, and is given away in part by whoever closes an end. So the kernel knows, over forks, `exec` and deaths,
  // whether anybody is left at the other end.
  enum class PipeSide : std::uint32_t { reading = 1, writing = 2 };
  void close_end(PipeSide which);
  bool has_closed(PipeSide which) const {
    return (closed_ends_.load(relaxed) & static_cast<std::uint32_t>(which)) != 0;  // relaxed: told by the same process
  }
  // Whether this process has closed its own end of that side, and no process has one any more.
  bool is_gone(PipeSide which) const;
  // A descriptor to write a token by, for one who has closed that end; -1 with errno: there is none. The caller closes it.
  int open_ready_for_writing() const;
  int ready_fd();  // opens the named segment's on first use; -1 with errno when it cannot

  // Makes sure that memory stands behind these pages; 0 or an errno. Never raises a signal.
  int reserve(std::uint32_t first, std::uint32_t pages);
  // The same for the descriptors and cold bits of pages [first, end).
  int reserve_tables(std::uint32_t first, std::uint32_t end);
  // The same for lease records [first, end).
  int reserve_leases(std::uint32_t first, std::uint32_t end);
  // Gives the memory behind them back to the system; they read as zero afterwards.
  void give_back(std::uint32_t first, std::uint32_t pages);
  // Bytes of memory that the segment holds now.
  std::uint64_t memory_held() const;

  // Writes this process into the list of those that put (get); the destructor strikes it out.
  void note_putting() { note(header_->putting, putting_generation_); }
  void note_getting() { note(header_->getting, getting_generation_); }
  // By this process when it ends normally, or lets go of the segment: the tasks that it has stay unfinished.
  void leave_tasks();
  bool has_put() const { return putting_generation_.load(relaxed) == fork_generation(); }
  ProducerPlace& producing() { return producing_; }
  // Processes alive in each list; strikes out the dead, and asks for a sweep when there were any.
  struct Attached {
    std::uint32_t putting = 0, getting = 0;
  };
  Attached count_attached();

  // How this process waits for the locks that are needed in the middle of something.
  LockPatience pool_patience{200'000'000, 10'000'000};
  LockPatience ready_patience{200'000'000, 10'000'000};
  LockPatience sweep_patience{50'000'000, 1'000'000};

 private:
  Segment() = default;
  void note(Atomic<OwnerId>* list, Atomic<std::uint32_t>& generation);
  void strike_out();
  std::uint32_t count_alive(Atomic<OwnerId>* list);
  // Never read from the segment, where it might be damaged.
  std::uint64_t offset_of(const void* part) const {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(part) - base_);
  }
  int reserve_bytes(std::uint64_t offset, std::uint64_t size);
  void map(std::uint64_t size);
  void check();
  void adopt(const Plan& plan);
  static void initialise(Segment& fresh, const Bounds& bounds);

  int memory_fd_ = -1;
  Atomic<int> ready_fd_{-1};
  Atomic<std::uint32_t> closed_ends_{0};  // of PipeSide
  std::uint64_t mapped_size_ = 0;
  std::byte* base_ = nullptr;
  Header* header_ = nullptr;
  Descriptor* descriptors_ = nullptr;
  Atomic<std::uint64_t>* cold_ = nullptr;
  LeaseRecord* leases_ = nullptr;
  std::byte* pages_ = nullptr;
  std::uint32_t page_count_ = 0;
  Atomic<std::uint32_t> putting_generation_{0};  // the fork generation in which we wrote ourselves in
  Atomic<std::uint32_t> getting_generation_{0};
  ProducerPlace producing_;
  Identity identity_;
  std::string name_;
};

}  // namespace conveyor
