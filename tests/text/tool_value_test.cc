// Mirrors: src/text/tool_value.cc, src/text/python_literal.cc
#include "text/tool_value.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace glmoe {
namespace {

TEST(ToolValueTest, EscapesAsJsonDoes) {
  std::string every_byte;
  for (int byte = 0; byte < 0x80; ++byte) every_byte += static_cast<char>(byte);
  every_byte += "é😀\u2028";
  EXPECT_EQ(Json::parse(json_string(every_byte)).get<std::string>(), every_byte);
  EXPECT_EQ(json_string("a\"\\/\n\r\t\b\f\x1f"), R"("a\"\\/\n\r\t\b\f\u001f")");
}

TEST(ToolValueTest, TellsTheTypesOfJsonApart) {
  const std::pair<std::string, JsonTypes> cases[] = {
      {"\"a\"", kJsonString}, {"1", kJsonInteger},     {"-12345678901234567890123", kJsonInteger},
      {"1.5", kJsonFraction}, {"1e3", kJsonFraction},  {"true", kJsonBoolean},
      {"null", kJsonNull},    {"[1, {}]", kJsonArray}, {" {\"a\": []}\n", kJsonObject}};
  for (const auto& [text, type] : cases) EXPECT_EQ(json_type(text), type) << text;
  for (const std::string text :
       {"", " ", "a", "01", "1 2", "[1", "{'a': 1}", "NaN", "1e999", "\"\\ud800\"", "[1,]", "+1"}) {
    EXPECT_FALSE(json_type(text).has_value()) << text;
  }
  EXPECT_FALSE(json_type(std::string("1\0", 2)).has_value());
  EXPECT_FALSE(json_type("\"\xff\"").has_value());
}

TEST(ToolValueTest, BoundsTheDepth) {
  const auto nested = [](size_t depth, const char* open, const char* close) {
    std::string text;
    for (size_t i = 0; i < depth; ++i) text += open;
    for (size_t i = 0; i < depth; ++i) text += close;
    return text;
  };
  EXPECT_TRUE(json_type(nested(64, "[", "]")).has_value());
  EXPECT_FALSE(json_type(nested(65, "[", "]")).has_value());
  EXPECT_TRUE(python_literal_to_json(nested(60, "[", "]")).has_value());
  for (const char* open : {"[", "(", "{'a':"}) {
    EXPECT_FALSE(python_literal_to_json(nested(100'000, open, "")).has_value());
  }
  EXPECT_FALSE(python_literal_to_json(nested(100, "(", ",)")).has_value());
}

TEST(ToolValueTest, TakesJsonWhereNothingIsKnown) {
  EXPECT_EQ(json_value("12", kJsonAny), "12");
  EXPECT_EQ(json_value(" {\"a\": 1.50}\n", kJsonAny), "{\"a\": 1.50}");
  EXPECT_EQ(json_value("\"q\"", kJsonAny), "\"q\"");
  EXPECT_EQ(json_value(" True ", kJsonAny), "\" True \"");
  EXPECT_EQ(json_value("it's", kJsonAny), "\"it's\"");
}

TEST(ToolValueTest, PrefersTheStringWhereItIsAllowed) {
  constexpr JsonTypes kStringOrInteger = kJsonString | kJsonInteger;
  EXPECT_EQ(json_value("5", kStringOrInteger), "5");
  EXPECT_EQ(json_value("5.5", kStringOrInteger), "\"5.5\"");
  EXPECT_EQ(json_value("\"5\"", kStringOrInteger), "\"\\\"5\\\"\"");
  EXPECT_EQ(json_value("True", kJsonString | kJsonBoolean), "\"True\"");
  EXPECT_EQ(json_value(" x ", kStringOrInteger), "\" x \"");
  EXPECT_EQ(json_value("null", kJsonString | kJsonNull), "null");
}

TEST(ToolValueTest, CoercesWhatIsNotAString) {
  EXPECT_EQ(json_value(" 5 ", kJsonInteger), "5");
  EXPECT_EQ(json_value("\"5\"", kJsonInteger), "5");
  EXPECT_EQ(json_value("'5'", kJsonInteger), "5");
  EXPECT_EQ(json_value("5.0", kJsonInteger), "5");
  EXPECT_EQ(json_value("5.0", kJsonNumber), "5.0");
  EXPECT_EQ(json_value("123456789012345678901234567890", kJsonInteger),
            "123456789012345678901234567890");
  EXPECT_EQ(json_value("\"-2.5e3\"", kJsonNumber), "-2.5e3");
  EXPECT_EQ(json_value("True", kJsonBoolean), "true");
  EXPECT_EQ(json_value("\"false\"", kJsonBoolean), "false");
  EXPECT_EQ(json_value("None", kJsonInteger | kJsonNull), "null");
  EXPECT_EQ(json_value("['a', \"b\"]", kJsonArray), "[\"a\", \"b\"]");
  EXPECT_EQ(json_value("\"[1, 2]\"", kJsonArray), "[1, 2]");
  EXPECT_EQ(json_value("{'a': None, 'b': (1, 2),}", kJsonObject), "{\"a\": null, \"b\": [1, 2]}");
}

TEST(ToolValueTest, LeavesWhatDoesNotFitAsItIs) {
  EXPECT_EQ(json_value("5.5", kJsonInteger), "5.5");
  EXPECT_EQ(json_value("[1]", kJsonObject), "[1]");
  EXPECT_EQ(json_value("\"abc\"", kJsonInteger), "\"abc\"");
  EXPECT_EQ(json_value("abc ", kJsonInteger), "\"abc \"");
  EXPECT_EQ(json_value("'abc'", kJsonInteger), "\"'abc'\"");
  EXPECT_EQ(json_value("", kJsonInteger), "\"\"");
  EXPECT_EQ(json_value("1e999", kJsonNumber), "\"1e999\"");
  EXPECT_EQ(json_value("__import__('os')", kJsonObject), "\"__import__('os')\"");
}

TEST(ToolValueTest, ReadsPythonsLiterals) {
  const std::pair<std::string, std::string> cases[] = {
      {"[True, False, None]", "[true, false, null]"},
      {"[]", "[]"},
      {"()", "[]"},
      {"(1)", "1"},
      {"(1,)", "[1]"},
      {"((1, 2), (3,),)", "[[1, 2], [3]]"},
      {"{}", "{}"},
      {"'it\\'s \"x\"'", R"("it's \"x\"")"},
      {R"('\n\t\\\x41\u00e9\U0001F600\d')", R"("\n\t\\Aé😀\\d")"},
      {R"('\ud83d\ude00')", "\"😀\""},
      {"{'a' : [1.5, -2]}", R"({"a": [1.5, -2]})"}};
  for (const auto& [text, json] : cases) EXPECT_EQ(python_literal_to_json(text), json) << text;
  for (const std::string text : {"",          "x",    "[1",          "{1: 2}",   "{'a'}",
                                 "{'a': }",   "'a",   "'a\nb'",      "[1 2]",    "1 2",
                                 "Truex",     "1-2",  R"('\ud800')", R"('\x4')", R"('\U00110000')",
                                 R"('\101')", "f(1)", "[,]",         "(,)",      "'a' 'b'"}) {
    EXPECT_FALSE(python_literal_to_json(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace glmoe
