#include "serve/anthropic/message_request.h"

#include <gmock/gmock.h>

#include "serve/fake_text.h"

namespace glmoe::serve::anthropic {
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

const std::string kBody = R"({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})";

MessageRequest read(const std::string& field, const std::string& value) {
  const FakeServer server;
  return read_message_request(with_field(kBody, field, value), server.context);
}
HttpError refused(const std::string& field, const std::string& value) {
  return error_of([&] { read(field, value); });
}

TEST(MessageRequest, RefusesWrongFieldsByName) {
  const WrongField kCases[] = {
      {"max_tokens", "", "max_tokens"},
      {"max_tokens", "0", "max_tokens"},
      {"max_tokens", "\"9\"", "max_tokens"},
      {"messages", "", "messages"},
      {"stop_sequences", "5", "stop_sequences"},
      {"stop_sequences", "[5]", "stop_sequences[0]"},
      {"stop_sequences", "[\"\"]", "stop_sequences[0]"},
      {"thinking", "true", "thinking"},
      {"thinking", "{}", "thinking.type"},
      {"thinking", "{\"type\": \"on\"}", "thinking.type"},
      {"thinking", "{\"type\": \"enabled\", \"budget_tokens\": \"x\"}", "thinking.budget_tokens"},
      {"mcp_servers", "[{}]", "mcp_servers"},
      {"container", "\"x\"", "container"},
      {"output_config", "{\"format\": {\"type\": \"json_schema\"}}", "output_config.format"},
  };
  expect_refusals(kCases, refused);
}

TEST(MessageRequest, ThinksOnlyWhereAskedTo) {
  EXPECT_EQ(read("metadata", "{}").prompt.enable_thinking, false);
  EXPECT_EQ(read("thinking", R"({"type": "disabled"})").prompt.enable_thinking, false);
  EXPECT_EQ(read("thinking", R"({"type": "adaptive"})").prompt.enable_thinking, true);
  const MessageRequest enabled = read("thinking", R"({"type": "enabled", "budget_tokens": 2048})");
  EXPECT_EQ(enabled.prompt.enable_thinking, true);
  EXPECT_THAT(enabled.warnings, ElementsAre(HasSubstr("budget_tokens")));
}

TEST(MessageRequest, IgnoresWhatHasNoPlaceHere) {
  EXPECT_THAT(read("metadata", R"({"user_id": "u"})").warnings, IsEmpty());
  EXPECT_THAT(read("service_tier", "\"auto\"").warnings, IsEmpty());
  EXPECT_THAT(read("mcp_servers", "[]").warnings, IsEmpty());
  EXPECT_THAT(read("odd", "1").warnings, ElementsAre(HasSubstr("odd")));
  EXPECT_THAT(read("stop_sequences", "[\"END\"]").request.sampling.stop, ElementsAre("END"));
}

TEST(MessagesCall, EncodesThePrompt) {
  const FakeServer server;
  const ApiCall call = read_messages_call(with_field(kBody, "stream", "true"), server.context);
  EXPECT_TRUE(call.stream);
  ASSERT_THAT(call.requests, SizeIs(1));
  EXPECT_EQ(call.requests[0].sampling.max_tokens, 9);
  EXPECT_EQ(server.text.detokenize(call.requests[0].prompt.token_ids),
            "<|user|>\nhi<|assistant|>\n<think></think>");
}

TEST(CountTokens, NeedsNoMaxTokensAndCountsWhatAMessageWouldCost) {
  FakeServer server;
  const std::string body = with_field(kBody, "max_tokens", "");
  const auto wanted = read_messages_call(kBody, server.context).requests[0].prompt.token_ids.size();
  EXPECT_EQ(count_tokens_body(body, server.context),
            "{\"input_tokens\":" + std::to_string(wanted) + "}");
  server.context.max_model_len = 5;  // it may be longer than the context
  EXPECT_EQ(count_tokens_body(body, server.context),
            "{\"input_tokens\":" + std::to_string(wanted) + "}");
  EXPECT_EQ(error_of([&] { count_tokens_body("{}", server.context); }).param, "messages");
}

}  // namespace
}  // namespace glmoe::serve::anthropic
