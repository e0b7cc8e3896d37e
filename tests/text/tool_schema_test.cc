#include "text/tool_schema.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"

namespace glmoe {
namespace {

// The types of parameter p in a tool with these parameters.
JsonTypes types(const std::string& parameters) {
  const ToolSchemas tools(R"([{"type": "function", "function": {"name": "f", "parameters": )" +
                          parameters + "}}]");
  return tools.find("f")->types_of("p");
}
JsonTypes property(const std::string& schema) {
  return types(R"({"type": "object", "properties": {"p": )" + schema + "}}");
}

TEST(ToolSchemaTest, ReadsTypes) {
  EXPECT_EQ(property(R"({"type": "string"})"), kJsonString);
  EXPECT_EQ(property(R"({"type": "number"})"), kJsonNumber);
  EXPECT_EQ(property(R"({"type": ["integer", "null"]})"), kJsonInteger | kJsonNull);
  EXPECT_EQ(property(R"({"type": "string", "nullable": true})"), kJsonString | kJsonNull);
  EXPECT_EQ(property(R"({"type": "dict"})"), kJsonObject);
  EXPECT_EQ(property(R"({"items": {}})"), kJsonArray);
  EXPECT_EQ(property(R"({"properties": {}})"), kJsonObject);
  EXPECT_EQ(property(R"({"enum": ["a", null]})"), kJsonString | kJsonNull);
  EXPECT_EQ(property(R"({"type": "number", "enum": [1, 2]})"), kJsonInteger);
  EXPECT_EQ(property(R"({"const": true})"), kJsonBoolean);
}

TEST(ToolSchemaTest, PutsPartsTogether) {
  EXPECT_EQ(property(R"({"anyOf": [{"type": "string"}, {"type": "null"}]})"),
            kJsonString | kJsonNull);
  EXPECT_EQ(property(R"({"oneOf": [{"type": "array"}, {"type": "object"}]})"),
            kJsonArray | kJsonObject);
  EXPECT_EQ(property(R"({"allOf": [{"type": ["string", "null"]}, {"type": "string"}]})"),
            kJsonString);
  EXPECT_EQ(types(R"({"properties": {"p": {"$ref": "#/$defs/Mode"}},
                      "$defs": {"Mode": {"type": "string", "enum": ["a"]}}})"),
            kJsonString);
  EXPECT_EQ(types(R"({"allOf": [{"$ref": "#/definitions/Base"}],
                      "definitions": {"Base": {"properties": {"p": {"type": "boolean"}}}}})"),
            kJsonBoolean);
  EXPECT_EQ(types(R"({"properties": {}, "additionalProperties": {"type": "integer"}})"),
            kJsonInteger);
}

TEST(ToolSchemaTest, KnowsNothingOfWhatItCannotResolve) {
  for (const std::string schema :
       {"{}", "true", "{\"type\": \"any\"}", "{\"type\": 7}", "{\"$ref\": \"#/$defs/None\"}",
        "{\"$ref\": \"other.json\"}", "{\"$ref\": \"#anchor\"}", "{\"$ref\": \"#/~9\"}",
        "{\"$ref\": 1}", "{\"anyOf\": []}", "{\"enum\": 3}",
        "{\"type\": \"string\", \"const\": 1}"}) {
    EXPECT_EQ(property(schema), kJsonAny) << schema;
  }
  EXPECT_EQ(types("null"), kJsonAny);
  EXPECT_EQ(types("[]"), kJsonAny);
  EXPECT_EQ(types(R"({"properties": []})"), kJsonAny);
}

TEST(ToolSchemaTest, SurvivesSchemasThatReferToThemselves) {
  EXPECT_EQ(types(R"({"properties": {"p": {"$ref": "#/properties/p"}}})"), kJsonAny);
  EXPECT_EQ(types(R"({"$ref": "#"})"), kJsonAny);
  // Each level refers twice to the next: 2^30 ways.
  std::string parameters = R"({"properties": {"p": {"$ref": "#/$defs/d0"}}, "$defs": {)";
  for (int i = 0; i < 30; ++i) {
    const std::string next = R"({"$ref": "#/$defs/d)" + std::to_string(i + 1) + "\"}";
    parameters += (i > 0 ? ", \"d" : "\"d") + std::to_string(i) + R"(": {"anyOf": [)" + next +
                  ", " + next + "]}";
  }
  const auto begin = std::chrono::steady_clock::now();
  types(parameters + "}}");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(ToolSchemaTest, FindsToolsOfEveryForm) {
  const ToolSchemas tools(R"([
      {"name": "flat", "parameters": {"properties": {"p": {"type": "null"}}}},
      {"name": "other", "input_schema": {"properties": {"p": {"type": "array"}}}},
      {"type": "function", "function": {"name": "bare"}},
      {"type": "web_search"},
      {"name": "flat", "parameters": {"properties": {"p": {"type": "string"}}}}])");
  EXPECT_EQ(tools.find("flat")->types_of("p"), kJsonNull);
  EXPECT_EQ(tools.find("other")->types_of("p"), kJsonArray);
  EXPECT_EQ(tools.find("bare")->types_of("p"), kJsonAny);
  EXPECT_EQ(tools.find("web_search"), nullptr);
  EXPECT_EQ(ToolSchemas("").find("f"), nullptr);
  EXPECT_EQ(ToolSchemas("null").find("f"), nullptr);
}

TEST(ToolSchemaTest, RefusesWhatIsNotAListOfTools) {
  for (const std::string json : {"{}", "[1]", "[", "\"x\""}) {
    try {
      ToolSchemas tools(json);
      ADD_FAILURE() << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << json;
      EXPECT_NE(std::string(error.what()).find("tools"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace glmoe
