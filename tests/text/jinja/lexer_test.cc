#include "text/jinja/lexer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "base/error.h"

namespace glmoe::jinja {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& source) {
  try {
    tokenize(source, "test.jinja");
    return "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    return error.what();
  }
}

TEST(LexerTest, CountsLines) {
  const auto tokens = tokenize("a\n{{ b }}\n{# c\nd #}{% if\n e %}", "t");
  std::vector<std::pair<std::string, int>> names;
  for (const Token& token : tokens) {
    if (token.kind == TokenKind::kName) names.emplace_back(token.text, token.line);
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre(std::pair("b", 2), std::pair("if", 4), std::pair("e", 5)));
}

TEST(LexerTest, CountsLinesInsideRawBlocks) {
  const auto tokens = tokenize("{% raw %}\n\n{% x %}\n{% endraw %}\n{{ y }}", "t");
  EXPECT_EQ(tokens[tokens.size() - 3].text, "y");
  EXPECT_EQ(tokens[tokens.size() - 3].line, 5);
}

TEST(LexerTest, SaysWhatIsNotClosed) {
  const std::pair<std::string, const char*> cases[] = {
      {"{{ a", "line 1: a tag is not closed with }}"},
      {"\n{% a", "line 2: a tag is not closed with %}"},
      {"{{", "a tag is not closed"},
      {"{", "no error"},
      {"{# a", "a comment {# is not closed"},
      {"{% raw %} {% endraw", "{% raw %} is not closed"},
      {"{{ 'a }}", "a string is not closed with '"},
      {"{{ 'a\\", "a string is not closed with '"},
      {"{{ ) }}", "unexpected ')'"},
      {"{{ (] }}", "unexpected ']'"},
      {"{{ $ }}", "unexpected character '$'"},
      {"{{ 1a }}", "a number may not go on with 'a'"},
      {"{{ '\\x4' }}", "2 hexadecimal digits"},
      {"{{ '\\ud800' }}", "U+D800"},
      {"{{ '\\U00110000' }}", "U+110000"},
      {"{{ '\\N{DASH}' }}", "not supported"},
      {"a\xff", "not valid UTF-8 at byte 1"},
  };
  for (const auto& [source, wanted] : cases) {
    EXPECT_THAT(error_of(source), HasSubstr(wanted)) << source;
  }
}

}  // namespace
}  // namespace glmoe::jinja
