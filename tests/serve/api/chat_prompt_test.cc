#include "serve/api/chat_prompt.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "serve/fake_text.h"

namespace glmoe::serve {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::error_of;
using testing::FakeServer;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

ChatPrompt chat(const std::string& messages = R"([{"role": "user", "content": "hi"}])") {
  ChatPrompt prompt;
  prompt.messages = OrderedJson::parse(messages);
  return prompt;
}

ChatPrompt with_tool() {
  ChatPrompt prompt = chat();
  prompt.tools = OrderedJson::parse(R"([{"type": "function", "function": {"name": "add"}}])");
  return prompt;
}

std::string ending(const std::string& text) { return text.substr(text.find("hi") + 2); }

TEST(ForcedCall, BeginsAsTheTemplateWritesCalls) {
  FakeServer server;
  ChatPrompt prompt = with_tool();
  prompt.tool_choice = ToolChoice::kNamed;
  prompt.tool_name = "add";
  EXPECT_EQ(ending(render_prompt(prompt, server.context)),
            "<|assistant|>\n<think></think>\n\n<tool_call>add\n");
  prompt.tool_choice = ToolChoice::kRequired;
  EXPECT_EQ(ending(render_prompt(prompt, server.context)),
            "<|assistant|>\n<think></think>\n\n<tool_call>");
  server.text.glm47 = true;
  EXPECT_EQ(ending(render_prompt(prompt, server.context)), "<|assistant|></think><tool_call>");
  prompt.tool_choice = ToolChoice::kNamed;
  EXPECT_EQ(ending(render_prompt(prompt, server.context)), "<|assistant|></think><tool_call>add");
  EXPECT_EQ(server.text.detokenize(encode_prompt(prompt, server.context)),
            render_prompt(prompt, server.context));
}

TEST(ForcedCall, IsRefusedWhereTheTemplateDoesNotWriteCalls) {
  FakeServer server;
  server.text.writes_calls = false;
  ChatPrompt prompt = with_tool();
  prompt.tool_choice = ToolChoice::kRequired;
  try {
    encode_prompt(prompt, server.context);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("tool_choice"));
  }
}

TEST(Tools, StandInThePromptUnlessTheChoiceIsNone) {
  const FakeServer server;
  ChatPrompt prompt = with_tool();
  EXPECT_THAT(render_prompt(prompt, server.context), HasSubstr("add"));
  EXPECT_TRUE(parser_options(prompt, server.context).parse_tools);
  EXPECT_THAT(parser_options(prompt, server.context).tools_json, HasSubstr("add"));
  prompt.tool_choice = ToolChoice::kNone;
  EXPECT_THAT(render_prompt(prompt, server.context), Not(HasSubstr("add")));
  EXPECT_FALSE(parser_options(prompt, server.context).parse_tools);
  EXPECT_FALSE(parser_options(chat(), server.context).parse_tools);
}

TEST(ParserOptions, FollowTheServersSwitches) {
  FakeServer server;
  server.context.parse_reasoning = false;
  server.context.parse_tools = false;
  EXPECT_FALSE(parser_options(with_tool(), server.context).parse_reasoning);
  EXPECT_FALSE(parser_options(with_tool(), server.context).parse_tools);
}

TEST(OneCall, StopsAtTheEndOfTheFirst) {
  const FakeServer server;
  ChatPrompt prompt = with_tool();
  SamplingParams sampling;
  stop_after_one_call(prompt, server.context, sampling);
  EXPECT_THAT(sampling.stop_token_ids, IsEmpty());
  prompt.parallel_tool_calls = false;
  stop_after_one_call(prompt, server.context, sampling);
  EXPECT_THAT(sampling.stop_token_ids, ElementsAre(263));
  sampling = {};
  prompt.tool_choice = ToolChoice::kNone;
  stop_after_one_call(prompt, server.context, sampling);
  EXPECT_THAT(sampling.stop_token_ids, IsEmpty());
}

TEST(ContinuedMessage, GoesOnWhereItsContentEnds) {
  FakeServer server;
  ChatPrompt prompt = chat(R"([{"role": "user", "content": "hi"},
                               {"role": "assistant", "content": "The answer is "}])");
  prompt.continue_final_message = true;
  EXPECT_EQ(ending(server.text.detokenize(encode_prompt(prompt, server.context))),
            "<|assistant|>\n<think></think>\nThe answer is ");
}

TEST(Prompt, IsRefusedByItsBytesBeforeItIsTokenised) {
  FakeServer server;
  server.context.max_model_len = 10;
  server.context.limits.max_bytes_per_token = 2;
  const std::string text(21, 'x');
  const ChatPrompt prompt = chat("[{\"role\": \"user\", \"content\": \"" + text + "\"}]");
  EXPECT_EQ(error_of([&] { encode_prompt(prompt, server.context); }).code,
            "context_length_exceeded");
}

TEST(Prompt, ThatTheTemplateRefusesIsTheClientsMistake) {
  const FakeServer server;
  const ChatPrompt prompt = chat(R"([{"role": "user", "content": "refuse me"}])");
  const HttpError error = error_of([&] { encode_prompt(prompt, server.context); });
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, "messages");
}

ChatPrompt read_kwargs(const std::string& kwargs, const ServeLimits& limits = {}) {
  const OrderedJson json = OrderedJson::parse("{\"chat_template_kwargs\": " + kwargs + "}");
  Fields fields(json, "");
  ChatPrompt prompt;
  read_template_kwargs(fields, limits, prompt);
  return prompt;
}

TEST(TemplateKwargs, AreCheckedForNamesNumberSizeAndDepth) {
  const ChatPrompt prompt = read_kwargs(R"({"enable_thinking": false, "clear_thinking": false})");
  EXPECT_EQ(prompt.enable_thinking, false);
  EXPECT_EQ(prompt.template_kwargs_json, R"({"clear_thinking":false})");
  EXPECT_EQ(read_kwargs(R"({"enable_thinking": true})").template_kwargs_json, "");

  const auto refused = [](const std::string& kwargs, const ServeLimits& limits = {}) {
    return error_of([&] { read_kwargs(kwargs, limits); });
  };
  EXPECT_EQ(refused("[]").param, "chat_template_kwargs");
  EXPECT_EQ(refused(R"({"enable_thinking": "no"})").param, "chat_template_kwargs.enable_thinking");
  EXPECT_EQ(refused(R"({"a b": 1})").param, "chat_template_kwargs");
  EXPECT_EQ(refused(R"({"": 1})").param, "chat_template_kwargs");
  EXPECT_EQ(refused(R"({"1a": 1})").param, "chat_template_kwargs");
  EXPECT_EQ(refused(R"({"a": [[[[1]]]]})").code, "limit_exceeded");
  EXPECT_NO_THROW(read_kwargs(R"({"a": [[[1]]]})"));
  EXPECT_EQ(refused(R"({"a": 1, "b": 2})", {.max_template_kwargs = 1}).code, "limit_exceeded");
  EXPECT_EQ(refused(R"({"a": "12345678"})", {.max_template_kwargs_bytes = 12}).code,
            "limit_exceeded");
}

}  // namespace
}  // namespace glmoe::serve
