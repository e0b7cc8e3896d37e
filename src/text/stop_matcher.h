// Finds stop strings in text that comes in pieces, across the borders of the pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

class StopMatcher {
 public:
  // Empty stop strings are ignored. With include_stop the match itself is part of the text.
  explicit StopMatcher(std::vector<std::string> stops, bool include_stop = false);

  struct Result {
    std::string text;         // may go out now; never part of a stop string that could still come
    bool matched = false;     // text ends before (or with) the stop string; what follows is dropped
    std::string stop_string;  // the one that matched
  };
  // The match that is complete first counts; of several complete at the same place, the longest.
  // After a match all further text is dropped.
  Result feed(std::string_view piece);
  // The end of the text: what was held back.
  std::string flush();

 private:
  // Progress in one stop string by the Knuth-Morris-Pratt automaton: linear, whatever the text.
  struct Stop {
    std::string text;
    std::vector<size_t> border;  // border[i]: longest proper prefix of text[0..i] that ends it
    size_t matched = 0;
  };
  std::vector<Stop> stops_;
  bool include_stop_;
  bool done_ = false;
  std::string held_;  // the longest begun stop string
};

}  // namespace glmoe
