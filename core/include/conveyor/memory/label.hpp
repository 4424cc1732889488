// Writing and reading a Label.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "conveyor/memory/label_layout.hpp"

namespace conveyor {

struct LabelFacts {
  std::uint64_t made = 0;
  OwnerId maker = nobody;
  std::string name, place;  // any bytes, for whoever can write there may have written
};

// What is too long is cut: of a name the end, of a place the beginning.
void write_label(Label& label, std::string_view name, std::string_view place);
LabelFacts read_label(const Label& label);

}  // namespace conveyor
