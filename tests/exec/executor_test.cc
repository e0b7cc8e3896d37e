#include "exec/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "glmoe/error.h"
#include "support/small_model.h"

namespace glmoe {
namespace {

using namespace testing;

bool same_logprobs(const std::vector<PositionLogprobs>& a, const std::vector<PositionLogprobs>& b) {
  const auto same = [](const TokenLogprob& x, const TokenLogprob& y) {
    return x.token_id == y.token_id && x.logprob == y.logprob && x.rank == y.rank;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const PositionLogprobs& x, const PositionLogprobs& y) {
                      return std::equal(x.begin(), x.end(), y.begin(), y.end(), same);
                    });
}

class Execution : public ::testing::Test {
 protected:
  CpuExecutor executor(int64_t num_valid_tokens = 0) const {
    return CpuExecutor(small_config(), weights_, team_,
                       {.compute_dtype = DType::kF32,
                        .tokens_per_block = 4,
                        .num_blocks = 12,
                        .num_valid_tokens = num_valid_tokens});
  }
  static SequenceStart greedy(SequenceId id, const std::vector<int32_t>& prompt) {
    SequenceStart start{.id = id, .prompt_ids = prompt};
    start.sampling.temperature = 0.0f;
    start.sampling.num_logprobs = 2;
    start.sampling.num_prompt_logprobs = 2;
    return start;
  }
  static SequenceStep step(SequenceId id, const std::vector<int32_t>& ids,
                           std::vector<int32_t> blocks, int64_t start = 0) {
    SequenceStep result;
    result.id = id;
    result.token_ids = ids;
    result.start_position = start;
    result.block_table = std::move(blocks);
    result.sample = true;
    return result;
  }
  static SequenceResult only(const StepResult& result) {
    EXPECT_EQ(result.sequences.size(), 1u);
    return result.sequences.at(0);
  }

  std::shared_ptr<const LoadedWeights> weights_ = small_model();
  std::shared_ptr<ThreadTeam> team_ = std::make_shared<ThreadTeam>(2);
};

TEST_F(Execution, AGreedyTokenIsTheLargestLogitWhereverTheBlocksLie) {
  CpuExecutor exec = executor();
  const std::vector<int32_t> text = small_text(9, 1);
  const std::vector<float> logits = exec.logits(text, 4);
  ASSERT_EQ(logits.size(), 9u * 37);
  const auto last = logits.end() - 37;
  const auto wanted = static_cast<int32_t>(std::max_element(last, logits.end()) - last);
  SequenceId id = 0;
  for (const std::vector<int32_t>& blocks :
       std::vector<std::vector<int32_t>>{{0, 1, 2}, {11, 3, 7}, {5, 4, 0}}) {
    ++id;
    const StepResult result = exec.execute(
        {.step_id = 40 + id, .started = {greedy(id, text)}, .sequences = {step(id, text, blocks)}});
    EXPECT_EQ(result.step_id, 40 + id);
    EXPECT_EQ(only(result).token_id, wanted);
    EXPECT_TRUE(only(result).sampled);
    EXPECT_EQ(only(result).id, id);
  }
}

// Rows of logits are handed to sequences by counting; each must get its own.
TEST_F(Execution, SequencesOfOneStepGetTheSameAsAlone) {
  const std::vector<int32_t> a = small_text(5, 1), b = small_text(6, 2), c = small_text(3, 3);
  SequenceStep with_prompt = step(1, a, {0, 1});
  with_prompt.prompt_logprobs = true;
  SequenceStep chunk = step(2, {b.begin(), b.begin() + 4}, {2, 3});
  chunk.sample = false;
  SequenceStep scored_chunk = step(3, {c.begin(), c.begin() + 2}, {4});
  scored_chunk.sample = false;
  scored_chunk.prompt_logprobs = true;
  scored_chunk.next_token_id = c[2];
  const SequenceStep plain = step(4, b, {5, 6});
  const std::vector<SequenceStep> steps = {with_prompt, chunk, scored_chunk, plain};
  const std::vector<SequenceStart> starts = {greedy(1, a), greedy(2, b), greedy(3, c),
                                             greedy(4, b)};
  const StepResult together =
      executor().execute({.step_id = 1, .started = starts, .sequences = steps});
  ASSERT_EQ(together.sequences.size(), steps.size());
  EXPECT_EQ(together.sequences[0].prompt_logprobs.size(), 4u);  // tokens 1 to 4 of 5
  EXPECT_EQ(together.sequences[1].prompt_logprobs.size(), 0u);
  EXPECT_EQ(together.sequences[2].prompt_logprobs.size(), 2u);  // token 1, and the one to come
  EXPECT_EQ(together.sequences[2].prompt_logprobs[1][0].token_id, c[2]);
  for (size_t s = 0; s < steps.size(); ++s) {
    const SequenceResult alone =
        only(executor().execute({.step_id = 1, .started = {starts[s]}, .sequences = {steps[s]}}));
    const SequenceResult& beside = together.sequences[s];
    EXPECT_EQ(beside.id, steps[s].id);
    EXPECT_EQ(beside.sampled, steps[s].sample);
    EXPECT_EQ(beside.token_id, alone.token_id);
    EXPECT_TRUE(same_logprobs({beside.logprobs}, {alone.logprobs})) << s;
    EXPECT_TRUE(same_logprobs(beside.prompt_logprobs, alone.prompt_logprobs)) << s;
  }
}

TEST_F(Execution, PromptLogprobsDoNotDependOnWhereThePromptIsCut) {
  const std::vector<int32_t> text = small_text(7, 4);
  SequenceStep whole = step(1, text, {0, 1});
  whole.prompt_logprobs = true;
  const SequenceResult wanted =
      only(executor().execute({.started = {greedy(1, text)}, .sequences = {whole}}));
  ASSERT_EQ(wanted.prompt_logprobs.size(), 6u);
  for (int64_t cut = 1; cut < 7; ++cut) {
    CpuExecutor exec = executor();
    SequenceStep head = step(1, {text.begin(), text.begin() + cut}, {0, 1});
    head.sample = false;
    head.prompt_logprobs = true;
    head.next_token_id = text[static_cast<size_t>(cut)];
    SequenceStep tail = step(1, {text.begin() + cut, text.end()}, {0, 1}, cut);
    tail.prompt_logprobs = true;
    auto found =
        only(exec.execute({.started = {greedy(1, text)}, .sequences = {head}})).prompt_logprobs;
    const SequenceResult rest = only(exec.execute({.sequences = {tail}}));
    found.insert(found.end(), rest.prompt_logprobs.begin(), rest.prompt_logprobs.end());
    EXPECT_TRUE(same_logprobs(found, wanted.prompt_logprobs)) << "cut at " << cut;
    EXPECT_EQ(rest.token_id, wanted.token_id);
  }
}

TEST_F(Execution, AStepWithoutSequencesStillStartsAndReleases) {
  CpuExecutor exec = executor();
  const std::vector<int32_t> text = small_text(4, 5);
  const StepResult empty = exec.execute({.step_id = 3, .started = {greedy(1, text)}});
  EXPECT_EQ(empty.step_id, 3u);
  EXPECT_TRUE(empty.sequences.empty());
  EXPECT_TRUE(only(exec.execute({.sequences = {step(1, text, {0})}})).sampled);
  exec.execute({.released = {1, 99}});
  EXPECT_THROW(exec.execute({.sequences = {step(1, text, {0})}}), Error);
  // Released and started in one plan is the new sequence: an id comes back after a pre-emption.
  exec.execute({.started = {greedy(1, text)}});
  EXPECT_TRUE(
      only(exec.execute(
               {.started = {greedy(1, text)}, .sequences = {step(1, text, {0})}, .released = {1}}))
          .sampled);
}

TEST_F(Execution, AScoredChunkNeedsTheTokenThatFollows) {
  CpuExecutor exec = executor();
  SequenceStep chunk = step(1, small_text(3, 6), {0});
  chunk.sample = false;
  chunk.prompt_logprobs = true;
  EXPECT_THROW(exec.execute({.started = {greedy(1, small_text(5, 6))}, .sequences = {chunk}}),
               Error);
}

TEST_F(Execution, ASequenceWithoutFiniteLogitsFailsAloneAndItsNeighbourDoesNotChange) {
  BlobSet blobs = small_blobs();
  constexpr int32_t kBad = 11;  // a token whose embedding is no number
  blobs.tensors.at("transformer.vocab_embedding.weight").as<float>()[kBad * 16 + 3] =
      std::numeric_limits<float>::quiet_NaN();
  weights_ = std::make_shared<const LoadedWeights>(std::move(blobs));
  const std::vector<int32_t> good = {1, 2, 3}, bad = {4, kBad, 5};
  const SequenceResult alone =
      only(executor().execute({.started = {greedy(1, good)}, .sequences = {step(1, good, {0})}}));
  const StepResult both =
      executor().execute({.started = {greedy(2, bad), greedy(1, good)},
                          .sequences = {step(2, bad, {3}), step(1, good, {0})}});
  EXPECT_FALSE(both.sequences[0].sampled);
  EXPECT_NE(both.sequences[0].error, "");
  EXPECT_TRUE(both.sequences[1].sampled);
  EXPECT_EQ(both.sequences[1].error, "");
  EXPECT_EQ(both.sequences[1].token_id, alone.token_id);
  EXPECT_TRUE(same_logprobs({both.sequences[1].logprobs}, {alone.logprobs}));
}

TEST_F(Execution, PaddingOfTheVocabularyIsNeverSampled) {
  const std::vector<int32_t> text = small_text(6, 7);
  const std::vector<float> logits = executor().logits(text, 6);
  const auto last = logits.end() - 37;
  const auto best = std::max_element(last, logits.end()) - last;
  ASSERT_GT(best, 0);  // so that there is something to cut off
  const auto valid_best = std::max_element(last, last + best) - last;
  CpuExecutor exec = executor(best);
  EXPECT_EQ(only(exec.execute({.started = {greedy(1, text)}, .sequences = {step(1, text, {0, 1})}}))
                .token_id,
            valid_best);
}

TEST_F(Execution, ATextLongerThanTheCacheIsRefused) {
  EXPECT_EQ(executor().logits(small_text(48, 8), 16).size(), 48u * 37);
  EXPECT_THROW(executor().logits(small_text(49, 8), 16), Error);
}

// The tensor forms of a prefill, whatever its pieces.
TEST_F(Execution, PromptRowsAreTheLogitsAndWhatTheHeadReads) {
  CpuExecutor exec = executor();
  const std::vector<int32_t> text = small_text(9, 1);
  const std::vector<float> logits = exec.logits(text, 4);
  const Tensor rows = exec.prompt_rows(PromptRows::kLogits, text, 4);
  ASSERT_THAT(rows.shape, ::testing::ElementsAre(9, 37));
  EXPECT_EQ(rows.kind, ElementKind::kFloat32);
  EXPECT_EQ(rows.device, Tensor::kCpu);
  const auto* values = static_cast<const float*>(rows.data);
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), values));

  const Tensor hidden = exec.prompt_rows(PromptRows::kHiddenStates, text, 9);
  const int64_t width = small_config().hidden_size;
  ASSERT_THAT(hidden.shape, ::testing::ElementsAre(9, width));
  // The head is a plain product: doing it by hand gives the logits.
  const QuantView& head = weights_->weights().lm_head;
  ASSERT_EQ(head.codes.dtype, DType::kF32);
  const auto* w = head.codes.as<const float>();
  const auto* h = static_cast<const float*>(hidden.data);
  for (int64_t t = 0; t < 9; ++t) {
    for (int64_t v = 0; v < 37; ++v) {
      double sum = 0;
      for (int64_t k = 0; k < width; ++k) sum += double{h[t * width + k]} * w[v * width + k];
      EXPECT_NEAR(sum, logits[static_cast<size_t>(t * 37 + v)], 1e-4);
    }
  }
}

}  // namespace
}  // namespace glmoe
