// Keys of events, and the patterns that subscribers choose them by.
//
// A key is words with dots between, as in "prices.eur.spot"; the empty key has no words. In a pattern, `*` stands
// for exactly one word and `#` for any number of words, none included.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace conveyor {

class KeyPattern {
 public:
  explicit KeyPattern(std::string_view pattern);
  // Takes time in proportion to the words of both; runs no foreign code and allocates nothing.
  bool matches(std::string_view key) const;

 private:
  enum class Part { word, any_word, any_words };
  struct Piece {
    Part part;
    std::string word;
  };
  std::vector<Piece> pieces_;
};

}  // namespace conveyor
