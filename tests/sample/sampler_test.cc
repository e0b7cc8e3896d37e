#include "sample/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <stdexcept>

#include "base/thread_team.h"
#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

ResolvedSampling greedy() { return {.temperature = 0.0f}; }

std::vector<float> random_logits(uint32_t seed, size_t size, float spread = 2.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// Samples once with fresh state.
SequenceResult sample_once(const ResolvedSampling& sampling, std::vector<float> logits,
                           std::vector<int32_t> prompt = {}, std::vector<int32_t> output = {}) {
  const auto size = static_cast<int64_t>(logits.size());
  Sampler sampler(size, size);
  sampler.start({.id = 1, .sampling = sampling, .prompt_ids = prompt, .output_ids = output});
  return sampler.sample(1, logits);
}

TEST(Sampler, GreedyTakesTheFirstOfTheHighest) {
  std::vector<float> logits = random_logits(1, 5000);
  logits[700] = logits[2300] = logits[4999] = 50.0f;
  EXPECT_EQ(sample_once(greedy(), logits).token_id, 700);
  EXPECT_EQ(sample_once(greedy(), std::vector<float>(1000, 0.0f)).token_id, 0);
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> row = random_logits(seed, 1 + seed * 37);
    EXPECT_EQ(sample_once(greedy(), row).token_id,
              std::max_element(row.begin(), row.end()) - row.begin());
  }
}

TEST(Sampler, ATinyTemperatureIsGreedy) {
  const std::vector<float> logits{1.0f, 1.0f, 0.99999994f};
  for (uint64_t seed = 0; seed < 100; ++seed) {
    EXPECT_EQ(sample_once({.temperature = 9e-6f, .seed = seed}, logits).token_id, 0);
  }
}

TEST(Sampler, PaddingOfTheVocabularyIsNeverSampledNorCounted) {
  Sampler sampler(8, 5);
  sampler.start({.id = 1,
                 .sampling = {.temperature = 0.0f, .num_logprobs = 20},
                 .prompt_ids = {},
                 .output_ids = {}});
  std::vector<float> logits{0, 0, 1, 0, 0, 90, kNan, kInf};
  const SequenceResult result = sampler.sample(1, logits);
  EXPECT_EQ(result.token_id, 2);
  ASSERT_THAT(result.logprobs, SizeIs(5));
  EXPECT_NEAR(result.logprobs[0].logprob, 1.0 - std::log(4.0 + std::exp(1.0)), 1e-6);
}

TEST(Sampler, NanIsAnErrorThatNamesThePlaceAndChangesNothing) {
  for (const float temperature : {0.0f, 1.0f}) {
    Sampler sampler(1000, 1000);
    sampler.start(
        {.id = 1, .sampling = {.temperature = temperature}, .prompt_ids = {}, .output_ids = {}});
    std::vector<float> logits = random_logits(1, 1000);
    logits[777] = kNan;
    logits[900] = kNan;
    const SequenceResult result = sampler.sample(1, logits);
    EXPECT_FALSE(result.sampled);
    EXPECT_THAT(result.error, HasSubstr("NaN in logits"));
    EXPECT_THAT(result.error, HasSubstr("777"));
    logits[777] = logits[900] = 100.0f;
    EXPECT_EQ(sampler.sample(1, logits).error, "");
  }
}

TEST(Sampler, OnlyMinusInfinityIsAnErrorAndPlusInfinityWins) {
  EXPECT_THAT(sample_once(greedy(), std::vector<float>(9, -kInf)).error, HasSubstr("-infinity"));
  EXPECT_THAT(sample_once({}, std::vector<float>(9, -kInf)).error, HasSubstr("-infinity"));
  for (const float temperature : {0.0f, 1.0f}) {
    std::vector<float> logits = random_logits(1, 1000);
    logits[30] = logits[600] = kInf;
    const SequenceResult result =
        sample_once({.temperature = temperature, .num_logprobs = 2}, logits);
    EXPECT_EQ(result.token_id, 30);
    EXPECT_NEAR(result.logprobs[0].logprob, -std::log(2.0), 1e-6);
    ASSERT_THAT(result.logprobs, SizeIs(2)) << "alternatives without probability are left out";
  }
}

TEST(Sampler, AWholeBanOfTokensWithoutProbabilityHolds) {
  std::vector<float> logits(3000, -kInf);
  logits[2999] = -5.0f;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(sample_once({.seed = seed}, logits).token_id, 2999);
    EXPECT_EQ(sample_once({.top_k = 50, .top_p = 0.9f, .seed = seed}, logits).token_id, 2999);
  }
}

// Chi-square of `draws` tokens against `expected` probabilities; tokens with probability 0 must not
// be drawn. 5 sigma above the mean of the distribution.
void expect_distribution(const ResolvedSampling& base, const std::vector<float>& logits,
                         const std::vector<double>& expected) {
  const int draws = 40000;
  std::vector<int> counts(logits.size());
  Sampler sampler(static_cast<int64_t>(logits.size()), static_cast<int64_t>(logits.size()));
  sampler.start({.id = 1, .sampling = base, .prompt_ids = {}, .output_ids = {}});
  for (int i = 0; i < draws; ++i) {
    std::vector<float> row = logits;
    ++counts[static_cast<size_t>(sampler.sample(1, row).token_id)];
  }
  double chi_square = 0.0;
  int degrees = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (expected[i] <= 0.0) {
      EXPECT_EQ(counts[i], 0) << "token " << i;
      continue;
    }
    const double mean = expected[i] * draws;
    chi_square += (counts[i] - mean) * (counts[i] - mean) / mean;
    ++degrees;
  }
  EXPECT_LT(chi_square, degrees + 5.0 * std::sqrt(2.0 * degrees));
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  const double maximum = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p;
  double total = 0.0;
  for (const float logit : logits) {
    p.push_back(std::exp((static_cast<double>(logit) - maximum) / temperature));
    total += p.back();
  }
  for (double& x : p) x /= total;
  return p;
}

TEST(Sampler, DrawsFollowTheSoftmaxAtAnyTemperature) {
  for (const float temperature : {0.5f, 1.0f, 3.0f}) {
    const std::vector<float> logits = random_logits(7, 20, 1.0f);
    expect_distribution({.temperature = temperature, .seed = 5}, logits,
                        softmax(logits, static_cast<double>(temperature)));
  }
}

TEST(Sampler, DrawsFollowTheTruncatedDistribution) {
  const std::vector<float> logits{2.0f, 1.0f, 1.0f, 0.0f, -1.0f, 1.0f};
  const double a = std::exp(2.0), b = std::exp(1.0);
  // Ties at rank 3 go to the lower id.
  expect_distribution({.top_k = 3, .seed = 1}, logits,
                      {a / (a + 2 * b), b / (a + 2 * b), b / (a + 2 * b), 0, 0, 0});
  expect_distribution({.top_k = 3, .top_p = 0.6f, .seed = 2}, logits,
                      {a / (a + b), b / (a + b), 0, 0, 0, 0});
  expect_distribution({.min_p = 0.2f, .seed = 3}, logits,
                      {a / (a + 3 * b), b / (a + 3 * b), b / (a + 3 * b), 0, 0, b / (a + 3 * b)});
}

TEST(Sampler, ADrawDependsOnSeedStreamAndPositionAlone) {
  const std::vector<float> logits = random_logits(3, 4000);
  const auto text = [&](uint64_t seed, uint64_t stream, int length) {
    Sampler sampler(4000, 4000);
    sampler.start({.id = 1,
                   .sampling = {.seed = seed, .stream = stream},
                   .prompt_ids = {},
                   .output_ids = {}});
    std::vector<int32_t> ids;
    for (int i = 0; i < length; ++i) {
      std::vector<float> row = logits;
      ids.push_back(sampler.sample(1, row).token_id);
    }
    return ids;
  };
  const std::vector<int32_t> whole = text(1, 0, 20);
  EXPECT_EQ(whole, text(1, 0, 20));
  EXPECT_NE(whole, text(2, 0, 20));
  EXPECT_NE(whole, text(1, 1, 20));
  // After a pre-emption the sequence starts again with what it had, beside a neighbour.
  Sampler sampler(4000, 4000);
  sampler.start({.id = 9, .sampling = {.seed = 4}, .prompt_ids = {}, .output_ids = {}});
  sampler.start({.id = 1,
                 .sampling = {.seed = 1},
                 .prompt_ids = {},
                 .output_ids = {whole.begin(), whole.begin() + 8}});
  for (size_t i = 8; i < 20; ++i) {
    std::vector<float> row = logits;
    sampler.sample(9, row);
    row = logits;
    EXPECT_EQ(sampler.sample(1, row).token_id, whole[i]);
  }
}

TEST(Sampler, ManySequencesSampledAtOnceGetWhatEachWouldGetAlone) {
  constexpr SequenceId kCount = 16;
  const auto texts = [](int num_threads) {
    Sampler sampler(3000, 3000);
    ThreadTeam team(num_threads);
    for (SequenceId id = 0; id < kCount; ++id) {
      sampler.start({.id = id,
                     .sampling = {.top_p = 0.9f,
                                  .repetition_penalty = 1.1f,
                                  .frequency_penalty = 0.5f,
                                  .seed = id,
                                  .num_logprobs = 3},
                     .prompt_ids = {1, 2, 3},
                     .output_ids = {}});
    }
    std::vector<std::vector<int32_t>> ids(kCount);
    for (uint32_t step = 0; step < 20; ++step) {
      team.parallel_for(kCount, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          std::vector<float> row = random_logits(step, 3000);
          const auto id = static_cast<SequenceId>(i);
          ids[id].push_back(sampler.sample(id, row).token_id);
        }
      });
    }
    return ids;
  };
  EXPECT_EQ(texts(1), texts(4));
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogitsOnce) {
  const std::vector<float> logits{3.0f, 2.0f, -1.0f, -1.5f};
  ResolvedSampling sampling = greedy();
  sampling.repetition_penalty = 2.0f;
  sampling.num_logprobs = 3;
  // Prompt and output count alike, however often; strange ids are ignored.
  const SequenceResult result = sample_once(sampling, logits, {0, 0, -3, 99}, {2, 0});
  const std::vector<float> wanted{1.5f, 2.0f, -2.0f, -1.5f};
  EXPECT_EQ(result.token_id, 1);
  const std::vector<double> p = softmax(wanted, 1.0);
  ASSERT_THAT(result.logprobs, SizeIs(4));
  for (const TokenLogprob& token : result.logprobs) {
    EXPECT_NEAR(token.logprob, std::log(p[static_cast<size_t>(token.token_id)]), 1e-6);
  }
}

TEST(Sampler, PresenceAndFrequencyPenaltiesCountTheOutputAlone) {
  const std::vector<float> logits{3.0f, 2.0f, 1.0f};
  ResolvedSampling sampling = greedy();
  sampling.presence_penalty = 0.5f;
  sampling.frequency_penalty = 0.25f;
  sampling.num_logprobs = 2;
  const SequenceResult result = sample_once(sampling, logits, {1, 1, 1}, {0, 0, 0, 2});
  const std::vector<double> p = softmax({3.0f - 0.5f - 0.75f, 2.0f, 1.0f - 0.75f}, 1.0);
  EXPECT_EQ(result.token_id, 1);
  for (const TokenLogprob& token : result.logprobs) {
    EXPECT_NEAR(token.logprob, std::log(p[static_cast<size_t>(token.token_id)]), 1e-6);
  }
}

TEST(Sampler, PenaltiesFollowWhatWasSampled) {
  Sampler sampler(3, 3);
  ResolvedSampling sampling = greedy();
  sampling.presence_penalty = 2.0f;
  sampler.start({.id = 1, .sampling = sampling, .prompt_ids = {}, .output_ids = {}});
  std::vector<int32_t> ids;
  for (int i = 0; i < 4; ++i) {
    std::vector<float> row{3.0f, 2.0f, 1.5f};
    ids.push_back(sampler.sample(1, row).token_id);
  }
  EXPECT_THAT(ids, ::testing::ElementsAre(0, 1, 2, 0));
}

TEST(Sampler, BiasIsAddedAndIdsOutsideAreIgnored) {
  ResolvedSampling sampling = greedy();
  sampling.logit_bias = {{2, 5.0f}, {-1, 100.0f}, {3, 100.0f}};
  EXPECT_EQ(sample_once(sampling, {3.0f, 2.0f, 1.0f}).token_id, 2);
}

TEST(Sampler, StopTokensAreBannedUntilMinTokens) {
  Sampler sampler(3, 3);
  ResolvedSampling sampling = greedy();
  sampling.min_tokens = 2;
  sampling.stop_token_ids = {0, 77};
  sampler.start({.id = 1, .sampling = sampling, .prompt_ids = {}, .output_ids = {}});
  std::vector<int32_t> ids;
  for (int i = 0; i < 3; ++i) {
    std::vector<float> row{3.0f, 2.0f, 1.5f};
    ids.push_back(sampler.sample(1, row).token_id);
  }
  EXPECT_THAT(ids, ::testing::ElementsAre(1, 1, 0));
}

TEST(Sampler, PromptLogprobsAreOfTheBareLogits) {
  Sampler sampler(4, 3);
  ResolvedSampling sampling = greedy();
  sampling.repetition_penalty = 3.0f;
  sampling.logit_bias = {{0, 50.0f}};
  sampling.num_prompt_logprobs = 1;
  sampler.start({.id = 1, .sampling = sampling, .prompt_ids = {0, 1}, .output_ids = {}});
  const std::vector<float> logits{1.0f, 2.0f, 0.5f, 3.0f};
  const PositionLogprobs position = sampler.prompt_logprob(1, logits, 1);
  const std::vector<double> p = softmax(logits, 1.0);
  ASSERT_THAT(position, SizeIs(2));
  EXPECT_EQ(position[0].token_id, 1);
  EXPECT_EQ(position[0].rank, 2);
  EXPECT_NEAR(position[0].logprob, std::log(p[1]), 1e-6);
  EXPECT_EQ(position[1].token_id, 3);
  EXPECT_EQ(position[1].rank, 1);
  EXPECT_THAT(sampler.prompt_logprob(1, std::vector<float>{1, kNan, 1, 1}, 0), IsEmpty());
}

TEST(Sampler, RefusesUnknownSequencesAndRowsOfAnotherLength) {
  Sampler sampler(4, 4);
  std::vector<float> row(4);
  EXPECT_THROW(sampler.sample(1, row), Error);
  sampler.start({.id = 1, .sampling = {}, .prompt_ids = {}, .output_ids = {}});
  std::vector<float> wrong(5);
  EXPECT_THROW(sampler.sample(1, wrong), Error);
  sampler.release(1);
  sampler.release(1);
  EXPECT_THROW(sampler.sample(1, row), Error);
}

TEST(Sampler, ALogitsProcessorGoesOnWithTheOutputAfterAPreemption) {
  std::vector<int32_t> seen;
  ResolvedSampling sampling = greedy();
  sampling.logits_processor = std::make_shared<const LogitsProcessor>(
      [&](std::span<const int32_t> tokens, std::span<float> logits) {
        seen.assign(tokens.begin(), tokens.end());
        logits[2] = 10.0f;
      });
  EXPECT_EQ(sample_once(sampling, {5, 0, 0, 0}, {1, 2}, {3}).token_id, 2);
  EXPECT_EQ(seen, (std::vector<int32_t>{1, 2, 3}));
}

TEST(Sampler, AFailingLogitsProcessorIsAnErrorAndRecordsNothing) {
  ResolvedSampling sampling = greedy();
  bool fails = true;
  std::vector<int32_t> seen;
  sampling.logits_processor = std::make_shared<const LogitsProcessor>(
      [&](std::span<const int32_t> tokens, std::span<float>) {
        seen.assign(tokens.begin(), tokens.end());
        if (fails) throw std::runtime_error("no");
      });
  Sampler sampler(4, 4);
  sampler.start({.id = 1, .sampling = sampling, .prompt_ids = {7}});
  std::vector<float> logits = {5, 0, 0, 0};
  const SequenceResult failed = sampler.sample(1, logits);
  EXPECT_FALSE(failed.sampled);
  EXPECT_THAT(failed.error, HasSubstr("no"));
  fails = false;
  EXPECT_EQ(sampler.sample(1, logits).token_id, 0);
  EXPECT_EQ(seen, (std::vector<int32_t>{7}));
}

}  // namespace
}  // namespace glmoe
