#include "serve/api/json_fields.h"

#include <gmock/gmock.h>

#include "serve/fake_text.h"

namespace glmoe::serve {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(ParseBody, RefusesWhatIsNotOneStrictJsonDocument) {
  const ServeLimits limits;
  const std::string deep(100, '[');
  const std::string bodies[] = {"",
                                " \r\n",
                                "{",
                                "{\"a\":1} x",
                                "{\"a\":1}{}",
                                "{'a':1}",
                                "{\"a\":NaN}",
                                "{\"a\":Infinity}",
                                "{\"a\":1e999}",
                                "{\"a\":-1e999}",
                                "{\"a\":01}",
                                "{\"a\":1,}",
                                "{\"a\":1,\"a\":2}",
                                "{\"a\":\"\xff\"}",
                                "{\"a\":\"\xc0\xaf\"}",         // an over-long form
                                "{\"a\":\"\xed\xa0\x80\"}",     // a surrogate in UTF-8
                                "{\"a\":\"\\ud800\"}",          // a lone surrogate
                                "{\"a\":\"\\udc00\\ud800\"}",   // the two in the wrong order
                                "{\"a\":\"tab\there\"}",        // a control character
                                std::string("{\"a\":1}\0", 8),  // a NUL behind it
                                std::string("{\"a\":\"\0\"}", 9),
                                deep,
                                "// comment\n{}"};
  for (const std::string& body : bodies) {
    const HttpError error = error_of([&] { parse_body(body, limits); });
    EXPECT_EQ(error.status, 400) << body;
    EXPECT_EQ(error.code, "invalid_json") << body;
    EXPECT_LT(error.message.size(), 500u) << body;
  }
}

TEST(ParseBody, HasADefinedAnswerForOddButValidText) {
  const ServeLimits limits;
  EXPECT_EQ(parse_body("\xef\xbb\xbf{\"a\":1}", limits)["a"], 1);  // a byte order mark
  EXPECT_EQ(parse_body("{\"a\":\"x\\u0000y\"}", limits)["a"], std::string("x\0y", 3));
  EXPECT_EQ(parse_body("{\"a\":\"\\ud83d\\ude00\"}", limits)["a"], "\xF0\x9F\x98\x80");
  EXPECT_EQ(parse_body("{\"a\":9007199254740993}", limits)["a"], 9007199254740993);
  EXPECT_EQ(parse_body("{\"a\":-0.0}", limits)["a"], 0.0);
  EXPECT_EQ(parse_body(" [1]\n", limits)[0], 1);
}

TEST(ParseBody, KeepsToTheLimitsOfTheServer) {
  ServeLimits limits;
  limits.max_json_depth = 3;
  limits.max_json_values = 5;
  limits.max_json_key_bytes = 4;
  EXPECT_NO_THROW(parse_body("[[[1,2]]]", limits));
  EXPECT_THAT(error_of([&] { parse_body("[[[[1]]]]", limits); }).message, HasSubstr("deeper"));
  EXPECT_NO_THROW(parse_body("[1,2,3,4]", limits));
  EXPECT_THAT(error_of([&] { parse_body("[1,2,3,4,5]", limits); }).message,
              HasSubstr("more than 5"));
  EXPECT_NO_THROW(parse_body("{\"abcd\":1}", limits));
  EXPECT_THAT(error_of([&] { parse_body("{\"abcde\":1}", limits); }).message, HasSubstr("5 bytes"));
}

TEST(Fields, NameTheWayToAWrongField) {
  const OrderedJson json = OrderedJson::parse(R"({"a": {"b": "x"}, "n": 2.5, "s": 7})");
  Fields fields(json, "");
  std::optional<Fields> inner = fields.object("a");
  ASSERT_TRUE(inner);
  HttpError error = error_of([&] { inner->integer("b", 0, 1); });
  EXPECT_EQ(error.param, "a.b");
  EXPECT_EQ(error.code, "invalid_type");
  EXPECT_THAT(error.message, HasSubstr("a.b: a whole number was wanted, found the string \"x\""));
  EXPECT_EQ(error_of([&] { fields.integer("n", 0, 9); }).code, "invalid_type");
  EXPECT_EQ(error_of([&] { fields.boolean("s"); }).param, "s");
  EXPECT_EQ(error_of([&] { fields.string("s"); }).param, "s");
  EXPECT_EQ(error_of([&] { fields.array("s", 9); }).param, "s");
  EXPECT_EQ(error_of([&] { fields.object("s"); }).param, "s");
  EXPECT_EQ(error_of([&] { fields.number("a", {0, 1}); }).param, "a");
  EXPECT_EQ(error_of([&] { fields.require("missing"); }).code, "missing_required_parameter");
  EXPECT_EQ(error_of([&] { Fields(json["n"], ""); }).status, 400);
}

TEST(Fields, ChecksRanges) {
  const OrderedJson json = OrderedJson::parse(
      R"({"i": 11, "whole": 5.0, "big": 18446744073709551615, "huge": 1e30, "x": 0, "tiny": 1e-300,
          "text": "12345", "list": [1, 2, 3]})");
  Fields fields(json, "");
  EXPECT_EQ(fields.integer("i", 11, 11), 11);
  EXPECT_EQ(fields.integer("whole", 0, 9), 5);
  EXPECT_EQ(error_of([&] { fields.integer("i", 0, 10); }).code, "invalid_value");
  EXPECT_EQ(error_of([&] { fields.integer("i", 12, 20); }).code, "invalid_value");
  EXPECT_EQ(error_of([&] { fields.integer("big", 0, 100); }).code, "invalid_value");
  EXPECT_EQ(error_of([&] { fields.integer("huge", 0, INT64_MAX); }).code, "invalid_type");
  EXPECT_EQ(fields.number("x", {0.0, 1.0}), 0.0);
  EXPECT_EQ(error_of([&] { fields.number("x", {0.0, 1.0, true}); }).code, "invalid_value");
  // It would be zero as the engine's float.
  EXPECT_EQ(error_of([&] { fields.number("tiny", {0.0, 1.0, true}); }).code, "invalid_value");
  EXPECT_EQ(error_of([&] { fields.number("huge", {0.0, 1.0}); }).code, "invalid_value");
  EXPECT_EQ(fields.string("text", 5), "12345");
  EXPECT_EQ(error_of([&] { fields.string("text", 4); }).code, "limit_exceeded");
  EXPECT_NE(fields.array("list", 3), nullptr);
  EXPECT_EQ(error_of([&] { fields.array("list", 2); }).code, "limit_exceeded");
}

TEST(Fields, TakeNullForAbsent) {
  const OrderedJson json = OrderedJson::parse(R"({"a": null})");
  Fields fields(json, "");
  EXPECT_EQ(fields.find("a"), nullptr);
  EXPECT_FALSE(fields.integer("a", 0, 1));
  EXPECT_FALSE(fields.number("a", {0, 1}));
  EXPECT_TRUE(fields.boolean_or("a", true));
  EXPECT_FALSE(fields.string("a"));
  EXPECT_FALSE(fields.object("a"));
  EXPECT_EQ(error_of([&] { fields.require("a"); }).code, "missing_required_parameter");
}

TEST(Fields, NoticeFieldsThatNobodyAskedFor) {
  OrderedJson json = OrderedJson::parse(R"({"known": 1, "ignored": 2, "odd": 3})");
  Fields fields(json, "body");
  (void)fields.find("known");
  fields.ignore({"ignored"});
  std::vector<std::string> warnings;
  fields.warn_of_unknown(warnings);
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_THAT(warnings[0], HasSubstr("body.odd"));
  for (int i = 0; i < 50; ++i) json["x" + std::to_string(i)] = i;
  warnings.clear();
  Fields(json, "").warn_of_unknown(warnings);
  EXPECT_THAT(warnings, SizeIs(11));  // ten, and how many more
  Fields(json, "again").warn_of_unknown(warnings);
  EXPECT_THAT(warnings, SizeIs(20));  // of one request together
  const OrderedJson trick = OrderedJson::parse("{\"a\\nb\": 1}");
  warnings.clear();
  Fields(trick, "").warn_of_unknown(warnings);
  EXPECT_THAT(warnings.at(0), HasSubstr("a\\nb"));  // one line of the log
}

TEST(Describe, IsShortAndCutsBetweenCharacters) {
  EXPECT_EQ(describe(OrderedJson::parse("[1,2]")), "an array of 2");
  EXPECT_EQ(describe(OrderedJson::parse("{}")), "an object");
  EXPECT_EQ(describe(OrderedJson::parse("null")), "null");
  EXPECT_EQ(describe(OrderedJson::parse("true")), "true");
  std::string long_text;
  for (int i = 0; i < 100; ++i) long_text += "\xE2\x82\xAC";  // the euro sign
  const std::string cut = shortened(long_text, 10);
  EXPECT_EQ(cut, "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC...");
  EXPECT_LT(describe(OrderedJson(long_text)).size(), 100u);
}

TEST(Dump, ReplacesWhatIsNotUtf8) { EXPECT_EQ(dump(OrderedJson("\xff")), "\"\xEF\xBF\xBD\""); }

}  // namespace
}  // namespace glmoe::serve
