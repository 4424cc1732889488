// A segment: the shared memory of one queue, mapped into this process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "conveyor/base/fault.hpp"
#include "conveyor/base/identity.hpp"
#include "conveyor/memory/ending.hpp"
#include "conveyor/memory/view.hpp"
#include "conveyor/queue/layout.hpp"

namespace conveyor {

struct Bounds {
  std::uint64_t items = unbounded;
  std::uint64_t bytes = unbounded;
  bool soft = false;  // an item above `bytes` may pass when the queue is empty
  bool pipe = false;  // tokens go over the pipe's own descriptors, from the beginning
  bool counts_tasks = false;         // for task_done and join
  std::uint32_t attempts = 0;        // how often an item may fail under lease; 0: no bound
  Nanoseconds lease_time = forever;  // how long a lease lasts, unless it says otherwise
  bool counts_lent = false;  // of a soft bound: what receivers look at where it lies counts, as with a hard one
};

// Where another process can open the descriptors of an anonymous segment.
struct Hint {
  OwnerId owner = nobody;
  int memory_fd = -1;
  int ready_fd = -1;
};

// Where the parts of a segment with so many pages lie.
struct Plan {
  std::uint64_t pages, page_table, leases, producers, total;
  std::uint32_t count;
};

// Whether this process has mapped something, as it must before it touches it.
enum class Reach {
  ok,
  no_memory,  // no address space, or too many mappings
  corrupt,  // pages that were never in use
};

class Segment final : public ProducerTable {
 public:
  // An anonymous segment: a memfd, gone with its last user.
  static std::shared_ptr<Segment> create(const Bounds& bounds);
  // A named one, mode 0600, that lives until `remove`. Throws Fault::exists. A process that has it open holds a shared
  // lock of the kernel's on the file, so that `conveyor gc` can tell that nobody has (docs/adr/0008).
  static std::shared_ptr<Segment> create_named(const std::string& name, const Bounds& bounds);
  // Throws Fault::missing, corrupt, version or denied.
  static std::shared_ptr<Segment> open_named(const std::string& name);
  // Takes over both descriptors, whatever happens. Without a ready descriptor (-1): it will never have one here.
  static std::shared_ptr<Segment> attach(int memory_fd, int ready_fd);
  // The same for one to whom nobody handed the queue, only a descriptor of its memory: the ready descriptor is looked for
  // in the processes that have it, once it is needed.
  static std::shared_ptr<Segment> attach_from_outside(int memory_fd);
  // Through /proc/<pid>/fd of a process that holds it; null when no hint leads there.
  static std::shared_ptr<Segment> attach_by_hint(const Identity& identity, const Hint& hint);
  // The one already mapped here, if any.
  static std::shared_ptr<Segment> find(const Identity& identity);
  static void remove_named(const std::string& name);
  static std::string path_of(const std::string& name);

  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment() override;

  Header& header() const { return *header_; }
  std::uint32_t page_count() const { return page_count_; }

  // What follows is mapped as it is needed, and stays so. A number of a page that was read in shared memory is first
  // passed to `reach`, for the pages and what the table says of them.
  Reach reach(std::uint32_t first, std::uint32_t pages = 1) {
    // sync point "reached": acquires what `extend` released: the views that have so much.
    return std::uint64_t{first} + pages <= reached_.load(acquire) ? Reach::ok : extend(first, pages);
  }
  std::byte* page(std::uint32_t page) const { return file_.base() + (page + std::size_t{1}) * page_size; }
  Descriptor& descriptor(std::uint32_t page) const {
    if (page < pages_in_front) return header_->descriptors[page];
    return block_of(page).descriptors[page % pages_in_block];
  }
  // What the table says of pages [0, end); 0 or an errno. Enough for who does not look into the pages.
  int reach_table(std::uint32_t end) {
    return end <= pages_in_front ? 0 : table_.reach(block_end(end), sizeof(PageBlock));
  }
  std::uint32_t table_reached() const {
    const std::uint64_t pages = table_.reached() / sizeof(PageBlock) * pages_in_block;
    return pages > pages_in_front ? static_cast<std::uint32_t>(pages) : pages_in_front;
  }
  // The cold bits of pages [64 * word, 64 * word + 64).
  Atomic<std::uint64_t>& cold_word(std::uint32_t word) const {
    if (word < cold_words_in_front) return header_->cold[word];
    return block_of(word * 64).cold[word % (pages_in_block / 64)];
  }
  // Lease records [0, end); 0 or an errno.
  int reach_leases(std::uint32_t end) {
    return end <= leases_in_front ? 0 : leases_.reach(end * sizeof(LeaseRecord), 64 * 1024);
  }
  std::uint32_t leases_reached() const {
    const std::uint64_t mapped = leases_.reached() / sizeof(LeaseRecord);
    return mapped > leases_in_front ? static_cast<std::uint32_t>(mapped) : leases_in_front;
  }
  LeaseRecord& lease(std::uint32_t index) const {
    auto* const records = reinterpret_cast<LeaseRecord*>(index < leases_in_front ? first_leases_ : leases_.base());
    return records[index];
  }

  ProducerSlot* producer(std::uint32_t index) override {
    if (producers_.reach((std::uint64_t{index} + 1) * sizeof(ProducerSlot), 64 * 1024) != 0) return nullptr;
    return reinterpret_cast<ProducerSlot*>(producers_.base()) + index;
  }
  bool reserve_producer(std::uint32_t index) override {
    return producer(index) != nullptr &&
           reserve_bytes(plan_.producers + index * sizeof(ProducerSlot), sizeof(ProducerSlot)) == 0;
  }

  const Identity& identity() const { return identity_; }
  const std::string& name() const { return name_; }
  int memory_fd() const { return memory_fd_; }
  // Whether another process may have it, now or before: it has a name, came from another, was forked, or is on its way.
  bool passed_on() const { return passed_on_.load(relaxed) || !name_.empty(); }  // relaxed: carries nothing else
  void pass_on() { passed_on_.store(true, relaxed); }
  // The ends of an anonymous queue in this process, as a pipe has them: the ready descriptor is a pipe's, open for reading
  // and writing, and is given away in part by a process that closes an end. So the kernel knows, over forks, `exec` and deaths,
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
  // A pipe, made or opened on first use; -1 with errno when it cannot be. All processes have the same: that of a named
  // segment has a name, too, and that of an anonymous one is made before another process can have the segment.
  int ready_fd();
  // Whether tokens go over descriptors that are not the segment's: it is one direction of a Pipe.
  bool is_of_pipe() const {
    // sync point "watched": acquires what start_watching released, the identity of the ready descriptor among it.
    return header_->watched.load(acquire) != 0 && header_->ready_inode.load(relaxed) == 0;
  }
  // Every process with a copy of this object is to have the same ready descriptor.
  void before_fork();

  // Makes sure that memory stands behind these pages, and maps them; 0 or an errno. Never raises a signal.
  int reserve(std::uint32_t first, std::uint32_t pages);
  // The same for what the table says of pages [first, end).
  int reserve_table(std::uint32_t first, std::uint32_t end);
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
  int reserve_bytes(std::uint64_t offset, std::uint64_t size);
  void check();
  void adopt(const Plan& plan);
  void note_ready(int fd);
  // Opens the ready descriptor where another process has it, which we may look at; -1 with errno ENOENT: there is none. It
  // goes through all processes of the system.
  int open_ready_elsewhere() const;
  Reach extend(std::uint32_t first, std::uint32_t pages);
  void note_reached();
  static std::uint64_t block_end(std::uint32_t page) {
    return (page + std::uint64_t{pages_in_block - 1}) / pages_in_block * sizeof(PageBlock);
  }
  PageBlock& block_of(std::uint32_t page) const {
    return reinterpret_cast<PageBlock*>(table_.base())[page / pages_in_block];
  }
  static void initialise(Segment& fresh, const Bounds& bounds);

  int memory_fd_ = -1;
  ThreadAtomic<int> ready_fd_{-1};
  ThreadAtomic<bool> passed_on_{false};
  ThreadAtomic<int> unready_{0};  // why there can be none: an errno
  bool from_outside_ = false;  // it is others that have the ready descriptor
  Plan plan_{};  // never read from the segment again, where it might be damaged
  View file_;  // header and pages
  View table_, leases_, producers_;
  Header* header_ = nullptr;  // in the first view of `file_`
  std::byte* first_leases_ = nullptr;  // the same
  ThreadAtomic<std::uint32_t> closed_ends_{0};  // of PipeSide
  std::uint32_t page_count_ = 0;
  ThreadAtomic<std::uint32_t> reached_{0};  // pages that are mapped, with what the table says of them
  Atomic<std::uint32_t> putting_generation_{0};  // the fork generation in which we wrote ourselves in
  Atomic<std::uint32_t> getting_generation_{0};
  ProducerPlace producing_;
  Identity identity_;
  std::string name_;
};

}  // namespace conveyor
