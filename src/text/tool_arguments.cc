#include "text/tool_arguments.h"

#include <algorithm>

#include "text/tool_value.h"

namespace glmoe {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Whether `text` is null with (a little) white space around it, or a beginning of that. Asked for
// every piece, so a long text is not looked through.
bool may_become_null(std::string_view text) {
  constexpr size_t kMaxBytes = 32;
  if (text.size() > kMaxBytes) return false;
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  constexpr std::string_view kNull = "null";
  if (text.size() <= kNull.size()) return kNull.substr(0, text.size()) == text;
  return text.substr(0, kNull.size()) == kNull &&
         text.find_first_not_of(kSpace, kNull.size()) == std::string_view::npos;
}

std::string_view stripped(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

}  // namespace

void ToolArguments::begin_call(const ToolSchema* schema) {
  schema_ = schema;
  keys_.clear();
  mode_ = Mode::kDrop;
}

void ToolArguments::begin_value(std::string_view key, std::string& out) {
  const std::string name(stripped(key));
  const bool is_first = keys_.empty();
  if (!keys_.insert(name).second) return begin_dropped_value();
  lead_ = (is_first ? "{" : ", ") + json_string(name) + ": ";
  held_.clear();
  types_ = schema_ != nullptr ? schema_->types_of(name) : kJsonAny;
  mode_ = types_ == (kJsonString | kJsonNull) ? Mode::kMaybeNull : Mode::kHold;
  if (types_ != kJsonString) return;
  mode_ = Mode::kStream;
  out.append(lead_) += '"';
}

void ToolArguments::value_text(std::string_view text, std::string& out) {
  switch (mode_) {
    case Mode::kDrop: break;
    case Mode::kHold: held_ += text; break;
    case Mode::kStream: append_json_escaped(out, text); break;
    case Mode::kMaybeNull:
      held_ += text;
      if (may_become_null(held_)) break;
      mode_ = Mode::kStream;
      out.append(lead_) += '"';
      append_json_escaped(out, held_);
      break;
  }
}

void ToolArguments::end_value(std::string& out) {
  if (mode_ == Mode::kStream) {
    out += '"';
  } else if (mode_ != Mode::kDrop) {
    out.append(lead_).append(json_value(held_, types_));
  }
  mode_ = Mode::kDrop;
}

}  // namespace glmoe
