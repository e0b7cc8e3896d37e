#include "serve/openai/chat_request.h"

#include <gmock/gmock.h>

#include "serve/fake_text.h"

namespace glmoe::serve::openai {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::expect_refusals;
using testing::FakeServer;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::with_field;
using testing::WrongField;

const std::string kBody = R"({"messages": [{"role": "user", "content": "hi"}]})";

ChatRequest read(const std::string& field, const std::string& value,
                 const std::string& body = kBody) {
  const FakeServer server;
  return read_chat_request(with_field(body, field, value), server.context);
}
HttpError refused(const std::string& field, const std::string& value,
                  const std::string& body = kBody) {
  return error_of([&] { read(field, value, body); });
}

TEST(ChatRequest, RefusesWrongFieldsByName) {
  const WrongField kCases[] = {
      {"messages", "", "messages"},
      {"max_tokens", "0", "max_tokens"},
      {"max_tokens", "-1", "max_tokens"},
      {"max_tokens", "\"5\"", "max_tokens"},
      {"max_completion_tokens", "0", "max_completion_tokens"},
      {"max_completion_tokens", "1.5", "max_completion_tokens"},
      {"n", "0", "n"},
      {"n", "129", "n"},
      {"n", "\"2\"", "n"},
      {"logprobs", "5", "logprobs"},
      {"top_logprobs", "5", "top_logprobs"},  // without logprobs
      {"top_logprobs", "21", "top_logprobs"},
      {"top_logprobs", "-1", "top_logprobs"},
      {"prompt_logprobs", "21", "prompt_logprobs"},
      {"prompt_logprobs", "true", "prompt_logprobs"},
      {"include_reasoning", "\"no\"", "include_reasoning"},
      {"return_token_ids", "1", "return_token_ids"},
      {"reasoning_effort", "5", "reasoning_effort"},
      {"reasoning_effort", "\"extreme\"", "reasoning_effort"},
      {"thinking", "true", "thinking"},
      {"thinking", "{\"type\": \"maybe\"}", "thinking.type"},
      {"add_generation_prompt", "1", "add_generation_prompt"},
      {"continue_final_message", "1", "continue_final_message"},
      {"continue_final_message", "true", "continue_final_message"},  // the last is the user's
      {"chat_template_kwargs", "5", "chat_template_kwargs"},
  };
  expect_refusals(kCases,
                  [](const auto& field, const auto& value) { return refused(field, value); });
}

TEST(ChatRequest, TakesTheWholeContextUnlessToldOtherwise) {
  EXPECT_EQ(read("user", "\"x\"").request.sampling.max_tokens, 4096);
  EXPECT_EQ(read("max_tokens", "7").request.sampling.max_tokens, 7);
  EXPECT_EQ(read("max_completion_tokens", "8").request.sampling.max_tokens, 8);
  EXPECT_EQ(read("max_completion_tokens", "8", with_field(kBody, "max_tokens", "7"))
                .request.sampling.max_tokens,
            8);
}

TEST(ChatRequest, ReadsLogprobs) {
  EXPECT_FALSE(read("logprobs", "false").request.sampling.logprobs);
  EXPECT_EQ(read("logprobs", "true").request.sampling.logprobs, 0);
  EXPECT_EQ(read("top_logprobs", "3", with_field(kBody, "logprobs", "true")).num_top_logprobs, 3);
  EXPECT_EQ(read("prompt_logprobs", "2").request.sampling.prompt_logprobs, 2);
  EXPECT_EQ(refused("prompt_logprobs", "2", with_field(kBody, "stream", "true")).param,
            "prompt_logprobs");
}

TEST(ChatRequest, SwitchesThinkingByAnyOfThreeFields) {
  EXPECT_FALSE(read("user", "\"x\"").prompt.enable_thinking);
  EXPECT_EQ(read("reasoning_effort", "\"none\"").prompt.enable_thinking, false);
  EXPECT_FALSE(read("reasoning_effort", "\"high\"").prompt.enable_thinking);
  EXPECT_EQ(read("thinking", R"({"type": "disabled"})").prompt.enable_thinking, false);
  EXPECT_EQ(read("thinking", R"({"type": "enabled"})").prompt.enable_thinking, true);
  const std::string kwargs =
      with_field(kBody, "chat_template_kwargs", R"({"enable_thinking": true})");
  EXPECT_EQ(read("reasoning_effort", "\"none\"", kwargs).prompt.enable_thinking, true);
}

TEST(ChatRequest, ContinuesAnAssistantsMessageOnly) {
  const std::string assistant =
      R"({"continue_final_message": true, "messages": [{"role": "assistant", "content": "So"}]})";
  EXPECT_TRUE(read("user", "\"x\"", assistant).prompt.continue_final_message);
  EXPECT_EQ(refused("add_generation_prompt", "true", assistant).param, "continue_final_message");
  EXPECT_EQ(refused("messages", R"([{"role": "assistant", "content": ""}])", assistant).param,
            "continue_final_message");
  const std::string with_tools =
      with_field(assistant, "tools", R"([{"type": "function", "function": {"name": "f"}}])");
  EXPECT_EQ(refused("tool_choice", "\"required\"", with_tools).param, "continue_final_message");
}

TEST(ChatRequest, WarnsOfUnknownFieldsAndIgnoresKnownOnes) {
  EXPECT_THAT(read("user", "\"x\"").warnings, IsEmpty());
  EXPECT_THAT(read("metadata", R"({"a": "b"})").warnings, IsEmpty());
  EXPECT_THAT(read("temperatur", "5").warnings, ElementsAre(HasSubstr("temperatur")));
}

TEST(ChatCall, HoldsOneRequestWithTheEncodedPrompt) {
  const FakeServer server;
  const ApiCall call =
      read_chat_call(with_field(with_field(kBody, "n", "2"), "stream", "true"), server.context);
  EXPECT_TRUE(call.stream);
  ASSERT_THAT(call.requests, SizeIs(1));
  EXPECT_EQ(call.requests[0].sampling.n, 2);
  EXPECT_EQ(server.text.detokenize(call.requests[0].prompt.token_ids), "<|user|>\nhi<|assistant|>");
}

TEST(ChatCall, RefusesAPromptThatFillsTheContext) {
  FakeServer server;
  server.context.max_model_len = 5;  // the prompt's tokens
  const HttpError error = error_of([&] { read_chat_call(kBody, server.context); });
  EXPECT_EQ(error.code, "context_length_exceeded");
  EXPECT_EQ(error.param, "messages");
  server.context.max_model_len = 6;
  EXPECT_NO_THROW(read_chat_call(kBody, server.context));
}

TEST(ChatCall, RefusesMoreAnswersThanTheServerAllows) {
  FakeServer server;
  server.context.limits.max_answers = 2;
  EXPECT_EQ(error_of([&] { read_chat_call(with_field(kBody, "n", "3"), server.context); }).param,
            "n");
}

}  // namespace
}  // namespace glmoe::serve::openai
