#include "conveyor/topic/key_pattern.hpp"

namespace conveyor {
namespace {

// Takes the first word off `rest`; false: there is none left.
bool next_word(std::string_view& rest, bool& more, std::string_view& word) {
  if (!more) return false;
  const std::size_t dot = rest.find('.');
  more = dot != std::string_view::npos;
  word = rest.substr(0, dot);
  rest = more ? rest.substr(dot + 1) : std::string_view();
  return true;
}

}  // namespace

KeyPattern::KeyPattern(std::string_view pattern) {
  bool more = !pattern.empty();
  for (std::string_view word; next_word(pattern, more, word);) {
    const Part part = word == "*" ? Part::any_word : word == "#" ? Part::any_words : Part::word;
    pieces_.push_back({part, std::string(word)});
  }
}

// The usual way for `*` in file names: where a word does not fit, the last `#` takes one word more. An earlier
// `#` never needs to, as what stands between the two has found its first place.
bool KeyPattern::matches(std::string_view key) const {
  std::size_t at = 0;
  bool more = !key.empty();
  bool starred = false, more_behind = false;
  std::size_t behind = 0;
  std::string_view rest_behind;
  for (;;) {
    if (at < pieces_.size() && pieces_[at].part == Part::any_words) {
      starred = true;
      behind = ++at;
      rest_behind = key;
      more_behind = more;
      continue;
    }
    std::string_view word;
    if (!next_word(key, more, word)) break;
    if (at < pieces_.size() && (pieces_[at].part == Part::any_word || pieces_[at].word == word)) {
      ++at;
      continue;
    }
    if (!starred) return false;
    next_word(rest_behind, more_behind, word);
    key = rest_behind;
    more = more_behind;
    at = behind;
  }
  return at == pieces_.size();
}

}  // namespace conveyor
