#include "serve/api/event_template.h"

#include <gtest/gtest.h>

#include <string>

#include "serve/api/json_fields.h"

namespace glmoe::serve {
namespace {

OrderedJson event_with(const std::string& text) {
  OrderedJson json;
  json["id"] = "\"text\":\"\"";  // a client's name for its request may be anything
  json["choices"] = {{{"index", 3}, {"text", text}, {"finish_reason", nullptr}}};
  json["usage"] = nullptr;
  return json;
}

TEST(EventTemplate, WritesWhatTheJsonLibraryWrites) {
  const EventTemplate event(event_with(""), "text");
  std::vector<std::string> texts = {
      "",           "plain text", "say \"hi\"",           "back\\slash",     "\r\n\t\b\f",
      "日本語 ü 😀", "</script>",  std::string("a\0b", 3), "broken \xe2\x82", "\xff\xfe",
      "\"",         "\\\""};
  for (int c = 0; c < 256; ++c) {
    texts.push_back(std::string(1, static_cast<char>(c)));
    texts.push_back("x" + texts.back() + "y");
  }
  for (const std::string& text : texts) {
    EXPECT_EQ(event.with(text), dump(event_with(text)));
  }
}

TEST(EventTemplate, IsEmptyUntilItIsMade) {
  EXPECT_TRUE(EventTemplate().empty());
  EXPECT_FALSE(EventTemplate(event_with(""), "text").empty());
}

}  // namespace
}  // namespace glmoe::serve
