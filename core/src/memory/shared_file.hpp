// Files that are memory: what Segment and Region have in common, and nothing of what lies in them.
//
// `what` is how an error names the thing: "queue 'jobs'", "topic 'prices'".
#pragma once

#include <string>

#include "conveyor/base/fault.hpp"
#include "conveyor/base/identity.hpp"
#include "conveyor/base/owner.hpp"

namespace conveyor {

// Of getrlimit(2); without a limit the largest number.
std::uint64_t soft_limit(int resource);

[[noreturn]] void fail(const std::string& what, int error);
[[noreturn]] void fail_corrupt(const std::string& what);

// What is said of something made there; its name, if it has one.
std::string another_namespace(const std::string& name);
std::string named_path(const std::string& name);
Identity identity_of(int fd);

// A file that is gone with its last user.
int make_anonymous_file(const std::string& what);
// 0 or an errno; EFBIG beyond `ulimit -f`, without the signal (SIGXFSZ) that the system would send.
int size_file(int fd, std::uint64_t size);
// Nobody can cut it short under a mapping, which would be a SIGBUS.
void seal_size(int fd);
// A file without a name, beside those that have one, until `give_name`: nobody can open a half-made one, and a
// crash leaves nothing.
int make_nameless_file(const std::string& what);
void give_name(int fd, const std::string& name, const std::string& what);
// Opens it without waiting for anything, whatever lies there; ours, and held (`hold_file`).
int open_named_file(const std::string& name, const std::string& what);
void remove_named_file(const std::string& name, const std::string& what);
// Until the end of the last process that has this very open file, a shared lock of the kernel's. A collector looks
// for that lock, and removes the name while it holds an exclusive one: a process that came too late finds a file without a
// name. False: it has no name any more. docs/adr/0008.
bool hold_file(int fd, const std::string& what);
// The same file, through a descriptor of another process; -1 when it is not that file (any more).
int open_through_process(const Identity& identity, OwnerId owner, int fd);

// A part of the file, shared. Costs no memory until it is touched. Null, with an errno: there is no address space, or
// there are too many mappings (both ENOMEM).
std::byte* try_to_map(int fd, std::uint64_t offset, std::uint64_t size, int& error);
// Makes sure that memory stands behind these bytes; 0 or an errno. Never raises a signal.
int reserve_in_file(int fd, std::uint64_t offset, std::uint64_t size);
// Maps pages at once, of which each would otherwise cost a fault of its own when it is written. Only a matter of
// time: an older kernel (before 5.14) refuses, and the faults do it.
void populate(std::byte* at, std::uint64_t size);
// The memory goes back to the system; the bytes read as zero afterwards.
void give_back_in_file(int fd, std::uint64_t offset, std::uint64_t size);
std::uint64_t memory_of_file(int fd);

}  // namespace conveyor
