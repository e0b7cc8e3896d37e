// The events of a stream differ in one piece of text: what stands around it is written once, when
// the first is made, so that a token costs no JSON tree.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace glmoe::serve {

class EventTemplate {
 public:
  EventTemplate() = default;  // empty
  // An event whose text is still "": the value of the last member named `key` in its JSON text.
  EventTemplate(const OrderedJson& event, std::string_view key);

  bool empty() const { return head_.empty(); }
  // dump() of the event with this text, to the byte.
  std::string with(std::string_view text) const;

 private:
  std::string head_, tail_;  // with the quotation marks of the text
};

}  // namespace glmoe::serve
