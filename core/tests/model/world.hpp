// The world of the model checker: processes as fibers, of which one runs at a time, and an exploration of
// the orders in which their steps can come.
//
// A step is an atomic operation, a fence, or a futex call. Before each the explorer may let another process
// run instead (bounded by `preemptions`), or kill the process (`deaths`). Memory is as weak as C++20 lets it be, but
// for two things (ordering.cpp): a load may miss newer stores (`late` times in an execution), unless an order that the
// program asked for forbids it. With CONVEYOR_MODEL_MEMORY=x86 it is that of x86-64: stores wait in their processor's
// buffer (`late` of them as long as they can) until the next locked operation or fence, and nothing else is out of
// order. What is written without atomics is watched by vector clocks: two accesses, one of them a write, that no
// release and acquire order, are a data race in C++, whatever the processor would make of it. So a missing fence shows
// as a wake-up that is lost, a missing release or acquire as a race or as a value that is too old.
//
// Time stands still unless all processes sleep. A world in which all sleep for ever, though nobody died, has
// lost a wake-up: bounded slices would hide it, so here they do not end unless somebody died.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace explorer {

enum class Memory { weak, x86 };
Memory memory();

struct Bounds {
  int preemptions = 2;
  int deaths = 0;
  int late = 0;
};

// One execution's program. Made anew for each; `processes` run as fibers, then `audit` says what is wrong.
struct Program {
  std::vector<std::function<void()>> processes;
  std::function<std::string()> audit;
  // Words on which a patient one sleeps, if it is not for longer than patience is (patience.hpp): it counts on itself.
  std::vector<const void*> patient = {};
};

struct Result {
  std::uint64_t executions = 0;
  std::uint64_t steps = 0;
  std::uint64_t deaths = 0;
  std::string trouble;   // empty: none found
  std::string schedule;  // how it came to it
};

// Runs the program in every order within the bounds, until the first trouble.
Result explore(const Bounds& bounds, const std::function<Program()>& make);

// Memory that the processes share: what is accessed there without atomics is watched.
void share(const void* begin, std::size_t size);
// Trouble, said by a process itself.
void fail(const std::string& what);
// Whether a process was killed in this execution.
bool somebody_died();
// Time goes on by so many nanoseconds.
void pass(std::int64_t nanoseconds);
// With one, as it is at first, nobody spins: that would be waiting in the dark. Read once by whoever might.
extern unsigned processors;

}  // namespace explorer
