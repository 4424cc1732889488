#include "conveyor/memory/label.hpp"

#include <cstring>
#include <ctime>

namespace conveyor {
namespace {

bool is_within_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

template <std::size_t Size>
void set_text(char (&target)[Size], std::string_view text) {
  std::memset(target, 0, Size);
  std::memcpy(target, text.data(), text.size());
}

template <std::size_t Size>
std::string text_in(const char (&source)[Size]) {
  return std::string(source, strnlen(source, Size));
}

}  // namespace

void write_label(Label& label, std::string_view name, std::string_view place) {
  std::size_t most = sizeof label.name - 1;
  if (name.size() > most) {
    while (most > 0 && is_within_character(name[most])) --most;
    name = name.substr(0, most);
  }
  if (place.size() >= sizeof label.place) {
    place.remove_prefix(place.size() - (sizeof label.place - 1));
    while (!place.empty() && is_within_character(place.front())) place.remove_prefix(1);
  }
  set_text(label.name, name);
  set_text(label.place, place);
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  // relaxed: who looks meanwhile sees half of it, and no harm is done
  label.maker.store(self(), relaxed);
  label.made.store(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec),
                   relaxed);
}

LabelFacts read_label(const Label& label) {
  return {label.made.load(relaxed), label.maker.load(relaxed), text_in(label.name),
          text_in(label.place)};  // relaxed: as above
}

}  // namespace conveyor
