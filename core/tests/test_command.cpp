#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "conveyor/process/command.hpp"

using namespace conveyor;

namespace {

CommandResult shell(std::string script, CommandRules rules = {}) {
  std::string name = "sh";
  std::string option = "-c";
  char* words[] = {name.data(), option.data(), script.data(), nullptr};
  char* nothing[] = {nullptr};
  if (rules.most_memory == 0) rules.most_memory = 1 << 20;
  return run_command({"/bin/sh", words, nothing}, rules);
}

constexpr Nanoseconds millisecond = 1'000'000;

}  // namespace

TEST_CASE("a command's output and its end") {
  const CommandResult result = shell("echo out; echo err >&2; exit 3");
  CHECK(result.out.data == "out\n");
  CHECK(result.err.data == "err\n");
  CHECK(WEXITSTATUS(result.status) == 3);
  CHECK(WTERMSIG(shell("kill -9 $$").status) == SIGKILL);
}

TEST_CASE("what is no program is told by errno") {
  char* nothing[] = {nullptr};
  CHECK(run_command({"/nosuch", nothing, nothing}, {}).start_error == ENOENT);
  CHECK(run_command({"/", nothing, nothing}, {}).start_error == EACCES);
}

TEST_CASE("a large output is in a file, whole and in order") {
  CommandRules rules;
  rules.most_memory = 1000;
  rules.spool_folder = "/tmp";
  const CommandResult result = shell("i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i + 1)); done", rules);
  REQUIRE(result.out.spool >= 0);
  CHECK(result.out.data.empty());
  std::string expected;
  for (int i = 0; i < 3000; ++i) expected += std::to_string(i) + "\n";
  std::string found(expected.size() + 1, '\0');
  CHECK(pread(result.out.spool, found.data(), found.size(), 0) == static_cast<ssize_t>(expected.size()));
  found.resize(expected.size());
  CHECK(found == expected);
  close(result.out.spool);

  rules.spool_folder = "/nosuch";
  CHECK(shell("head -c 5000 /dev/zero", rules).spool_error == ENOENT);
}

TEST_CASE("one that takes too long is ended, also if it does not want to be") {
  CommandRules rules;
  rules.most_time = 100 * millisecond;
  rules.grace = 100 * millisecond;
  const CommandResult asked = shell("sleep 100", rules);
  CHECK(asked.timed_out);
  CHECK(WTERMSIG(asked.status) == SIGTERM);
  const CommandResult deaf = shell("trap '' TERM; while :; do sleep 1; done", rules);
  CHECK(deaf.timed_out);
  CHECK(WTERMSIG(deaf.status) == SIGKILL);
  CHECK(deaf.took >= 200 * millisecond);
}

TEST_CASE("all end when they are cancelled, and none begins to live afterwards") {
  CommandRules rules;
  rules.cancel_fd = eventfd(0, EFD_CLOEXEC);
  std::vector<std::thread> threads;
  CommandResult results[4];
  for (CommandResult& result : results) threads.emplace_back([&result, rules] { result = shell("sleep 100", rules); });
  const std::uint64_t one = 1;
  REQUIRE(write(rules.cancel_fd, &one, sizeof one) == sizeof one);
  for (std::thread& thread : threads) thread.join();
  for (const CommandResult& result : results) CHECK(result.cancelled);
  CHECK(shell("sleep 100", rules).cancelled);
  close(rules.cancel_fd);
}

TEST_CASE("who is left behind holds up nobody") {
  const CommandResult result = shell("sleep 100 & echo $!");
  CHECK(result.took < 50'000 * millisecond);
  CHECK(kill(std::stoi(result.out.data), SIGKILL) == 0);
}
