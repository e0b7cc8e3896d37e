#include "serve/openai/messages.h"

#include <gmock/gmock.h>

#include "serve/fake_text.h"
#include "serve/openai/chat_request.h"

namespace glmoe::serve::openai {
namespace {

using testing::error_of;
using testing::expect_refusals;
using testing::FakeServer;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::WrongPart;

ChatRequest read(const std::string& messages, const std::string& more = "") {
  const FakeServer server;
  return read_chat_request("{\"messages\": " + messages + more + "}", server.context);
}
HttpError refused(const std::string& messages, const std::string& more = "") {
  return error_of([&] { read(messages, more); });
}
OrderedJson first(const std::string& message) {
  return read("[" + message + "]").prompt.messages[0];
}

const std::string kUser = R"([{"role": "user", "content": "hi"}])";

TEST(Messages, OfAllRolesAreBroughtToTheTemplatesForm) {
  EXPECT_EQ(first(R"({"role": "user", "content": "hi", "name": "ann"})"),
            OrderedJson::parse(R"({"role": "user", "content": "hi", "name": "ann"})"));
  EXPECT_EQ(first(R"({"role": "developer", "content": "be brief"})")["role"], "system");
  EXPECT_EQ(first(R"({"role": "user", "content": [{"type": "text", "text": "a"},
                                                  {"type": "text", "text": "b"}]})")["content"],
            "ab");
  EXPECT_EQ(first(R"({"role": "tool", "content": "42", "tool_call_id": "c1"})"),
            OrderedJson::parse(R"({"role": "tool", "content": "42", "tool_call_id": "c1"})"));
  const OrderedJson assistant = first(R"({"role": "assistant", "content": null,
      "reasoning_content": "hm", "refusal": null,
      "tool_calls": [{"id": "c1", "type": "function",
                      "function": {"name": "f", "arguments": "{\"b\": 1, \"a\": [2]}"}}]})");
  EXPECT_EQ(assistant["content"], "");
  EXPECT_EQ(assistant["reasoning_content"], "hm");
  EXPECT_EQ(assistant["tool_calls"][0]["function"].dump(),
            R"({"name":"f","arguments":{"b":1,"a":[2]}})");  // the order of keys is kept
  EXPECT_EQ(
      first(R"({"role": "assistant", "content": "x", "reasoning": "y"})")["reasoning_content"],
      "y");
}

TEST(Messages, NameTheFieldThatIsWrong) {
  const WrongPart kCases[] = {
      {"5", "messages"},
      {"[]", "messages"},
      {"[5]", "messages[0]"},
      {"[{}]", "messages[0].role"},
      {R"([{"role": 5}])", "messages[0].role"},
      {R"([{"role": "function", "content": "x"}])", "messages[0].role"},
      {R"([{"role": "user"}])", "messages[0].content"},
      {R"([{"role": "user", "content": null}])", "messages[0].content"},
      {R"([{"role": "user", "content": 5}])", "messages[0].content"},
      {R"([{"role": "user", "content": {}}])", "messages[0].content"},
      {R"([{"role": "user", "content": ["x"]}])", "messages[0].content[0]"},
      {R"([{"role": "user", "content": [{}]}])", "messages[0].content[0].type"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages[0].content[0].text"},
      {R"([{"role": "user", "content": [{"type": "text", "text": 1}]}])",
       "messages[0].content[0].text"},
      {R"([{"role": "user", "content": "a"}, {"role": "user", "content": [
          {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]}])",
       "messages[1].content[1].type"},
      {R"([{"role": "tool", "content": "x", "tool_call_id": 5}])", "messages[0].tool_call_id"},
      {R"([{"role": "user", "content": "x", "name": 5}])", "messages[0].name"},
      {R"([{"role": "assistant", "reasoning_content": 5}])", "messages[0].reasoning_content"},
      {R"([{"role": "assistant", "tool_calls": {}}])", "messages[0].tool_calls"},
      {R"([{"role": "assistant", "tool_calls": [5]}])", "messages[0].tool_calls[0]"},
      {R"([{"role": "assistant", "tool_calls": [{}]}])", "messages[0].tool_calls[0].function"},
      {R"([{"role": "assistant", "tool_calls": [{"type": "custom"}]}])",
       "messages[0].tool_calls[0].type"},
      {R"([{"role": "assistant", "tool_calls": [{"id": 5}]}])", "messages[0].tool_calls[0].id"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])",
       "messages[0].tool_calls[0].function.name"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "a b"}}]}])",
       "messages[0].tool_calls[0].function.name"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "<x>"}}]}])",
       "messages[0].tool_calls[0].function.name"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role": "assistant", "function_call": {"name": "f"}}])", "messages[0].function_call"},
  };
  expect_refusals(kCases, [](const auto& messages) { return refused(messages); });
  EXPECT_THAT(refused(R"([{"role": "user", "content": [{"type": "image_url"}]}])").message,
              HasSubstr("reads text only"));
}

TEST(Messages, HaveALimit) {
  FakeServer server;
  server.context.limits.max_messages = 1;
  const std::string two =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]})";
  EXPECT_EQ(error_of([&] { read_chat_request(two, server.context); }).code, "limit_exceeded");
}

TEST(Tools, KeepWhatDescribesThemInTheClientsOrder) {
  const ChatRequest chat = read(kUser, R"(, "tools": [{"type": "function", "function": {
      "description": "adds", "name": "add", "strict": true, "cache": null,
      "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}])");
  EXPECT_EQ(chat.prompt.tools.dump(),
            R"([{"type":"function","function":{"description":"adds","name":"add",)"
            R"("parameters":{"type":"object","properties":{"b":{},"a":{}}}}}])");
  EXPECT_THAT(chat.warnings, ::testing::Contains(HasSubstr("tools[0].function.strict")));
  EXPECT_TRUE(chat.prompt.offers_tools());
  EXPECT_THAT(read(kUser, R"(, "tools": [])").prompt.tools, IsEmpty());
}

const std::string kTool = R"({"type": "function", "function": {"name": "f"}})";
const std::string kTools = ", \"tools\": [" + kTool + "]";

TEST(Tools, NameTheFieldThatIsWrong) {
  const WrongPart kCases[] = {
      {R"(, "tools": 5)", "tools"},
      {R"(, "tools": [5])", "tools[0]"},
      {R"(, "tools": [{}])", "tools[0].type"},
      {R"(, "tools": [{"type": "web_search"}])", "tools[0].type"},
      {R"(, "tools": [{"type": "function"}])", "tools[0].function"},
      {R"(, "tools": [{"type": "function", "function": {}}])", "tools[0].function.name"},
      {R"(, "tools": [{"type": "function", "function": {"name": ""}}])", "tools[0].function.name"},
      {R"(, "tools": [{"type": "function", "function": {"name": "f", "description": 5}}])",
       "tools[0].function.description"},
      {R"(, "tools": [{"type": "function", "function": {"name": "f", "parameters": []}}])",
       "tools[0].function.parameters"},
      {R"(, "tools": [{"type": "function", "function": {"name": "f", "strict": 1}}])",
       "tools[0].function.strict"},
      {", \"tools\": [" + kTool + "," + kTool + "]", "tools[1].function.name"},
      {kTools + R"(, "tool_choice": "any")", "tool_choice"},
      {kTools + R"(, "tool_choice": 5)", "tool_choice"},
      {kTools + R"(, "tool_choice": {})", "tool_choice.type"},
      {kTools + R"(, "tool_choice": {"type": "allowed_tools"})", "tool_choice.type"},
      {kTools + R"(, "tool_choice": {"type": "function"})", "tool_choice.function"},
      {kTools + R"(, "tool_choice": {"type": "function", "function": {"name": "g"}})",
       "tool_choice.function.name"},
      {R"(, "tool_choice": "required")", "tool_choice"},
      {kTools + R"(, "parallel_tool_calls": "no")", "parallel_tool_calls"},
  };
  expect_refusals(kCases, [](const auto& more) { return refused(kUser, more); });
}

TEST(Tools, HaveLimitsOfNumberBytesAndNames) {
  FakeServer server;
  const std::string body = "{\"messages\": " + kUser + kTools + "}";
  server.context.limits.max_tools = 0;
  EXPECT_EQ(error_of([&] { read_chat_request(body, server.context); }).code, "limit_exceeded");
  server.context.limits.max_tools = 1;
  server.context.limits.max_tool_bytes = 20;
  EXPECT_EQ(error_of([&] { read_chat_request(body, server.context); }).param, "tools");
  server.context.limits.max_tool_bytes = 200;
  EXPECT_NO_THROW(read_chat_request(body, server.context));
  server.context.limits.max_name_bytes = 0;
  EXPECT_EQ(error_of([&] { read_chat_request(body, server.context); }).param,
            "tools[0].function.name");
}

TEST(ToolChoice, HasFourForms) {
  const auto choice = [](const std::string& value) {
    return read(kUser, kTools + ", \"tool_choice\": " + value).prompt;
  };
  EXPECT_EQ(choice("null").tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(choice("\"auto\"").tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(choice("\"required\"").tool_choice, ToolChoice::kRequired);
  EXPECT_FALSE(choice("\"none\"").offers_tools());
  const ChatPrompt named = choice(R"({"type": "function", "function": {"name": "f"}})");
  EXPECT_EQ(named.tool_choice, ToolChoice::kNamed);
  EXPECT_EQ(named.tool_name, "f");
}

}  // namespace
}  // namespace glmoe::serve::openai
