#include "text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace glmoe {

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_stop)
    : include_stop_(include_stop) {
  for (std::string& text : stops) {
    if (text.empty()) continue;
    Stop stop{std::move(text), {}, 0};
    stop.border.assign(stop.text.size(), 0);
    for (size_t i = 1, length = 0; i < stop.text.size(); ++i) {
      while (length > 0 && stop.text[i] != stop.text[length]) length = stop.border[length - 1];
      if (stop.text[i] == stop.text[length]) ++length;
      stop.border[i] = length;
    }
    stops_.push_back(std::move(stop));
  }
}

StopMatcher::Result StopMatcher::feed(std::string_view piece) {
  Result result;
  if (done_) return result;
  for (size_t i = 0; i < piece.size(); ++i) {
    const Stop* found = nullptr;
    for (Stop& stop : stops_) {
      while (stop.matched > 0 && stop.text[stop.matched] != piece[i]) {
        stop.matched = stop.border[stop.matched - 1];
      }
      if (stop.text[stop.matched] == piece[i]) ++stop.matched;
      if (stop.matched == stop.text.size() &&
          (found == nullptr || stop.text.size() > found->text.size())) {
        found = &stop;
      }
    }
    if (found == nullptr) continue;
    done_ = true;
    result.matched = true;
    result.stop_string = found->text;
    result.text = std::exchange(held_, {}) + std::string(piece.substr(0, i + 1));
    if (!include_stop_) result.text.resize(result.text.size() - found->text.size());
    return result;
  }
  size_t hold = 0;
  for (const Stop& stop : stops_) hold = std::max(hold, stop.matched);
  held_ += piece;
  result.text = held_.substr(0, held_.size() - hold);
  held_.erase(0, result.text.size());
  return result;
}

std::string StopMatcher::flush() {
  for (Stop& stop : stops_) stop.matched = 0;
  return std::exchange(held_, {});
}

}  // namespace glmoe
