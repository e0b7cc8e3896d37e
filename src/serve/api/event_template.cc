#include "serve/api/event_template.h"

#include <algorithm>

#include "base/check.h"
#include "serve/api/json_fields.h"

namespace glmoe::serve {
namespace {

// Bytes that JSON text has as they are, whatever stands beside them.
bool is_plain(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

}  // namespace

EventTemplate::EventTemplate(const OrderedJson& event, std::string_view key) {
  const std::string text = dump(event);
  const std::string member = fmt::format("\"{}\":\"\"", key);
  // The last: names and ids of clients, in which anything may stand, come before it.
  const size_t at = text.rfind(member);
  GLMOE_CHECK(at != std::string::npos, "{} has no {}", text, member);
  head_ = text.substr(0, at + member.size() - 1);
  tail_ = text.substr(at + member.size() - 1);
}

std::string EventTemplate::with(std::string_view text) const {
  std::string event;
  event.reserve(head_.size() + text.size() + tail_.size() + 16);
  event += head_;
  if (std::ranges::all_of(text, is_plain)) {
    event += text;
  } else {
    const std::string quoted = dump(OrderedJson(text));
    event.append(quoted, 1, quoted.size() - 2);
  }
  event += tail_;
  return event;
}

}  // namespace glmoe::serve
