#include "exec/forward_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <stdexcept>

#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kVocab = 12;

Glm4MoeConfig config() {
  Glm4MoeConfig config;
  config.vocab_size = kVocab;
  return config;
}

// The next token is the sum of all before, modulo V; it keeps every sequence's tokens, as a model
// keeps their keys and values.
struct SumModel {
  void operator()(const ForwardBatch& batch, std::span<float> logits) {
    batches.push_back(batch);
    for (const uint64_t id : batch.released) kept.erase(id);
    size_t row = 0;
    for (const ForwardSequence& sequence : batch.sequences) {
      std::vector<int32_t>& tokens = kept[sequence.id];
      if (sequence.start_position == 0) tokens.clear();
      EXPECT_EQ(static_cast<int64_t>(tokens.size()), sequence.start_position);
      const auto count = static_cast<int64_t>(sequence.token_ids.size());
      for (int64_t i = 0; i < count; ++i) {
        tokens.push_back(sequence.token_ids[static_cast<size_t>(i)]);
        if (i < count - sequence.num_logit_rows) continue;
        const int64_t sum = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
        for (int64_t v = 0; v < kVocab; ++v) logits[row * kVocab + v] = v == sum % kVocab ? 5 : 0;
        ++row;
      }
    }
    EXPECT_EQ(row * kVocab, logits.size());
  }
  std::map<uint64_t, std::vector<int32_t>> kept;
  std::vector<ForwardBatch> batches;
};

SequenceStart greedy(SequenceId id, const std::vector<int32_t>& prompt) {
  SequenceStart start{.id = id, .prompt_ids = prompt};
  start.sampling.temperature = 0.0f;
  start.sampling.num_prompt_logprobs = 0;
  return start;
}

SequenceStep step(SequenceId id, std::vector<int32_t> ids, int64_t start, bool sample = true) {
  SequenceStep result;
  result.id = id;
  result.token_ids = std::move(ids);
  result.start_position = start;
  result.sample = sample;
  return result;
}

TEST(ForwardExecutor, SamplesEverySequenceFromItsOwnRow) {
  SumModel model;
  ForwardExecutor executor(config(), std::ref(model), "a sum", 0);
  SequenceStep scored = step(3, {1, 2, 3}, 0, /*sample=*/false);
  scored.prompt_logprobs = true;
  scored.next_token_id = 6;
  const StepResult result = executor.execute(
      {.step_id = 1,
       .started = {greedy(1, {4, 5}), greedy(2, {1, 1, 1}), greedy(3, {1, 2, 3, 6})},
       .sequences = {step(1, {4, 5}, 0), step(2, {1, 1}, 0, false), scored}});
  ASSERT_THAT(result.sequences, SizeIs(3));
  EXPECT_EQ(result.sequences[0].token_id, 9);
  EXPECT_FALSE(result.sequences[1].sampled);
  // Of the tokens 2, 3 and 6, the first and the last are not the likeliest: 1 -> 1, 3 -> 3, 6 -> 6.
  ASSERT_THAT(result.sequences[2].prompt_logprobs, SizeIs(3));
  EXPECT_GT(result.sequences[2].prompt_logprobs[0][0].rank, 1);
  EXPECT_EQ(result.sequences[2].prompt_logprobs[1][0].rank, 1);
  EXPECT_EQ(result.sequences[2].prompt_logprobs[2][0].rank, 1);
  EXPECT_EQ(model.batches[0].sequences[0].num_logit_rows, 1);
  EXPECT_EQ(model.batches[0].sequences[1].num_logit_rows, 0);
  EXPECT_EQ(model.batches[0].sequences[2].num_logit_rows, 3);
}

TEST(ForwardExecutor, TellsOfReleasedSequencesOnceAndBeforeTheNext) {
  SumModel model;
  ForwardExecutor executor(config(), std::ref(model), "a sum", 0);
  executor.execute({.step_id = 1, .started = {greedy(1, {4})}, .sequences = {step(1, {4}, 0)}});
  executor.execute({.step_id = 2, .released = {1}});  // nothing runs: told with the next step
  executor.execute({.step_id = 3, .started = {greedy(2, {5})}, .sequences = {step(2, {5}, 0)}});
  executor.execute({.step_id = 4, .sequences = {step(2, {5}, 1)}});
  ASSERT_THAT(model.batches, SizeIs(3));
  EXPECT_THAT(model.batches[1].released, ElementsAre(1));
  EXPECT_THAT(model.batches[2].released, IsEmpty());
  EXPECT_THAT(model.kept, SizeIs(1));
}

TEST(ForwardExecutor, LogitsOfATextDoNotDependOnItsPieces) {
  SumModel model;
  ForwardExecutor executor(config(), std::ref(model), "a sum", 0);
  const std::vector<int32_t> text = {3, 1, 4, 1, 5};
  const std::vector<float> whole = executor.logits(text, 5);
  EXPECT_THAT(whole, SizeIs(5 * kVocab));
  EXPECT_EQ(executor.logits(text, 2), whole);
}

TEST(ForwardExecutor, WhatTheFunctionThrowsFailsTheStepAlone) {
  bool fails = true;
  ForwardExecutor executor(
      config(),
      [&](const ForwardBatch&, std::span<float> logits) {
        if (fails) throw std::runtime_error("no such layer");
        std::ranges::fill(logits, 0.0f);
      },
      "a failing one", 0);
  EXPECT_THROW(
      executor.execute({.step_id = 1, .started = {greedy(1, {4})}, .sequences = {step(1, {4}, 0)}}),
      std::runtime_error);
  fails = false;
  const StepResult result = executor.execute({.step_id = 2, .sequences = {step(1, {4}, 0)}});
  EXPECT_EQ(result.sequences.at(0).token_id, 0);
}

}  // namespace
}  // namespace glmoe
