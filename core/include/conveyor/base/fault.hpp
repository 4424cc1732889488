// Why shared memory cannot be made, opened or used.
#pragma once

#include <stdexcept>
#include <string>

namespace conveyor {

enum class Fault { system, memory, corrupt, version, kind, exists, missing, denied };

class SegmentError : public std::runtime_error {
 public:
  SegmentError(Fault whose, int number, const std::string& text)
      : std::runtime_error(text), fault(whose), error(number) {}
  const Fault fault;
  const int error;  // errno, or 0
};

}  // namespace conveyor
