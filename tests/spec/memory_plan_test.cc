#include "spec/memory_plan.h"

#include <gtest/gtest.h>

#include "glmoe/error.h"

namespace glmoe {
namespace {

TEST(CountParameters, AgreesWithPublishedFigures) {
  const ParameterCount air = count_parameters(Glm4MoeConfig::preset("glm-4.5-air"));
  EXPECT_EQ(air.trunk, 106'852'245'504);
  EXPECT_EQ(air.selection_bias, 45 * 128);
  EXPECT_NEAR(static_cast<double>(air.active), 12.2e9, 0.05e9);
  EXPECT_NEAR(static_cast<double>(air.trunk + air.mtp), 110.47e9, 0.01e9);
  const ParameterCount large = count_parameters(Glm4MoeConfig::preset("glm-4.5"));
  EXPECT_EQ(large.trunk, 352'797'814'784);
  EXPECT_NEAR(static_cast<double>(large.active), 32.1e9, 0.1e9);
  EXPECT_NEAR(static_cast<double>(large.trunk + large.mtp), 358.34e9, 0.01e9);
}

TEST(MemoryPlan, KvBytesPerTokenAreThePublishedFigures) {
  EXPECT_EQ(plan_memory(Glm4MoeConfig::preset("glm-4.5-air"), {}).kv_bytes_per_token, 188'416);
  EXPECT_EQ(plan_memory(Glm4MoeConfig::preset("glm-4.5"), {}).kv_bytes_per_token, 376'832);
}

TEST(MemoryPlan, MatricesFollowTheWeightTypeAndTheRestIsF32) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
  const MemoryPlan two = plan_memory(config, {.weight_dtype = DType::kBF16});
  const MemoryPlan four = plan_memory(config, {.weight_dtype = DType::kF32});
  EXPECT_EQ(two.embedding, 8192 * 256 * 2);
  EXPECT_EQ(four.embedding, 2 * two.embedding);
  EXPECT_EQ(two.router, 5 * (16 * 256 + 16) * 4);
  EXPECT_EQ(four.router, two.router);
  EXPECT_EQ(two.mtp, 0);
  EXPECT_GT(plan_memory(config, {.include_mtp = true}).mtp, 0);
}

TEST(MemoryPlan, TakesTheWorstStageAndDividesTheRest) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  const MemoryPlan whole = plan_memory(config, {});
  const MemoryPlan tp = plan_memory(config, {.mapping = {.tp_size = 8, .ep_size = 8}});
  EXPECT_EQ(tp.routed_experts * 8, whole.routed_experts);
  EXPECT_EQ(tp.kv_bytes_per_token * 8, whole.kv_bytes_per_token);
  const MemoryPlan pp = plan_memory(config, {.mapping = {.pp_size = 4}});
  EXPECT_LT(pp.weight_bytes(), whole.weight_bytes() / 3);
  EXPECT_GT(pp.weight_bytes(), whole.weight_bytes() / 4);
}

TEST(MemoryPlan, ActiveBytesCountChosenExpertsAndTheHead) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  const MemoryPlan plan = plan_memory(config, {});
  const double expected = static_cast<double>(plan.weight_bytes() - plan.embedding) -
                          static_cast<double>(plan.routed_experts) * 120.0 / 128.0;
  EXPECT_DOUBLE_EQ(plan.active_weight_bytes_per_token(), expected);
}

TEST(MemoryPlan, LargestContextIsWholeBlocksWithinTheModelsLimit) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
  const MemoryPlan plan = plan_memory(config, {});
  const int64_t fixed = plan.weight_bytes() + plan.workspace;
  EXPECT_EQ(plan.largest_context(fixed), 0);
  EXPECT_EQ(plan.largest_context(fixed - 1), 0);
  EXPECT_EQ(plan.largest_context(fixed + 33 * plan.kv_bytes_per_token), 32);
  EXPECT_EQ(plan.largest_context(int64_t{1} << 50), config.max_position_embeddings);
}

TEST(MemoryPlan, RoundsTokensUpToBlocksAndAddsEverythingUp) {
  const MemoryPlan plan = plan_memory(Glm4MoeConfig::preset("demo"), {.kv_tokens = 17});
  EXPECT_EQ(plan.kv_tokens, 32);
  EXPECT_EQ(plan.total_bytes(),
            plan.weight_bytes() + 32 * plan.kv_bytes_per_token + plan.workspace);
  EXPECT_EQ(plan.to_json()["total"], plan.total_bytes());
  EXPECT_NE(plan.to_string().find("routed_experts"), std::string::npos);
}

TEST(MemoryPlan, RefusesSizesOutOfRangeAndMappingsThatDoNotFit) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  EXPECT_THROW(plan_memory(config, {.kv_tokens = -1}), Error);
  EXPECT_THROW(plan_memory(config, {.kv_tokens = INT64_MAX}), Error);
  EXPECT_THROW(plan_memory(config, {.mapping = {.tp_size = 5}}), Error);
}

}  // namespace
}  // namespace glmoe
