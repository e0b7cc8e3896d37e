#include "spec/step_floor.h"

#include <gtest/gtest.h>

#include "spec/prefill_flops.h"

namespace glmoe {
namespace {

MemoryPlan plan_of(const Glm4MoeConfig& config) { return plan_memory(config, {}); }

// One token's step is what the plan says a decoded token reads, counted another way there.
TEST(StepFloor, AStepOfOneTokenReadsItsActiveWeightsAndItsContext) {
  for (const char* name : {"glm-4.5", "glm-4.5-air"}) {
    const Glm4MoeConfig config = Glm4MoeConfig::preset(name);
    const MemoryPlan plan = plan_of(config);
    const auto chosen = static_cast<double>(config.num_moe_layers() * config.moe.top_k);
    EXPECT_NEAR(step_bytes(config, plan, chosen, 100.0) /
                    (plan.active_weight_bytes_per_token() +
                     100.0 * static_cast<double>(plan.kv_bytes_per_token)),
                1.0, 1e-6)
        << name;
  }
}

TEST(StepFloor, EachFurtherExpertIsReadOnce) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  const MemoryPlan plan = plan_of(config);
  EXPECT_DOUBLE_EQ(step_bytes(config, plan, 11.0, 0.0) - step_bytes(config, plan, 10.0, 0.0),
                   3.0 * 4096 * 1408 * 2);
  // All of them, and the embedding is all that is left unread.
  const auto all = static_cast<double>(config.num_moe_layers() * config.moe.num_experts);
  EXPECT_NEAR(step_bytes(config, plan, all, 0.0),
              static_cast<double>(plan.weight_bytes() - plan.embedding), 1e4);
}

TEST(StepFloor, AModelOfDenseLayersHasNoExpertsToRead) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  config.num_hidden_layers = 1;
  const MemoryPlan plan = plan_of(config);
  EXPECT_EQ(step_bytes(config, plan, 0.0, 0.0),
            static_cast<double>(plan.weight_bytes() - plan.embedding));
}

TEST(StepFloor, DecodeOfOneTokenWithoutContextIsAPrefillOfOne) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  config.num_hidden_layers = 3;
  EXPECT_DOUBLE_EQ(decode_flops(config, 1.0, 1.0), prefill_flops(config, 1));
  EXPECT_DOUBLE_EQ(decode_flops(config, 8.0, 101.0),
                   8.0 * (prefill_flops(config, 1) + 4.0 * 96 * 128 * 3 * 100));
}

TEST(StepFloor, OnlyExpertsWhoseCountGrewAreCounted) {
  EXPECT_EQ(experts_between({{}, {1, 2, 3}, {0, 0, 9}}, {{}, {1, 5, 4}, {0, 1, 9}}), 3);
  EXPECT_EQ(experts_between({{}, {1, 2}}, {{}, {1, 2}}), 0);
}

TEST(StepFloor, TheSlowerOfReadingAndComputingIsTheFloor) {
  EXPECT_DOUBLE_EQ(floor_us(3e9, 1e12, 3000.0, 500.0), 2000.0);
  EXPECT_DOUBLE_EQ(floor_us(3e9, 1e12, 1000.0, 500.0), 3000.0);
  EXPECT_DOUBLE_EQ(floor_us(3e9, 1e15, 1000.0, 0.0), 3000.0);
}

}  // namespace
}  // namespace glmoe
