// The arrays of a step, without a GPU: host memory stands for the device's.
// Mirrors: src/gpu/step_layout.cc
#include "gpu/step_layout.h"

#include <gtest/gtest.h>

#include "glmoe/error.h"

namespace glmoe {
namespace {

constexpr int32_t kUntouched = -77;
constexpr StepInputLimits kLimits{
    .max_rows = 40, .max_sequences = 6, .max_blocks = 8, .tokens_per_block = 4};

SequenceStep step(std::vector<int32_t> ids, int64_t start, std::vector<int32_t> blocks) {
  SequenceStep s;
  s.token_ids = std::move(ids);
  s.start_position = start;
  s.block_table = std::move(blocks);
  s.sample = true;
  return s;
}

class StepArrays : public ::testing::Test {
 protected:
  static std::vector<int32_t> read(const int32_t* from, int64_t count) {
    return {from, from + count};
  }
  using Ids = std::vector<int32_t>;

  StepLayout layout_{kLimits};
  std::vector<int32_t> host_ =
      std::vector<int32_t>(static_cast<size_t>(layout_.capacity()), kUntouched);
};

TEST_F(StepArrays, MixedStepsPutDecodesAndPrefillsApart) {
  StepPlan plan;
  plan.sequences = {step({10, 11, 12}, 0, {5}), step({20}, 9, {1, 2, 3}), step({30, 31}, 3, {7, 6}),
                    step({40}, 0, {4, 9})};
  plan.sequences[2].sample = false;
  int64_t used = 0;
  const GpuBatch batch = layout_.fill(plan, host_.data(), host_.data(), used);
  EXPECT_EQ(batch.num_rows, 7);
  EXPECT_EQ(batch.num_decode, 2);
  EXPECT_EQ(batch.num_prefill, 2);
  EXPECT_EQ(batch.max_prefill_rows, 3);
  EXPECT_EQ(batch.num_logit_rows, 3);
  EXPECT_FALSE(batch.all_rows_have_logits);
  EXPECT_EQ(*batch.num_valid, 7);
  EXPECT_EQ(read(batch.token_ids, 7), (Ids{10, 11, 12, 20, 30, 31, 40}));
  EXPECT_EQ(read(batch.positions, 7), (Ids{0, 1, 2, 9, 3, 4, 0}));
  EXPECT_EQ(read(batch.slots, 7), (Ids{20, 21, 22, 13, 31, 24, 16}));
  EXPECT_EQ(read(batch.logit_rows, 3), (Ids{2, 3, 6}));
  EXPECT_EQ(read(batch.decode_rows, 2), (Ids{3, 6}));
  EXPECT_EQ(read(batch.decode_kv_lens, 2), (Ids{10, 1}));
  EXPECT_EQ(read(batch.decode_one, 2), (Ids{1, 1}));
  EXPECT_EQ(read(batch.prefill_row_begins, 2), (Ids{0, 4}));
  EXPECT_EQ(read(batch.prefill_num_rows, 2), (Ids{3, 2}));
  EXPECT_EQ(read(batch.prefill_kv_lens, 2), (Ids{3, 5}));
  ASSERT_EQ(batch.table_stride, 3);
  EXPECT_EQ(read(batch.decode_tables, 3), (Ids{1, 2, 3}));
  EXPECT_EQ(read(batch.decode_tables + 3, 2), (Ids{4, 9}));
  EXPECT_EQ(read(batch.prefill_tables, 1), (Ids{5}));
  EXPECT_EQ(read(batch.prefill_tables + 3, 2), (Ids{7, 6}));
  EXPECT_LE(used, layout_.capacity());
  for (auto i = static_cast<size_t>(used); i < host_.size(); ++i) EXPECT_EQ(host_[i], kUntouched);
}

TEST_F(StepArrays, ScoredPromptsWantLogitsOfEveryRow) {
  StepPlan plan;
  plan.sequences = {step({1, 2, 3}, 0, {0}), step({4}, 5, {1, 2})};
  plan.sequences[0].prompt_logprobs = true;
  int64_t used = 0;
  const GpuBatch batch = layout_.fill(plan, host_.data(), host_.data(), used);
  EXPECT_EQ(read(batch.logit_rows, 4), (Ids{0, 1, 2, 3}));
  EXPECT_TRUE(batch.all_rows_have_logits);
}

TEST_F(StepArrays, DecodeStepsArePaddedToTheirBucketAtFixedPlaces) {
  StepPlan plan;
  plan.sequences = {step({10}, 6, {3, 1}), step({20}, 0, {5}), step({30}, 31, Ids(8, 2))};
  const StepLayout::DecodeParts parts = layout_.fill_decode(plan, 4, host_.data());
  const GpuBatch batch = layout_.decode_batch(4, host_.data());
  EXPECT_EQ(batch.num_rows, 4);
  EXPECT_EQ(batch.num_decode, 4);
  EXPECT_EQ(batch.num_prefill, 0);
  EXPECT_TRUE(batch.all_rows_have_logits);
  EXPECT_EQ(*batch.num_valid, 3);
  EXPECT_EQ(read(batch.token_ids, 4), (Ids{10, 20, 30, 0}));
  EXPECT_EQ(read(batch.positions, 4), (Ids{6, 0, 31, 0}));
  EXPECT_EQ(read(batch.slots, 4), (Ids{6, 20, 11, -1}));
  EXPECT_EQ(read(batch.decode_kv_lens, 4), (Ids{7, 1, 32, 0}));
  EXPECT_EQ(read(batch.decode_rows, 4), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(read(batch.decode_tables, 2), (Ids{3, 1}));
  EXPECT_EQ(read(batch.decode_tables + batch.table_stride, 1), (Ids{5}));
  EXPECT_EQ(read(batch.decode_tables + 2 * batch.table_stride, 8), Ids(8, 2));
  EXPECT_EQ(parts.num_tables, 3);
  EXPECT_EQ(parts.columns, 8);
  EXPECT_EQ(host_.data() + parts.tables, batch.decode_tables);
  EXPECT_EQ(parts.table_stride, batch.table_stride);
  // Graphs are captured with these addresses, so every bucket has the same.
  EXPECT_EQ(layout_.decode_batch(1, host_.data()).decode_tables, batch.decode_tables);
}

TEST_F(StepArrays, TheLargestStepsFit) {
  StepPlan plan;
  plan.sequences.assign(6, step(Ids(6, 1), 26, Ids(8, 1)));
  plan.sequences[0] = step(Ids(10, 1), 22, Ids(8, 1));
  for (SequenceStep& s : plan.sequences) s.prompt_logprobs = true;
  int64_t used = 0;
  layout_.fill(plan, host_.data(), host_.data(), used);
  EXPECT_EQ(used, layout_.capacity());
  plan.sequences.assign(6, step({1}, 31, Ids(8, 1)));
  const StepLayout::DecodeParts parts = layout_.fill_decode(plan, 6, host_.data());
  EXPECT_LE(parts.tables + 6 * parts.table_stride, layout_.capacity());
}

TEST_F(StepArrays, StepsBeyondTheLimitsAreOurMistake) {
  int64_t used = 0;
  StepPlan rows;
  rows.sequences = {step(Ids(41, 1), 0, Ids(11, 0))};
  EXPECT_THROW(layout_.fill(rows, host_.data(), host_.data(), used), Error);
  StepPlan sequences;
  sequences.sequences.assign(7, step({1}, 0, {0}));
  EXPECT_THROW(layout_.fill(sequences, host_.data(), host_.data(), used), Error);
  StepPlan blocks;
  blocks.sequences = {step({1}, 32, Ids(9, 0))};
  EXPECT_THROW(layout_.fill(blocks, host_.data(), host_.data(), used), Error);
}

}  // namespace
}  // namespace glmoe
