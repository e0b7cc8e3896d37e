// The plain sampler that the GPU's kernels are compared with gives what this room's sampler gives.
// Mirrors: src/sample/sampler.cc
#include "kernels/cuda/sample/host_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/sample/cases.h"
#include "sample/sampler.h"

namespace glmoe {
namespace {

using testing::HostLogprob;
using testing::HostOutcome;
using testing::HostSampler;
using testing::HostSampling;
using testing::HostStatus;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SequenceStart start_of(const HostSampling& s) {
  return {.id = 1,
          .sampling = {.temperature = s.temperature,
                       .top_k = s.top_k,
                       .top_p = s.top_p,
                       .min_p = s.min_p,
                       .repetition_penalty = s.repetition_penalty,
                       .presence_penalty = s.presence_penalty,
                       .frequency_penalty = s.frequency_penalty,
                       .seed = s.seed,
                       .stream = s.stream,
                       .logit_bias = s.bias,
                       .min_tokens = s.min_tokens,
                       .stop_token_ids = s.stop_ids,
                       .num_logprobs = s.num_logprobs,
                       .num_prompt_logprobs = s.num_logprobs},
          .prompt_ids = s.prompt,
          .output_ids = s.output};
}

void expect_same(const PositionLogprobs& engine, const std::vector<HostLogprob>& plain) {
  ASSERT_EQ(engine.size(), plain.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(engine[i].token_id, plain[i].token_id) << i;
    EXPECT_EQ(engine[i].logprob, plain[i].logprob) << i;
    EXPECT_EQ(engine[i].rank, plain[i].rank) << i;
  }
}

void expect_same(const std::vector<float>& logits, size_t num_tokens, const HostSampling& s) {
  Sampler engine(static_cast<int64_t>(logits.size()), static_cast<int64_t>(num_tokens));
  engine.start(start_of(s));
  std::vector<float> scratch = logits;
  const SequenceResult result = engine.sample(1, scratch);
  HostSampler plain({logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(num_tokens)}, s);
  const HostOutcome outcome = plain.sample();
  ASSERT_EQ(result.sampled, outcome.status == HostStatus::kSampled) << result.error;
  if (!result.sampled) return;
  EXPECT_EQ(result.token_id, outcome.token_id);
  expect_same(result.logprobs, outcome.logprobs);
}

TEST(HostSampler, GivesTheEnginesTokensToTheBit) {
  uint32_t seed = 0;
  for (const size_t size : {1, 5, 256, 257, 1000, 5000, 33333}) {
    for (int kind = 0; kind < testing::kNumLogitKinds; ++kind) {
      for (int i = 0; i < 60; ++i) {
        const std::vector<float> logits = testing::make_logits(kind, ++seed, size);
        SCOPED_TRACE(::testing::Message()
                     << "size " << size << " kind " << kind << " seed " << seed);
        expect_same(logits, size - (size > 1 ? seed % (size / 2) : 0),
                    testing::make_sampling<HostSampling>(seed, size));
        if (HasFailure()) return;
      }
    }
  }
}

TEST(HostSampler, GivesTheEnginesTokensOfAWholeVocabulary) {
  for (uint32_t seed = 0; seed < 27; ++seed) {
    const std::vector<float> logits =
        testing::make_logits(static_cast<int>(seed) % testing::kNumLogitKinds, seed, 151552);
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    expect_same(logits, 151365, testing::make_sampling<HostSampling>(seed, 151365));
  }
}

TEST(HostSampler, SaysOfRowsWithoutATokenWhatTheEngineSays) {
  const HostSampling drawn{.temperature = 1.0f, .num_logprobs = 3};
  std::vector<float> logits = testing::make_logits(0, 1, 1000);
  logits[700] = kNan;
  expect_same(logits, 1000, drawn);
  EXPECT_EQ(HostSampler(logits, drawn).sample().first_nan, 700);
  expect_same(std::vector<float>(1000, -kInf), 1000, drawn);
  logits[700] = logits[900] = kInf;
  expect_same(logits, 1000, drawn);
}

TEST(HostSampler, ScoresGivenTokensAsTheEngineDoes) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> logits =
        testing::make_logits(static_cast<int>(seed) % testing::kNumLogitKinds, seed, 3000);
    HostSampling s = testing::make_sampling<HostSampling>(seed, 3000);
    s.num_logprobs = seed % 21;
    Sampler engine(3000, 2900);
    engine.start(start_of(s));
    const auto token_id = static_cast<int32_t>(seed * 59);
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    expect_same(engine.prompt_logprob(1, logits, token_id),
                HostSampler(logits, s).score(token_id).logprobs);
  }
}

}  // namespace
}  // namespace glmoe
