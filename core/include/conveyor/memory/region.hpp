// A region: a piece of shared memory that is no queue, mapped into this process.
//
// It carries whatever stands on it: a topic, a value, an array, a dictionary. A page in front says what that is,
// and is checked by a process that attaches. Then comes the payload, of a size fixed when the region is made. It is sparse:
// memory only where it was touched, after `reserve`. It begins as zeros. What may grow large (dicts and lists) is mapped
// as it is used, see view.hpp; all else as a whole.
//
// An anonymous region is a memfd; a named one is /dev/shm/conveyor.<name>, as a queue's is, and of one space of names
// with them. A region is mapped once in a process, however often it arrives.
#pragma once

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conveyor/base/fault.hpp"
#include "conveyor/base/identity.hpp"
#include "conveyor/base/waiters.hpp"
#include "conveyor/memory/ending.hpp"
#include "conveyor/memory/label.hpp"
#include "conveyor/memory/noted_cells.hpp"
#include "conveyor/memory/region_layout.hpp"
#include "conveyor/memory/view.hpp"

namespace conveyor {

// "topic", "shared dict", ...; of a kind that this conveyor does not know, its number.
std::string kind_text(RegionKind kind);

// What a file says of itself at one look.
struct RegionPeek {
  RegionKind kind = RegionKind::none;
  std::uint32_t layout = 0;
  std::uint64_t size = 0;  // of the payload
  bool local = false;  // made in this pid namespace
  std::uint64_t memory = 0;  // bytes that it holds
  LabelFacts label;
  std::vector<Waiter> waiters;
};

class Region {
 public:
  // What is expected of a region, or wanted of a new one.
  struct Type {
    RegionKind kind = RegionKind::none;
    std::uint32_t layout = 1;
  };

  // All throw SegmentError. Fault::memory: no memory, or no address space for `size` bytes.
  static std::shared_ptr<Region> create(const Type& type, std::uint64_t size);
  // Mode 0600; lives until `remove_named`. Throws Fault::exists.
  static std::shared_ptr<Region> create_named(const std::string& name, const Type& type, std::uint64_t size);
  // Throws Fault::missing, corrupt, version, kind or denied.
  static std::shared_ptr<Region> open_named(const std::string& name, const Type& type);
  static void remove_named(const std::string& name);
  // A file anywhere, which stays; all its memory is reserved. Others that open it wait for `let_others_in`. Throws
  // Fault::exists.
  static std::shared_ptr<Region> create_file(const std::string& path, const Type& type, std::uint64_t size);
  // Throws as open_named does, but minds neither the owner nor the pid namespace: the file may be older than both.
  static std::shared_ptr<Region> open_file(const std::string& path, const Type& type);
  // Takes over the descriptor, whatever happens.
  static std::shared_ptr<Region> attach(int memory_fd, const Type& type);
  // Through /proc/<pid>/fd of a process that holds it; null when the hint does not lead there.
  static std::shared_ptr<Region> attach_by_hint(const Identity& identity, OwnerId owner, int memory_fd,
                                                const Type& type);
  // The one already mapped here, if any; throws Fault::kind or version when it is not of that type.
  static std::shared_ptr<Region> find(const Identity& identity, const Type& type);
  // What a file says that it is; `none`: it says nothing that we know.
  static RegionKind kind_of(int memory_fd);
  // Throws Fault::corrupt, version (a layout of the header that is not ours) or kind (it is a queue).
  static RegionPeek peek_header(int memory_fd);

  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  // The payload, as far as it is mapped: a part of it that `reach` has found, or `reserve`. A pointer into it stays
  // valid, but once more is mapped the payload lies elsewhere, too.
  std::byte* data() const { return file_.base() + sizeof(RegionHeader); }
  // Makes sure that bytes [0, end) of the payload are mapped; 0 or an errno.
  int reach(std::uint64_t end) { return end > size_ ? EINVAL : file_.reach(sizeof(RegionHeader) + end); }
  std::uint64_t reached() const { return file_.reached() - sizeof(RegionHeader); }
  // Where in the payload a pointer into it leads.
  std::uint64_t offset_of(const void* part) const { return file_.offset_of(part) - sizeof(RegionHeader); }
  std::uint64_t size() const { return size_; }
  Type type() const { return type_; }
  const Identity& identity() const { return identity_; }
  const std::string& name() const { return name_; }  // empty: not a named one
  const std::string& path() const { return path_; }  // of a file anywhere; or empty
  // A file anywhere: nobody else had it open when we opened it, so what locks say in it is of the past.
  bool was_alone() const { return was_alone_; }
  // Others that open it wait (a second at most) until the process that `was_alone` has put it in order, and called this.
  void let_others_in();
  // Writes a file's changes to its disk; 0 or an errno.
  int flush();
  int memory_fd() const { return memory_fd_; }
  // Of this process among a topic's producers.
  ProducerPlace& producing() { return producing_; }
  NotedCells& noted_cells() { return noted_cells_; }
  Atomic<std::uint32_t>& exports() const { return header_->exports; }
  Label& label() const { return header_->label; }
  Waiters& waiters() const { return header_->waiters; }

  // Makes sure that memory stands behind these bytes of the payload, and that they are mapped; 0 or an errno (ENOSPC,
  // ENOMEM; EINVAL: they are not all in it). Never raises a signal. What was there stays.
  int reserve(std::uint64_t offset, std::uint64_t size);
  // Gives the memory of the whole system pages among these bytes back; they read as zero afterwards.
  void give_back(std::uint64_t offset, std::uint64_t size);
  // Bytes of memory that the region holds now, in all processes together.
  std::uint64_t memory_held() const;

 private:
  Region() = default;
  void initialise(const Type& type, std::uint64_t size, const std::string& what);
  void check(const Type& type, bool also_foreign = false);
  void adopt(const RegionFacts& facts);
  void expect(const Type& type) const;

  int memory_fd_ = -1;
  View file_;
  RegionHeader* header_ = nullptr;  // in the first view
  std::uint64_t size_ = 0;  // never read from the region again, where it might be damaged
  Type type_;
  Identity identity_;
  std::string name_, path_;
  bool was_alone_ = false;
  ProducerPlace producing_;
  NotedCells noted_cells_;
};

}  // namespace conveyor
