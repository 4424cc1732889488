// Programs that are run for `conveyor map --shell`.
#include <nanobind/nanobind.h>

#include <string>
#include <utility>
#include <vector>

#include "conveyor/process/command.hpp"
#include "conveyor/process/group_keeper.hpp"

#include "../support/gil.hpp"

namespace nb = nanobind;

namespace conveyor::python {
namespace {

using namespace nb::literals;

// Strings, and the array of pointers to them that exec wants.
class Words {
 public:
  explicit Words(const nb::list& words) {
    strings_.reserve(words.size());
    for (const nb::handle each : words) {
      char* data = nullptr;
      Py_ssize_t size = 0;
      // Refuses a zero byte: the program would get what stands before it.
      if (PyBytes_AsStringAndSize(each.ptr(), &data, nullptr) != 0) throw nb::python_error();
      size = PyBytes_GET_SIZE(each.ptr());
      strings_.emplace_back(data, static_cast<std::size_t>(size));
    }
    for (std::string& each : strings_) pointers_.push_back(each.data());
    pointers_.push_back(nullptr);
  }
  char* const* pointers() const { return pointers_.data(); }

 private:
  std::vector<std::string> strings_;
  std::vector<char*> pointers_;
};

Nanoseconds nanoseconds(double seconds) { return seconds >= 9e9 ? forever : static_cast<Nanoseconds>(seconds * 1e9); }

nb::bytes as_bytes(const std::string& data) { return nb::bytes(data.data(), data.size()); }

class Commands {
 public:
  Commands(const nb::list& environment, int cancel_fd, bool inherits_output, double grace, std::size_t most_memory,
           const nb::bytes& spool_folder)
      : environment_(environment), spool_folder_(spool_folder.c_str(), spool_folder.size()) {
    rules_.cancel_fd = cancel_fd;
    rules_.inherits_output = inherits_output;
    rules_.grace = nanoseconds(grace);
    rules_.most_memory = most_memory;
    rules_.spool_folder = spool_folder_.c_str();
    keep_groups();  // without one, whoever kills this process leaves behind what commands have started
  }
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  nb::tuple run(const nb::bytes& path, const nb::list& arguments, double timeout) const {
    const std::string program(path.c_str(), path.size());
    const Words words(arguments);
    CommandRules rules = rules_;
    if (timeout > 0) rules.most_time = nanoseconds(timeout);
    CommandResult result;
    {
      const WithoutGil released;
      result = run_command({program.c_str(), words.pointers(), environment_.pointers()}, rules);
    }
    return nb::make_tuple(result.start_error, result.status, result.timed_out ? 1 : (result.cancelled ? 2 : 0),
                          result.spool_error, static_cast<double>(result.took) * 1e-9, as_bytes(result.out.data),
                          result.out.spool, as_bytes(result.err.data), result.err.spool);
  }

 private:
  const Words environment_;
  const std::string spool_folder_;
  CommandRules rules_;
};

}  // namespace

void bind_commands(nb::module_& module) {
  nb::class_<Commands>(module, "Commands")
      .def(nb::init<const nb::list&, int, bool, double, std::size_t, const nb::bytes&>(), "environment"_a,
           "cancel_fd"_a, "inherits_output"_a, "grace"_a, "most_memory"_a, "spool_folder"_a)
      .def("run", &Commands::run, "path"_a, "arguments"_a, "timeout"_a);
}

}  // namespace conveyor::python
