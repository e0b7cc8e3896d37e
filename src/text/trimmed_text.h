// One stream of an answer's text (its content, its reasoning) without the white space that only
// sets it off from markup.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace glmoe {

// Blank lines at the beginning are dropped. White space at the end of what has come waits until it
// is known what follows: text lets it out, the end of the answer too, but not once markup has
// followed. So what comes out does not depend on how the text was cut into pieces.
class TrimmedText {
 public:
  explicit TrimmedText(bool trim) : trim_(trim) {}

  void append(std::string_view text, std::string& out) {
    if (!trim_) {
      out += text;
      return;
    }
    const size_t last = text.find_last_not_of(kSpace);
    if (last == std::string_view::npos) {
      waiting_ += text;
      return;
    }
    if (!begun_) {
      waiting_ += text.substr(0, text.find_first_not_of(kSpace));
      waiting_.erase(0, waiting_.find_last_of("\r\n") + 1);
      text.remove_prefix(text.find_first_not_of(kSpace));
    }
    begun_ = true;
    before_markup_ = false;
    out += std::exchange(waiting_, {});
    const size_t end = text.find_last_not_of(kSpace) + 1;
    out += text.substr(0, end);
    waiting_ = text.substr(end);
  }
  void markup() { before_markup_ = true; }
  void finish(std::string& out) {
    if (begun_ && !before_markup_) out += waiting_;
    waiting_.clear();
  }
  // What has come belongs to the prompt: the answer goes on with it.
  void continue_after_prompt() { waiting_.clear(); }

 private:
  static constexpr std::string_view kSpace = " \t\r\n\f\v";
  bool trim_;
  bool begun_ = false;          // something other than white space has come
  bool before_markup_ = false;  // markup, and since then no more than white space
  std::string waiting_;
};

}  // namespace glmoe
