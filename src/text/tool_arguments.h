// Writes the arguments of one tool call as JSON text, piece by piece, while the model answers.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "text/tool_schema.h"

namespace glmoe {

// All pieces that a call's functions append, up to close(), are the JSON text of one object. A
// string goes out as it comes, escaped; any other value waits for its end, since only then it is
// known what it is. No piece ends inside an escape, or inside a character of whole UTF-8.
class ToolArguments {
 public:
  // `schema` (nullptr: an unknown tool) must stay until the next call begins.
  void begin_call(const ToolSchema* schema);
  // White space around the key does not count. A key that the call already has is left out with its
  // value: the first one may be with the caller already.
  void begin_value(std::string_view key, std::string& out);
  // A value without a key: what comes until end_value() is dropped.
  void begin_dropped_value() { mode_ = Mode::kDrop; }
  void value_text(std::string_view text, std::string& out);
  void end_value(std::string& out);
  void close(std::string& out) { out += keys_.empty() ? "{}" : "}"; }

 private:
  enum class Mode {
    kDrop,
    kHold,       // the whole value
    kMaybeNull,  // a string or null, which may still become null
    kStream,     // a string
  };

  const ToolSchema* schema_ = nullptr;
  std::set<std::string, std::less<>> keys_;  // so far
  Mode mode_ = Mode::kDrop;
  JsonTypes types_ = kJsonAny;
  std::string lead_;  // what precedes the value that is open: {"key":
  std::string held_;
};

}  // namespace glmoe
