#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    return error.what();
  }
  return "nothing was thrown";
}

std::string refusal(const std::string& text, const JsonLimits& limits = {}) {
  const std::string message = message_of([&] { parse_json(text, "the source", limits); });
  EXPECT_THAT(message, HasSubstr("the source"));
  EXPECT_THAT(message_of([&] { parse_ordered_json(text, "the source", limits); }),
              HasSubstr("the source"));
  return message;
}

TEST(Json, RefusesDuplicateKeysAtAnyDepthButNotInDifferentObjects) {
  EXPECT_THAT(refusal(R"({"a": 1, "a": 2})"), HasSubstr("'a' appears twice"));
  EXPECT_THAT(refusal(R"([{"x": {"b": 1, "c": [], "b": 2}}])"), HasSubstr("'b' appears twice"));
  EXPECT_THAT(refusal(R"({"a": 1, "\u0061": 2})"), HasSubstr("appears twice"));
  EXPECT_EQ(parse_json(R"({"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]})", "x")["b"][1]["a"], 3);
}

TEST(Json, RefusesDeepNestingBeforeItHurts) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_NO_THROW(parse_json(nested(64), "x"));
  EXPECT_THAT(refusal(nested(66)), HasSubstr("deeper than 64"));
  EXPECT_THAT(refusal(std::string(5000000, '[')), HasSubstr("deeper than 64"));
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const std::string text :
       {"", "{", "[1,]", "{} x", "nul", "{'a': 1}", "\"\x01\"", "NaN", "1e999", "[1 2]", "01"}) {
    EXPECT_THAT(refusal(text), HasSubstr("not valid JSON")) << text;
  }
}

TEST(Json, RefusesInvalidUtf8) {
  for (const std::string text : {"\"\xff\"", "\"\xc3\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
                                 "{\"\x80\": 1}", "\"\\ud800\""}) {
    EXPECT_THAT(refusal(text), HasSubstr("not valid JSON"));
  }
}

TEST(Json, RefusesTextAboveTheLimit) {
  EXPECT_THAT(refusal("[1, 2, 3]", {.max_bytes = 8}), HasSubstr("at most 8"));
}

TEST(Json, OrderedJsonKeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_ordered_json(R"({"z": 1, "a": 2})", "x").dump(), R"({"z":1,"a":2})");
}

TEST(JsonReader, ReadsNumbersStrictly) {
  const Json json = parse_json(
      R"({"i": -5, "max": 9223372036854775807, "min": -9223372036854775808,
          "big": 9223372036854775808, "huge": 123456789012345678901234567890,
          "f": 2.5, "whole": 2.0, "s": "7", "none": null, "b": true})",
      "x");
  const JsonReader reader(json, "config");
  EXPECT_EQ(reader.integer("i"), -5);
  EXPECT_EQ(reader.integer("max"), INT64_MAX);
  EXPECT_EQ(reader.integer("min"), INT64_MIN);
  for (const char* key : {"big", "huge", "f", "whole", "s", "b"}) {
    EXPECT_THAT(message_of([&] { reader.integer(key); }), HasSubstr(key)) << key;
  }
  EXPECT_EQ(reader.number("f"), 2.5);
  EXPECT_EQ(reader.number("i"), -5.0);
  EXPECT_EQ(reader.integer_or("none", 3), 3);
  EXPECT_EQ(reader.integer_or("absent", 4), 4);
  EXPECT_TRUE(reader.boolean_or("b", false));
  EXPECT_FALSE(reader.has("none"));
  EXPECT_THAT(message_of([&] { reader.number("s"); }), HasSubstr("a number was wanted"));
  EXPECT_THAT(message_of([&] { reader.boolean_or("i", true); }), HasSubstr("true or false"));
  EXPECT_THAT(message_of([&] { reader.integer("absent"); }), HasSubstr("'absent' is missing"));
}

TEST(JsonReader, NamesTheWayToANestedField) {
  const Json json = parse_json(R"({"inner": {"a": "x"}, "list": []})", "x");
  const JsonReader reader(json, "config.json");
  EXPECT_EQ(reader.object("inner").string("a"), "x");
  EXPECT_EQ(reader.string_or("absent", "y"), "y");
  const std::string message = message_of([&] { reader.object("inner").integer("a"); });
  EXPECT_THAT(message, HasSubstr("config.json"));
  EXPECT_THAT(message, HasSubstr("inner"));
  EXPECT_THAT(message, HasSubstr("'a'"));
  EXPECT_THAT(message_of([&] { reader.object("list"); }), HasSubstr("an object was wanted"));
  EXPECT_THAT(message_of([&] { JsonReader(json["list"], "it"); }), HasSubstr("JSON object"));
}

TEST(Json, LimitsNumberOfValuesAndBytesOfKeys) {
  const JsonLimits limits{.max_values = 4, .max_key_bytes = 3};
  EXPECT_EQ(parse_json(R"({"abc": [1, 2]})", "x", limits)["abc"][1], 2);
  EXPECT_THAT(message_of([&] { parse_json("[1, 2, 3, 4]", "x", limits); }),
              HasSubstr("more than 4 JSON values"));
  EXPECT_THAT(message_of([&] { parse_ordered_json(R"({"abcd": 1})", "x", limits); }),
              HasSubstr("a JSON key of 4 bytes, at most 3"));
}

TEST(Json, FilesAreNamedInErrors) {
  const testing::TempFolder folder;
  const std::string path = folder.write("bad.json", "{");
  EXPECT_THAT(message_of([&] { read_json_file(path); }), HasSubstr(path));
  EXPECT_EQ(read_json_file(folder.write("good.json", "[7]"))[0], 7);
}

}  // namespace
}  // namespace glmoe
