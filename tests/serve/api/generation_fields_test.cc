// The sampling fields through the end points that have them: types, ranges, limits, refusals.
#include "serve/api/generation_fields.h"

#include <gmock/gmock.h>

#include "serve/anthropic/message_request.h"
#include "serve/fake_text.h"
#include "serve/openai/chat_request.h"
#include "serve/openai/completion_request.h"

namespace glmoe::serve {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::with_field;

const std::string kChat = R"({"messages": [{"role": "user", "content": "hi"}]})";
const std::string kCompletion = R"({"prompt": "hi"})";
const std::string kMessage =
    R"({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})";

SamplingParams sampling_of(const std::string& field, const std::string& value) {
  const FakeServer server;
  return openai::read_chat_request(with_field(kChat, field, value), server.context)
      .request.sampling;
}

struct Bad {
  const char* field;
  const char* value;
  const char* param;  // nullptr: the field itself
};

// Every field with wrong types and with values just outside its range.
const Bad kBad[] = {
    {"model", "5", nullptr},
    {"temperature", "\"1\"", nullptr},
    {"temperature", "-0.1", nullptr},
    {"temperature", "100.5", nullptr},
    {"temperature", "1e308", nullptr},
    {"temperature", "[1]", nullptr},
    {"top_p", "0", nullptr},
    {"top_p", "1.01", nullptr},
    {"top_p", "true", nullptr},
    {"top_p", "1e-300", nullptr},
    {"top_k", "-2", nullptr},
    {"top_k", "1.5", nullptr},
    {"top_k", "\"5\"", nullptr},
    {"min_p", "-0.1", nullptr},
    {"min_p", "1.1", nullptr},
    {"min_p", "{}", nullptr},
    {"repetition_penalty", "0", nullptr},
    {"repetition_penalty", "101", nullptr},
    {"repetition_penalty", "\"x\"", nullptr},
    {"presence_penalty", "2.1", nullptr},
    {"presence_penalty", "[]", nullptr},
    {"frequency_penalty", "-2.1", nullptr},
    {"frequency_penalty", "false", nullptr},
    {"seed", "\"1\"", nullptr},
    {"seed", "1.5", nullptr},
    {"seed", "1e30", nullptr},
    {"min_tokens", "-1", nullptr},
    {"min_tokens", "\"1\"", nullptr},
    {"min_tokens", "5000", nullptr},
    {"ignore_eos", "1", nullptr},
    {"skip_special_tokens", "\"true\"", nullptr},
    {"include_stop_str_in_output", "0", nullptr},
    {"stop_token_ids", "5", nullptr},
    {"stop_token_ids", "[300]", "stop_token_ids[0]"},
    {"stop_token_ids", "[1, -1]", "stop_token_ids[1]"},
    {"stop_token_ids", "[\"1\"]", "stop_token_ids[0]"},
    {"logit_bias", "[]", nullptr},
    {"logit_bias", "{\"x\": 1}", nullptr},
    {"logit_bias", "{\"-1\": 1}", nullptr},
    {"logit_bias", "{\"1x\": 1}", nullptr},
    {"logit_bias", "{\"300\": 1}", nullptr},
    {"logit_bias", "{\"99999999999999\": 1}", nullptr},
    {"logit_bias", "{\"5\": 101}", "logit_bias.5"},
    {"logit_bias", "{\"5\": \"1\"}", "logit_bias.5"},
    {"stream", "\"true\"", nullptr},
    {"stream", "1", nullptr},
    {"priority", "2147483648", nullptr},
    {"priority", "-2147483649", nullptr},
    {"priority", "\"high\"", nullptr},
    {"timeout", "0", nullptr},
    {"timeout", "-1", nullptr},
    {"timeout", "1e6", nullptr},
    {"timeout", "\"5\"", nullptr},
    {"cache_salt", "5", nullptr},
};

TEST(GenerationFields, RefuseWrongTypesAndRangesInEveryApi) {
  const FakeServer server;
  for (const Bad& bad : kBad) {
    const std::string param = bad.param != nullptr ? bad.param : bad.field;
    const std::string what = std::string(bad.field) + " = " + bad.value;
    const HttpError errors[] = {
        error_of([&] {
          openai::read_chat_request(with_field(kChat, bad.field, bad.value), server.context);
        }),
        error_of([&] {
          const std::string body = with_field(kCompletion, bad.field, bad.value);
          openai::read_completion_request(body, server.context);
        }),
        error_of([&] {
          anthropic::read_message_request(with_field(kMessage, bad.field, bad.value),
                                          server.context);
        })};
    for (const HttpError& error : errors) {
      EXPECT_EQ(error.status, 400) << what;
      EXPECT_EQ(error.param, param) << what << ": " << error.message;
      EXPECT_THAT(error.message, HasSubstr(bad.field)) << what;
    }
  }
}

TEST(GenerationFields, AreReadAsTheyStand) {
  EXPECT_FLOAT_EQ(*sampling_of("temperature", "0.25").temperature, 0.25f);
  EXPECT_FALSE(sampling_of("temperature", "null").temperature);
  EXPECT_FLOAT_EQ(*sampling_of("temperature", "-0.0").temperature, 0.0f);
  EXPECT_FLOAT_EQ(*sampling_of("top_p", "1").top_p, 1.0f);
  EXPECT_EQ(sampling_of("top_k", "40").top_k, 40);
  EXPECT_EQ(sampling_of("top_k", "-1").top_k, -1);
  EXPECT_FLOAT_EQ(*sampling_of("min_p", "0.1").min_p, 0.1f);
  EXPECT_FLOAT_EQ(*sampling_of("repetition_penalty", "1.5").repetition_penalty, 1.5f);
  EXPECT_FLOAT_EQ(sampling_of("presence_penalty", "-2").presence_penalty, -2.0f);
  EXPECT_FLOAT_EQ(sampling_of("frequency_penalty", "2").frequency_penalty, 2.0f);
  EXPECT_EQ(sampling_of("seed", "18446744073709551615").seed, UINT64_MAX);
  EXPECT_EQ(sampling_of("seed", "-7").seed, static_cast<uint64_t>(-7));
  EXPECT_FALSE(sampling_of("seed", "-1").seed);  // a random one
  EXPECT_EQ(sampling_of("min_tokens", "3").min_tokens, 3);
  EXPECT_TRUE(sampling_of("ignore_eos", "true").ignore_eos);
  EXPECT_FALSE(sampling_of("skip_special_tokens", "false").skip_special_tokens);
  EXPECT_TRUE(sampling_of("include_stop_str_in_output", "true").include_stop_str_in_output);
  EXPECT_THAT(sampling_of("stop_token_ids", "[3, 299]").stop_token_ids, ElementsAre(3, 299));
  EXPECT_FLOAT_EQ(sampling_of("logit_bias", "{\"7\": -100}").logit_bias.at(7), -100.0f);
  EXPECT_THAT(sampling_of("stop", "\"END\"").stop, ElementsAre("END"));
  EXPECT_THAT(sampling_of("stop", "[\"a\", \"b\"]").stop, ElementsAre("a", "b"));
}

TEST(Stop, IsAStringOrAFewStrings) {
  const FakeServer server;
  const auto refused = [&](const std::string& value) {
    return error_of(
        [&] { openai::read_chat_request(with_field(kChat, "stop", value), server.context); });
  };
  EXPECT_EQ(refused("5").code, "invalid_type");
  EXPECT_EQ(refused("\"\"").code, "invalid_value");
  EXPECT_EQ(refused("[\"a\", 5]").param, "stop[1]");
  EXPECT_EQ(refused("[\"a\", \"\"]").param, "stop[1]");
  EXPECT_EQ(refused(OrderedJson(std::vector<std::string>(17, "x")).dump()).code, "limit_exceeded");
  EXPECT_EQ(refused(OrderedJson(std::string(1025, 'x')).dump()).code, "limit_exceeded");
  EXPECT_NO_THROW(openai::read_chat_request(
      with_field(kChat, "stop", OrderedJson(std::vector<std::string>(16, "x")).dump()),
      server.context));
}

TEST(LogitBias, HasALimitOfEntries) {
  FakeServer server;
  server.context.limits.max_logit_biases = 2;
  EXPECT_NO_THROW(openai::read_chat_request(with_field(kChat, "logit_bias", R"({"1": 0, "2": 0})"),
                                            server.context));
  EXPECT_EQ(error_of([&] {
              openai::read_chat_request(
                  with_field(kChat, "logit_bias", R"({"1": 0, "2": 0, "3": 0})"), server.context);
            }).code,
            "limit_exceeded");
}

TEST(Model, IsOneOfTheServedNames) {
  const FakeServer server;
  EXPECT_EQ(openai::read_chat_request(kChat, server.context).model, "glm");
  const std::string alias = with_field(kChat, "model", "\"glm-alias\"");
  EXPECT_EQ(openai::read_chat_request(alias, server.context).model, "glm-alias");
  const HttpError error = error_of(
      [&] { openai::read_chat_request(with_field(kChat, "model", "\"gpt-4\""), server.context); });
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.code, "model_not_found");
  EXPECT_THAT(error.message, HasSubstr("glm, glm-alias"));
}

TEST(Scheduling, TakesTheServersLimitAsDefaultAndMaximum) {
  FakeServer server;
  const auto timeout_ms = [&](const std::string& value) {
    return openai::read_chat_request(with_field(kChat, "timeout", value), server.context)
        .request.timeout_ms;
  };
  EXPECT_EQ(timeout_ms("null"), 0.0);
  EXPECT_EQ(timeout_ms("2.5"), 2500.0);
  server.context.limits.max_timeout_s = 10.0;
  EXPECT_EQ(timeout_ms("null"), 10000.0);
  EXPECT_EQ(timeout_ms("3"), 3000.0);
  EXPECT_EQ(timeout_ms("60"), 10000.0);
  const auto request = [&](const char* field, const std::string& value) {
    return openai::read_chat_request(with_field(kChat, field, value), server.context).request;
  };
  EXPECT_EQ(request("priority", "-5").priority, -5);
  EXPECT_EQ(request("cache_salt", "\"team\"").cache_salt, "team");
  server.context.limits.max_cache_salt_bytes = 3;
  EXPECT_EQ(error_of([&] { request("cache_salt", "\"team\""); }).code, "limit_exceeded");
}

TEST(Unsupported, IsRefusedWithAReasonUnlessItAsksForNothing) {
  const FakeServer server;
  for (const char* const field : {"structured_outputs",
                                  "guided_json",
                                  "guided_regex",
                                  "guided_choice",
                                  "guided_grammar",
                                  "json_schema",
                                  "grammar",
                                  "regex",
                                  "ebnf",
                                  "structural_tag",
                                  "bad_words",
                                  "allowed_token_ids",
                                  "logits_processors",
                                  "custom_logit_processor",
                                  "use_beam_search",
                                  "prompt_embeds",
                                  "truncate_prompt_tokens",
                                  "thinking_token_budget",
                                  "stop_regex",
                                  "chat_template",
                                  "documents",
                                  "functions",
                                  "function_call",
                                  "audio",
                                  "web_search_options"}) {
    const HttpError error = error_of(
        [&] { openai::read_chat_request(with_field(kChat, field, "{\"a\": 1}"), server.context); });
    EXPECT_EQ(error.code, "unsupported_parameter") << field;
    EXPECT_EQ(error.param, field);
    for (const char* const nothing : {"null", "false", "[]", "{}", "\"\""}) {
      EXPECT_NO_THROW(openai::read_chat_request(with_field(kChat, field, nothing), server.context))
          << field << " = " << nothing;
    }
  }
}

TEST(ResponseFormat, IsTextOnly) {
  const FakeServer server;
  const auto read = [&](const std::string& value) {
    openai::read_chat_request(with_field(kChat, "response_format", value), server.context);
  };
  EXPECT_NO_THROW(read(R"({"type": "text"})"));
  for (const char* const type : {"json_object", "json_schema"}) {
    const HttpError error = error_of([&] { read("{\"type\": \"" + std::string(type) + "\"}"); });
    EXPECT_EQ(error.param, "response_format.type");
    EXPECT_THAT(error.message, HasSubstr("not supported yet"));
  }
  EXPECT_EQ(error_of([&] { read("\"text\""); }).param, "response_format");
  EXPECT_EQ(error_of([&] { read("{}"); }).param, "response_format.type");
}

TEST(StreamOptions, BelongToStreams) {
  const FakeServer server;
  const std::string streamed = with_field(kChat, "stream", "true");
  const StreamFields fields =
      openai::read_chat_request(
          with_field(streamed, "stream_options",
                     R"({"include_usage": true, "continuous_usage_stats": true})"),
          server.context)
          .stream;
  EXPECT_TRUE(fields.stream && fields.include_usage && fields.continuous_usage);
  const auto refused = [&](const std::string& body, const std::string& value) {
    return error_of([&] {
      openai::read_chat_request(with_field(body, "stream_options", value), server.context);
    });
  };
  EXPECT_EQ(refused(kChat, R"({"include_usage": true})").param, "stream_options");
  EXPECT_EQ(refused(streamed, "true").param, "stream_options");
  EXPECT_EQ(refused(streamed, R"({"include_usage": 1})").param, "stream_options.include_usage");
}

TEST(GeneratedTokens, HaveALimitForOneRequest) {
  FakeServer server;
  server.context.limits.max_generated_tokens = 1000;
  const std::string body = with_field(kChat, "n", "10");
  EXPECT_NO_THROW(openai::read_chat_request(with_field(body, "max_tokens", "100"), server.context));
  const HttpError error = error_of(
      [&] { openai::read_chat_request(with_field(body, "max_tokens", "101"), server.context); });
  EXPECT_EQ(error.code, "limit_exceeded");
  EXPECT_EQ(error.param, "max_tokens");
  // Without a limit of its own an answer may take the whole context.
  EXPECT_EQ(error_of([&] { openai::read_chat_request(kChat, server.context); }).param,
            "max_tokens");
}

}  // namespace
}  // namespace glmoe::serve
