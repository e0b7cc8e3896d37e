#include "text/tool_arguments.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace glmoe {
namespace {

class ToolArgumentsTest : public ::testing::Test {
 protected:
  // What `text` adds to the arguments.
  std::string value(const std::string& text) {
    std::string out;
    arguments_.value_text(text, out);
    return out;
  }
  std::string begin(const std::string& key) {
    std::string out;
    arguments_.begin_value(key, out);
    return out;
  }
  std::string end() {
    std::string out;
    arguments_.end_value(out);
    return out;
  }
  // A whole argument.
  std::string argument(const std::string& key, const std::string& text) {
    std::string out = begin(key);
    out += value(text);
    return out += end();
  }
  std::string close() {
    std::string out;
    arguments_.close(out);
    return out;
  }

  const ToolSchemas tools_{R"([{"name": "f", "parameters": {"properties": {
      "s": {"type": "string"}, "i": {"type": "integer"}, "n": {"type": ["string", "null"]}}}}])"};
  ToolArguments arguments_;
};

TEST_F(ToolArgumentsTest, StreamsStringsAndHoldsTheRest) {
  arguments_.begin_call(tools_.find("f"));
  EXPECT_EQ(begin(" s\n"), R"({"s": ")");
  EXPECT_EQ(value("a\""), R"(a\")");
  EXPECT_EQ(value("\\"), R"(\\)");
  EXPECT_EQ(end(), "\"");
  EXPECT_EQ(begin("i"), "");
  EXPECT_EQ(value("1"), "");
  EXPECT_EQ(value("2"), "");
  EXPECT_EQ(end(), R"(, "i": 12)");
  EXPECT_EQ(close(), "}");
}

TEST_F(ToolArgumentsTest, DecidesBetweenStringAndNullAsEarlyAsItCan) {
  arguments_.begin_call(tools_.find("f"));
  EXPECT_EQ(begin("n"), "");
  EXPECT_EQ(value(" nul"), "");
  EXPECT_EQ(value("L"), R"({"n": " nulL)");
  EXPECT_EQ(value("null"), "null");
  EXPECT_EQ(end(), "\"");
  arguments_.begin_call(tools_.find("f"));
  begin("n");
  EXPECT_EQ(value("null\n"), "");
  EXPECT_EQ(end(), R"({"n": null)");
  arguments_.begin_call(tools_.find("f"));
  begin("n");
  EXPECT_EQ(value(std::string(40, ' ')), R"({"n": ")" + std::string(40, ' '));
}

TEST_F(ToolArgumentsTest, WritesTheFirstValueOfAKey) {
  arguments_.begin_call(nullptr);
  std::string all = argument("a\"b", "1");
  all += argument("a\"b ", "2");
  arguments_.begin_dropped_value();
  all += value("3");
  all += end();
  all += argument("", "x");
  all += close();
  EXPECT_EQ(all, R"({"a\"b": 1, "": "x"})");
}

TEST_F(ToolArgumentsTest, ForgetsTheCallBefore) {
  arguments_.begin_call(nullptr);
  begin("a");
  value("1");
  arguments_.begin_call(nullptr);
  EXPECT_EQ(end(), "");
  EXPECT_EQ(close(), "{}");
  EXPECT_EQ(argument("a", "2"), R"({"a": 2)");
  EXPECT_EQ(close(), "}");
}

}  // namespace
}  // namespace glmoe
