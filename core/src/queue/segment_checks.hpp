// Between segment_linux.cpp and segment_checks.cpp: where things lie in a file, and whether it is sound.
#pragma once

#include <string>

#include "../memory/shared_file.hpp"
#include "conveyor/queue/segment.hpp"

namespace conveyor {

Plan plan_for(std::uint64_t pool_bytes);

// A copy of a file's header, found sound: what another process changes later cannot matter to it.
class CheckedHeader {
 public:
  // Throws Fault::corrupt or version.
  explicit CheckedHeader(int memory_fd);
  const Header& header() const { return *reinterpret_cast<const Header*>(raw_); }
  const Plan& plan() const { return plan_; }
  // Whether its processes can be told apart from here.
  bool is_local() const { return header().pid_namespace == pid_namespace(); }

 private:
  alignas(Header) unsigned char raw_[sizeof(Header)];
  Plan plan_{};
};

}  // namespace conveyor
