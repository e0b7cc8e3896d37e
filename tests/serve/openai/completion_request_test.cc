#include "serve/openai/completion_request.h"

#include <gmock/gmock.h>

#include "serve/fake_text.h"

namespace glmoe::serve::openai {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::expect_refusals;
using testing::FakeServer;
using ::testing::SizeIs;
using testing::with_field;
using testing::WrongField;

const std::string kBody = R"({"prompt": "hi"})";

HttpError refused(const std::string& field, const std::string& value,
                  const std::string& body = kBody) {
  const FakeServer server;
  return error_of([&] { read_completion_call(with_field(body, field, value), server.context); });
}
ApiCall read(const std::string& field, const std::string& value, const std::string& body = kBody) {
  const FakeServer server;
  return read_completion_call(with_field(body, field, value), server.context);
}

TEST(CompletionRequest, RefusesWrongFieldsByName) {
  const WrongField kCases[] = {
      {"prompt", "", "prompt"},
      {"prompt", "null", "prompt"},
      {"prompt", "\"\"", "prompt"},
      {"prompt", "[]", "prompt"},
      {"prompt", "[[]]", "prompt[0]"},
      {"prompt", "[\"\"]", "prompt[0]"},
      {"prompt", "5", "prompt"},
      {"prompt", "{}", "prompt"},
      {"prompt", "[true]", "prompt[0]"},
      {"prompt", "[1, \"x\"]", "prompt[1]"},
      {"prompt", "[1, 300]", "prompt[1]"},
      {"prompt", "[-1]", "prompt[0]"},
      {"prompt", "[\"x\", 5]", "prompt[1]"},
      {"prompt", "[[1], 5]", "prompt[1]"},
      {"prompt", "[[1], [2.5]]", "prompt[1][0]"},
      {"max_tokens", "-1", "max_tokens"},
      {"max_tokens", "0", "max_tokens"},  // without echo
      {"echo", "1", "echo"},
      {"suffix", "\"x\"", "suffix"},
      {"suffix", "5", "suffix"},
      {"best_of", "2", "best_of"},
      {"best_of", "0", "best_of"},
      {"n", "0", "n"},
      {"n", "129", "n"},
      {"logprobs", "true", "logprobs"},
      {"logprobs", "21", "logprobs"},
      {"prompt_logprobs", "-1", "prompt_logprobs"},
      {"return_token_ids", "\"\"", "return_token_ids"},
  };
  expect_refusals(kCases,
                  [](const auto& field, const auto& value) { return refused(field, value); });
}

TEST(CompletionRequest, TakesTextAndTokenIdsOneOrMany) {
  EXPECT_THAT(read("prompt", "\"ab\"").requests[0].prompt.token_ids, ElementsAre('a', 'b'));
  EXPECT_THAT(read("prompt", "[7, 8]").requests[0].prompt.token_ids, ElementsAre(7, 8));
  const ApiCall texts = read("prompt", "[\"a\", \"b\"]");
  ASSERT_THAT(texts.requests, SizeIs(2));
  EXPECT_THAT(texts.requests[1].prompt.token_ids, ElementsAre('b'));
  const ApiCall ids = read("prompt", "[[1], [2, 3]]");
  ASSERT_THAT(ids.requests, SizeIs(2));
  EXPECT_THAT(ids.requests[1].prompt.token_ids, ElementsAre(2, 3));
  EXPECT_THAT(read("prompt", "\" \"").requests[0].prompt.token_ids, ElementsAre(' '));
}

TEST(CompletionRequest, GeneratesSixteenTokensUnlessToldOtherwise) {
  EXPECT_EQ(read("user", "\"x\"").requests[0].sampling.max_tokens, 16);
  EXPECT_EQ(read("max_tokens", "3").requests[0].sampling.max_tokens, 3);
  EXPECT_EQ(read("best_of", "2", with_field(kBody, "n", "2")).requests[0].sampling.n, 2);
}

TEST(CompletionRequest, AsksForThePromptsLogprobsWhereTheyAreEchoed) {
  const std::string echo = with_field(kBody, "echo", "true");
  const SamplingParams sampling = read("logprobs", "2", echo).requests[0].sampling;
  EXPECT_EQ(sampling.logprobs, 2);
  EXPECT_EQ(sampling.prompt_logprobs, 2);
  EXPECT_FALSE(read("logprobs", "2").requests[0].sampling.prompt_logprobs);
  EXPECT_EQ(refused("prompt_logprobs", "1", with_field(kBody, "stream", "true")).param,
            "prompt_logprobs");
  // max_tokens 0 scores the prompt; the engine generates one token that is not shown.
  EXPECT_EQ(read("max_tokens", "0", echo).requests[0].sampling.max_tokens, 1);
}

TEST(CompletionRequest, KeepsToTheLimitsOfTheServer) {
  FakeServer server;
  server.context.limits.max_prompts = 2;
  EXPECT_EQ(error_of([&] {
              read_completion_call(with_field(kBody, "prompt", "[\"a\", \"b\", \"c\"]"),
                                   server.context);
            }).code,
            "limit_exceeded");
  server.context.limits.max_generated_tokens = 63;
  EXPECT_EQ(error_of([&] {
              read_completion_call(
                  with_field(with_field(kBody, "prompt", "[\"a\", \"b\"]"), "n", "2"),
                  server.context);
            }).param,
            "max_tokens");
  server.context.max_model_len = 2;
  EXPECT_EQ(error_of([&] { read_completion_call(kBody, server.context); }).code,
            "context_length_exceeded");
  EXPECT_EQ(error_of([&] {
              read_completion_call(with_field(kBody, "prompt", "[1, 2]"), server.context);
            }).code,
            "context_length_exceeded");
}

}  // namespace
}  // namespace glmoe::serve::openai
