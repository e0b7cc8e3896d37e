// What the forward pass promises beside its numbers, which tests/llm/goldens_test.cc compares with
// Hugging Face's.
#include "model/glm4_moe.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "glmoe/error.h"
#include "support/small_model.h"

namespace glmoe {
namespace {

using namespace testing;

class Forward : public ::testing::Test {
 protected:
  static constexpr int64_t kBlock = 4;  // tokens

  Forward()
      : model_(config_, weights_->weights(), MoeBackendKind::kAuto, kBlock),
        kv_(KvGeometry::of(config_, DType::kF32, kBlock), 8) {}

  // Appends rows of a sequence to the batch.
  static void add(BatchInput& batch, const std::vector<int32_t>& ids, int64_t start,
                  const std::vector<int32_t>& blocks) {
    batch.sequences.push_back({.row_begin = batch.num_tokens(),
                               .num_rows = static_cast<int64_t>(ids.size()),
                               .start_position = start,
                               .block_table = blocks});
    batch.token_ids.insert(batch.token_ids.end(), ids.begin(), ids.end());
  }
  static void want_all(BatchInput& batch) {
    batch.logit_rows.resize(batch.token_ids.size());
    std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
  }
  // Two sequences, of 5 and 3 tokens, in blocks that are not in order.
  BatchInput two_sequences() const {
    BatchInput batch;
    add(batch, small_text(5, 1), 0, first_blocks_);
    add(batch, small_text(3, 2), 0, second_blocks_);
    return batch;
  }
  // One vector a row of logits.
  std::vector<std::vector<float>> run(const BatchInput& batch) {
    workspace_.reset();
    const TensorView logits = model_.forward(ctx_, batch, kv_);
    EXPECT_EQ(logits.shape, (Shape{static_cast<int64_t>(batch.logit_rows.size()), 37}));
    std::vector<std::vector<float>> rows;
    for (int64_t r = 0; r < logits.shape[0]; ++r) {
      rows.emplace_back(logits.as<float>() + r * 37, logits.as<float>() + (r + 1) * 37);
    }
    return rows;
  }

  const std::vector<int32_t> first_blocks_ = {6, 1}, second_blocks_ = {3};
  const Glm4MoeConfig config_ = small_config();
  const std::shared_ptr<const LoadedWeights> weights_ = small_model();
  ThreadTeam team_{2};
  Workspace workspace_;
  OpContext ctx_{.team = &team_, .workspace = &workspace_, .compute_dtype = DType::kF32};
  Glm4MoeForCausalLM model_;
  KvPool kv_;
};

TEST_F(Forward, WantedRowsEqualThoseOfARunThatWantsAllToTheBit) {
  BatchInput batch = two_sequences();
  want_all(batch);
  const auto all = run(batch);
  for (const std::vector<int64_t>& rows :
       std::vector<std::vector<int64_t>>{{7}, {0}, {4, 7}, {1, 2, 5}}) {
    batch.logit_rows = rows;
    const auto some = run(batch);
    ASSERT_EQ(some.size(), rows.size());
    for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(some[i], all[static_cast<size_t>(rows[i])]);
  }
}

// A chunk of a long prompt: no logits, but what comes after it must find its KV.
TEST_F(Forward, WithoutWantedRowsTheKvIsWrittenAllTheSame) {
  const std::vector<int32_t> text = small_text(8, 3);
  BatchInput whole;
  add(whole, text, 0, first_blocks_);
  whole.logit_rows = {6, 7};
  const auto wanted = run(whole);

  for (int64_t b = 0; b < config_.num_hidden_layers; ++b) {
    const TensorView layer = kv_.layer(b);
    std::memset(layer.data, 0xff, layer.num_bytes());  // NaN: nothing may be left from before
  }
  BatchInput head, tail;
  add(head, {text.begin(), text.begin() + 6}, 0, first_blocks_);
  EXPECT_TRUE(run(head).empty());
  add(tail, {text.begin() + 6, text.end()}, 6, first_blocks_);
  tail.logit_rows = {0, 1};
  EXPECT_EQ(run(tail), wanted);
}

TEST_F(Forward, TheProbeSeesEveryLayerOnceAndTheLastWithItsWantedRowsOnly) {
  BatchInput batch = two_sequences();
  batch.logit_rows = {4, 7};
  std::vector<std::pair<int64_t, int64_t>> seen;  // layer, rows
  std::vector<float> embedded;
  model_.model().set_probe([&](int64_t layer, const TensorView& hidden) {
    EXPECT_EQ(hidden.shape[1], config_.hidden_size);
    seen.emplace_back(layer, hidden.shape[0]);
    if (layer == -1) {
      embedded.assign(hidden.as<float>(), hidden.as<float>() + hidden.num_elements());
    }
  });
  const auto with_probe = run(batch);
  const std::vector<std::pair<int64_t, int64_t>> wanted = {{-1, 8}, {0, 8}, {1, 8}, {2, 2}, {3, 2}};
  EXPECT_EQ(seen, wanted);
  const auto* table = weights_->weights().embedding.codes.as<float>();
  for (size_t t = 0; t < batch.token_ids.size(); ++t) {
    EXPECT_EQ(std::memcmp(embedded.data() + t * 16, table + batch.token_ids[t] * 16, 16 * 4), 0);
  }
  model_.model().set_probe({});
  EXPECT_EQ(run(batch), with_probe);
  EXPECT_EQ(seen.size(), wanted.size());
}

TEST_F(Forward, ExpertCountsAddUpWhatEachLayerRouted) {
  const auto total = [&](size_t layer) {
    const auto& counts = model_.model().expert_counts()[layer];
    return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  };
  BatchInput batch = two_sequences();
  batch.logit_rows = {4, 7};
  run(batch);
  ASSERT_EQ(model_.model().expert_counts().size(), 3u);
  EXPECT_TRUE(model_.model().expert_counts()[0].empty());  // a dense layer
  EXPECT_EQ(model_.model().expert_counts()[1].size(), 8u);
  EXPECT_EQ(total(1), 8u * 2);  // rows x top_k
  EXPECT_EQ(total(2), 2u * 2);  // only the wanted rows go through the last layer's experts
  const std::vector<uint64_t> once = model_.model().expert_counts()[1];
  for (const uint64_t count : once) EXPECT_LE(count, 8u);
  run(batch);
  for (size_t e = 0; e < once.size(); ++e) {
    EXPECT_EQ(model_.model().expert_counts()[1][e], 2 * once[e]);
  }
  batch.logit_rows.clear();
  run(batch);
  EXPECT_EQ(total(1), 3u * 8 * 2);
  EXPECT_EQ(total(2), 2u * 2 * 2);
}

TEST_F(Forward, ARowOutsideTheBatchIsOurOwnMistake) {
  BatchInput batch = two_sequences();
  batch.logit_rows = {8};
  EXPECT_THROW(run(batch), Error);
}

}  // namespace
}  // namespace glmoe
