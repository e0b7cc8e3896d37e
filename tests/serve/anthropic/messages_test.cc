#include <gmock/gmock.h>

#include "serve/anthropic/message_request.h"
#include "serve/fake_text.h"

namespace glmoe::serve::anthropic {
namespace {

using testing::error_of;
using testing::expect_refusals;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::WrongPart;

ChatPrompt read(const std::string& messages, const std::string& more = "") {
  const FakeServer server;
  return read_message_request("{\"max_tokens\": 5, \"messages\": " + messages + more + "}",
                              server.context)
      .prompt;
}
HttpError refused(const std::string& messages, const std::string& more = "") {
  return error_of([&] { read(messages, more); });
}
const std::string kUser = R"([{"role": "user", "content": "hi"}])";

TEST(Messages, BecomeOpenAisForm) {
  const ChatPrompt prompt = read(
      R"([{"role": "user", "content": [{"type": "text", "text": "a"},
                                       {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]},
          {"role": "assistant", "content": [
             {"type": "thinking", "thinking": "hm", "signature": "s"},
             {"type": "redacted_thinking", "data": "x"},
             {"type": "text", "text": "ok"},
             {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": 2}}]},
          {"role": "user", "content": [
             {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]},
             {"type": "tool_result", "tool_use_id": "t2", "is_error": true, "content": "bad"},
             {"type": "text", "text": "go on"}]}])",
      R"(, "system": [{"type": "text", "text": "s1"}, {"type": "text", "text": "s2"}])");
  EXPECT_EQ(prompt.messages, OrderedJson::parse(R"([
      {"role": "system", "content": "s1\ns2"},
      {"role": "user", "content": "a\nb"},
      {"role": "assistant", "content": "ok", "reasoning_content": "hm", "tool_calls": [
         {"id": "t1", "type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": 2}}}]},
      {"role": "tool", "content": "42", "tool_call_id": "t1"},
      {"role": "tool", "content": "bad", "tool_call_id": "t2"},
      {"role": "user", "content": "go on"}])"));
  EXPECT_FALSE(prompt.continue_final_message);
}

TEST(Messages, ContinueALastMessageOfTheAssistant) {
  const std::string prefill =
      R"([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "So"}])";
  EXPECT_TRUE(read(prefill).continue_final_message);
  EXPECT_EQ(refused(R"([{"role": "assistant", "content": ""}])").param, "messages[0]");
  EXPECT_EQ(refused(R"([{"role": "assistant", "content": [{"type": "text", "text": "x"},
               {"type": "tool_use", "id": "t", "name": "f", "input": {}}]}])")
                .param,
            "messages[0]");
  EXPECT_EQ(refused(prefill, R"(, "tools": [{"name": "f", "input_schema": {}}],
                                  "tool_choice": {"type": "any"})")
                .param,
            "tool_choice");
}

TEST(Messages, NameTheFieldThatIsWrong) {
  const WrongPart kCases[] = {
      {"{}", "messages"},
      {"[]", "messages"},
      {"[5]", "messages[0]"},
      {"[{}]", "messages[0].role"},
      {R"([{"role": "system", "content": "x"}])", "messages[0].role"},
      {R"([{"role": "user"}])", "messages[0].content"},
      {R"([{"role": "user", "content": 5}])", "messages[0].content"},
      {R"([{"role": "user", "content": []}])", "messages"},
      {R"([{"role": "user", "content": [5]}])", "messages[0].content[0]"},
      {R"([{"role": "user", "content": [{}]}])", "messages[0].content[0].type"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages[0].content[0].text"},
      {R"([{"role": "user", "content": [{"type": "image", "source": {}}]}])",
       "messages[0].content[0].type"},
      {R"([{"role": "user", "content": [{"type": "tool_use"}]}])", "messages[0].content[0].type"},
      {R"([{"role": "user", "content": [{"type": "tool_result"}]}])",
       "messages[0].content[0].tool_use_id"},
      {R"([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t",
            "content": [{"type": "image"}]}]}])",
       "messages[0].content[0].content[0].type"},
      {R"([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t",
            "is_error": "yes"}]}])",
       "messages[0].content[0].is_error"},
      {R"([{"role": "assistant", "content": [{"type": "tool_result"}]}])",
       "messages[0].content[0].type"},
      {R"([{"role": "assistant", "content": [{"type": "thinking"}]}])",
       "messages[0].content[0].thinking"},
      {R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]}])",
       "messages[0].content[0].input"},
      {R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f",
            "input": "x"}]}])",
       "messages[0].content[0].input"},
      {R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f f",
            "input": {}}]}])",
       "messages[0].content[0].name"},
  };
  expect_refusals(kCases, [](const auto& messages) { return refused(messages); });
  EXPECT_EQ(refused(kUser, R"(, "system": 5)").param, "system");
  EXPECT_EQ(refused(kUser, R"(, "system": [{"type": "image"}])").param, "system[0].type");
}

const std::string kTool =
    R"({"name": "f", "description": "d", "input_schema": {"type": "object"}})";
const std::string kTools = ", \"tools\": [" + kTool + "]";

TEST(Tools, BecomeOpenAisForm) {
  const ChatPrompt prompt = read(kUser, kTools);
  EXPECT_EQ(prompt.tools.dump(), R"([{"type":"function","function":{"name":"f","description":"d",)"
                                 R"("parameters":{"type":"object"}}}])");
  EXPECT_TRUE(prompt.parallel_tool_calls);
}

TEST(Tools, NameTheFieldThatIsWrong) {
  const WrongPart kCases[] = {
      {R"(, "tools": 5)", "tools"},
      {R"(, "tools": [{}])", "tools[0].name"},
      {R"(, "tools": [{"name": "f"}])", "tools[0].input_schema"},
      {R"(, "tools": [{"name": "f", "input_schema": []}])", "tools[0].input_schema"},
      {R"(, "tools": [{"name": "f", "description": 5, "input_schema": {}}])",
       "tools[0].description"},
      {R"(, "tools": [{"type": "web_search_20250305", "name": "web_search"}])", "tools[0].type"},
      {", \"tools\": [" + kTool + "," + kTool + "]", "tools[1].name"},
      {kTools + R"(, "tool_choice": "any")", "tool_choice"},
      {kTools + R"(, "tool_choice": {})", "tool_choice.type"},
      {kTools + R"(, "tool_choice": {"type": "required"})", "tool_choice.type"},
      {kTools + R"(, "tool_choice": {"type": "tool"})", "tool_choice.name"},
      {kTools + R"(, "tool_choice": {"type": "tool", "name": "g"})", "tool_choice.name"},
      {kTools + R"(, "tool_choice": {"type": "auto", "disable_parallel_tool_use": 1})",
       "tool_choice.disable_parallel_tool_use"},
      {R"(, "tool_choice": {"type": "any"})", "tool_choice"},
  };
  expect_refusals(kCases, [](const auto& more) { return refused(kUser, more); });
}

TEST(ToolChoice, HasFourForms) {
  const auto choice = [](const std::string& value) {
    return read(kUser, kTools + ", \"tool_choice\": " + value);
  };
  EXPECT_EQ(choice(R"({"type": "auto"})").tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(choice(R"({"type": "any"})").tool_choice, ToolChoice::kRequired);
  EXPECT_FALSE(choice(R"({"type": "none"})").offers_tools());
  EXPECT_EQ(choice(R"({"type": "tool", "name": "f"})").tool_name, "f");
  EXPECT_FALSE(
      choice(R"({"type": "auto", "disable_parallel_tool_use": true})").parallel_tool_calls);
}

TEST(Limits, HoldForMessagesAndTools) {
  FakeServer server;
  const std::string body = "{\"max_tokens\": 5, \"messages\": " + kUser + kTools + "}";
  EXPECT_NO_THROW(read_message_request(body, server.context));
  server.context.limits.max_tool_bytes = 5;
  EXPECT_EQ(error_of([&] { read_message_request(body, server.context); }).param, "tools");
  server.context.limits.max_tools = 0;
  EXPECT_EQ(error_of([&] { read_message_request(body, server.context); }).code, "limit_exceeded");
  server.context.limits.max_messages = 0;
  EXPECT_EQ(error_of([&] { read_message_request(body, server.context); }).param, "messages");
}

}  // namespace
}  // namespace glmoe::serve::anthropic
