#include "store_binding.hpp"

#include <algorithm>
#include <bit>
#include <string>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "../support/errors.hpp"

namespace conveyor::python {

nb::object raise_store(StoreStatus status, const Store& store, const char* what, std::size_t payload) {
  const std::string name = std::string("the shared ") + what;
  const std::string size = payload == 0 ? "what is needed" : std::to_string(payload) + " bytes";
  switch (status) {
    case StoreStatus::interrupted: return {};  // its error is set
    case StoreStatus::no_memory:
      return raise("OutOfMemory",
                   ("no memory for " + size + " (" + name + " holds " + std::to_string(store.region().memory_held()) +
                    "; see free memory, ulimit -v, ulimit -f, the cgroup's limit, or the size of /dev/shm for a "
                    "named one)")
                       .c_str());
    case StoreStatus::full:
      return raise("OutOfMemory", ("no room for " + size + ": " + name + " may take max_bytes=" +
                                   std::to_string(store.max_bytes()) + "; raise it, or remove something")
                                      .c_str());
    case StoreStatus::corrupt: return raise("CorruptSegment", (name + "'s memory is damaged; make a new one").c_str());
    case StoreStatus::lapsed:
      return raise("LeaseLost", "the block of update() was entered by another process; nothing was written");
    case StoreStatus::own_claim:
      PyErr_SetString(PyExc_RuntimeError,
                      "this thread is inside update() of that very key; write to the value that update() gave");
      return {};
    case StoreStatus::claimed:
    case StoreStatus::crowded:
      PyErr_SetString(PyExc_TimeoutError, status == StoreStatus::claimed
                                              ? "another process or thread is inside update() of that key"
                                              : "256 processes and threads are inside update()");
      return {};
    default: return raise("ConveyorError", ("unexpected state of " + name).c_str());
  }
}

// Twice the machine's memory, so that it is memory that ends a dict. It is mapped as it is used; only a bound on the size
// of files makes it smaller.
std::uint64_t wanted_region_size() {
  constexpr std::uint64_t least = 16ULL << 20;
  struct sysinfo info{};
  std::uint64_t wanted = 32ULL << 30;
  if (sysinfo(&info) == 0)
    wanted = std::bit_ceil(static_cast<std::uint64_t>(info.totalram + info.totalswap) * info.mem_unit * 2);
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    wanted = std::min<std::uint64_t>(wanted, std::bit_floor(std::max<std::uint64_t>(limit.rlim_cur / 8, least)));
  return std::max(wanted, least);
}

}  // namespace conveyor::python
