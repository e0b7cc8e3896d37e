#include "step/sampling_resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

ResolvedSampling resolve(const SamplingParams& params, const SamplingDefaults& defaults = {}) {
  return resolve_sampling(params, defaults, 1000, 77);
}

std::string refusal(const std::function<void(SamplingParams&)>& change,
                    const SamplingDefaults& defaults = {}) {
  SamplingParams params;
  change(params);
  try {
    resolve(params, defaults);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ResolveSampling, FillsInTheDefaults) {
  const ResolvedSampling result = resolve({});
  EXPECT_EQ(result.temperature, 1.0f);
  EXPECT_EQ(result.top_k, 0);
  EXPECT_EQ(result.top_p, 1.0f);
  EXPECT_EQ(result.min_p, 0.0f);
  EXPECT_EQ(result.repetition_penalty, 1.0f);
  EXPECT_EQ(result.seed, 77u);
  EXPECT_EQ(result.stream, 0u);
  EXPECT_EQ(result.num_logprobs, -1);
  EXPECT_EQ(result.num_prompt_logprobs, -1);
}

TEST(ResolveSampling, TheModelsDefaultsStandBehindTheRequest) {
  const SamplingDefaults model{.do_sample = true,
                               .temperature = 0.6f,
                               .top_k = 5,
                               .top_p = 0.95f,
                               .min_p = 0.1f,
                               .repetition_penalty = 1.1f};
  const ResolvedSampling plain = resolve({}, model);
  EXPECT_EQ(plain.temperature, 0.6f);
  EXPECT_EQ(plain.top_k, 5);
  EXPECT_EQ(plain.top_p, 0.95f);
  EXPECT_EQ(plain.min_p, 0.1f);
  EXPECT_EQ(plain.repetition_penalty, 1.1f);
  SamplingParams params;
  params.temperature = 0.0f;
  params.top_k = 0;
  params.top_p = 1.0f;
  params.seed = 5;
  const ResolvedSampling asked = resolve(params, model);
  EXPECT_EQ(asked.temperature, 0.0f);
  EXPECT_EQ(asked.top_k, 0);
  params.top_k = -1;
  EXPECT_EQ(resolve(params, model).top_k, 0);
  EXPECT_EQ(asked.top_p, 1.0f);
  EXPECT_EQ(asked.seed, 5u);
}

TEST(ResolveSampling, WithoutDoSampleTheModelIsGreedyUnlessAskedOtherwise) {
  const SamplingDefaults model{.do_sample = false, .temperature = 0.7f};
  EXPECT_EQ(resolve({}, model).temperature, 0.0f);
  SamplingParams params;
  params.top_p = 0.5f;
  EXPECT_EQ(resolve(params, model).temperature, 0.7f);
  params = {};
  params.top_k = 4;
  EXPECT_EQ(resolve(params, {.do_sample = false}).temperature, 1.0f);
  params = {};
  params.temperature = 0.3f;
  EXPECT_EQ(resolve(params, model).temperature, 0.3f);
}

TEST(ResolveSampling, CarriesListsOver) {
  SamplingParams params;
  params.stop_token_ids = {0, 999};
  params.logit_bias = {{3, -100.0f}, {5, 100.0f}};
  params.logprobs = 20;
  params.prompt_logprobs = 0;
  params.min_tokens = 7;
  const ResolvedSampling result = resolve(params);
  EXPECT_THAT(result.stop_token_ids, ::testing::ElementsAre(0, 999));
  EXPECT_THAT(result.logit_bias,
              ::testing::ElementsAre(std::pair{3, -100.0f}, std::pair{5, 100.0f}));
  EXPECT_EQ(result.num_logprobs, 20);
  EXPECT_EQ(result.num_prompt_logprobs, 0);
  EXPECT_EQ(result.min_tokens, 7);
}

TEST(ResolveSampling, RefusesNumbersOutsideTheirRangeNamingFieldAndValue) {
  using P = SamplingParams;
  const std::vector<std::pair<std::string, std::function<void(P&, float)>>> fields = {
      {"temperature", [](P& p, float v) { p.temperature = v; }},
      {"top_p", [](P& p, float v) { p.top_p = v; }},
      {"min_p", [](P& p, float v) { p.min_p = v; }},
      {"repetition_penalty", [](P& p, float v) { p.repetition_penalty = v; }},
      {"presence_penalty", [](P& p, float v) { p.presence_penalty = v; }},
      {"frequency_penalty", [](P& p, float v) { p.frequency_penalty = v; }},
      {"logit_bias of token 3", [](P& p, float v) {
         p.logit_bias = {{3, v}};
       }}};
  const std::map<std::string, std::vector<float>> wrong = {
      {"temperature", {-0.001f, 100.5f}},
      {"top_p", {0.0f, -1.0f, 1.0001f}},
      {"min_p", {-0.1f, 1.1f}},
      {"repetition_penalty", {0.0f, -1.0f}},
      {"presence_penalty", {-2.1f, 2.1f}},
      {"frequency_penalty", {-2.1f, 2.1f}},
      {"logit_bias of token 3", {-101.0f, 100.5f}}};
  const std::map<std::string, std::vector<float>> right = {
      {"temperature", {0.0f, 100.0f}},
      {"top_p", {1e-6f, 1.0f}},
      {"min_p", {0.0f, 1.0f}},
      {"repetition_penalty", {0.01f, 5.0f}},
      {"presence_penalty", {-2.0f, 2.0f}},
      {"frequency_penalty", {-2.0f, 2.0f}},
      {"logit_bias of token 3", {-100.0f, 100.0f}}};
  for (const auto& [name, set] : fields) {
    std::vector<float> values = wrong.at(name);
    values.insert(values.end(), {kNan, kInf, -kInf});
    for (const float value : values) {
      const std::string message = refusal([&, s = set](P& p) { s(p, value); });
      EXPECT_THAT(message, HasSubstr(name + ": "));
      EXPECT_THAT(message, HasSubstr(fmt::format("found {}", value)));
    }
    for (const float value : right.at(name)) {
      EXPECT_EQ(refusal([&, s = set](P& p) { s(p, value); }), "nothing was thrown") << name;
    }
  }
}

TEST(ResolveSampling, RefusesCountsOutsideTheirRange) {
  using P = SamplingParams;
  EXPECT_THAT(refusal([](P& p) { p.max_tokens = 0; }), HasSubstr("max_tokens: at least 1"));
  EXPECT_THAT(refusal([](P& p) { p.min_tokens = -1; }), HasSubstr("min_tokens"));
  EXPECT_THAT(refusal([](P& p) { p.min_tokens = p.max_tokens + 1; }),
              HasSubstr("max_tokens (256)"));
  EXPECT_EQ(refusal([](P& p) { p.min_tokens = p.max_tokens; }), "nothing was thrown");
  EXPECT_THAT(refusal([](P& p) { p.n = 0; }), HasSubstr("n: a whole number from 1 to 128"));
  EXPECT_THAT(refusal([](P& p) { p.n = 129; }), HasSubstr("found 129"));
  EXPECT_THAT(refusal([](P& p) { p.top_k = -2; }), HasSubstr("top_k"));
  EXPECT_THAT(refusal([](P& p) { p.logprobs = 21; }), HasSubstr("logprobs"));
  EXPECT_THAT(refusal([](P& p) { p.logprobs = -1; }), HasSubstr("logprobs"));
  EXPECT_THAT(refusal([](P& p) { p.prompt_logprobs = 21; }), HasSubstr("prompt_logprobs"));
}

TEST(ResolveSampling, RefusesTokensOutsideTheVocabulary) {
  using P = SamplingParams;
  EXPECT_THAT(refusal([](P& p) { p.stop_token_ids = {5, 1000}; }), HasSubstr("found 1000"));
  EXPECT_THAT(refusal([](P& p) { p.stop_token_ids = {-1}; }), HasSubstr("stop_token_ids"));
  EXPECT_THAT(refusal([](P& p) { p.logit_bias = {{1000, 1.0f}}; }), HasSubstr("logit_bias"));
  EXPECT_THAT(refusal([](P& p) { p.logit_bias = {{-4, 1.0f}}; }), HasSubstr("found -4"));
}

TEST(ResolveSampling, RefusesBadStopStrings) {
  using P = SamplingParams;
  EXPECT_THAT(refusal([](P& p) { p.stop = {"a", ""}; }), HasSubstr("stop[1]"));
  EXPECT_THAT(refusal([](P& p) { p.stop.assign(17, "x"); }), HasSubstr("at most 16"));
  EXPECT_EQ(refusal([](P& p) { p.stop.assign(16, "x"); }), "nothing was thrown");
  EXPECT_THAT(refusal([](P& p) { p.stop = {std::string(1025, 'x')}; }), HasSubstr("found 1025"));
  EXPECT_EQ(refusal([](P& p) { p.stop = {std::string(1024, 'x')}; }), "nothing was thrown");
}

TEST(ResolveSampling, BlamesTheModelsFileForItsOwnMistakes) {
  EXPECT_THAT(refusal([](SamplingParams&) {}, {.top_p = 3.0f}),
              HasSubstr("top_p in generation_config.json"));
  EXPECT_THAT(refusal([](SamplingParams&) {}, {.top_k = -2}), HasSubstr("generation_config.json"));
  EXPECT_EQ(refusal([](SamplingParams& p) { p.top_p = 0.5f; }, {.top_p = 3.0f}),
            "nothing was thrown");
}

}  // namespace
}  // namespace glmoe
