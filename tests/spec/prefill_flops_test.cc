#include "spec/prefill_flops.h"

#include <gtest/gtest.h>

#include "spec/memory_plan.h"

namespace glmoe {
namespace {

// Small enough to count on paper: H 8, V 10, Hq 4, Hkv 2, D 4, F 6, E 4, K 2, I 3, S 3.
Glm4MoeConfig paper_config(int64_t num_layers) {
  Glm4MoeConfig config;
  config.vocab_size = 10;
  config.hidden_size = 8;
  config.intermediate_size = 6;
  config.num_hidden_layers = num_layers;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.first_k_dense_replace = 1;
  config.moe.num_experts = 4;
  config.moe.top_k = 2;
  config.moe.moe_intermediate_size = 3;
  config.moe.num_shared_experts = 1;
  return config;
}

constexpr double kProjections = 2.0 * 8 * (16 + 2 * 8) + 2.0 * 16 * 8;  // a row
constexpr double kPair = 4.0 * 16;                                      // a query with a key
constexpr double kDense = 6.0 * 8 * 6;
constexpr double kMoe = 2.0 * 8 * 4 + 2 * 6.0 * 8 * 3 + 6.0 * 8 * 3;
constexpr double kHead = 2.0 * 8 * 10;

TEST(PrefillFlops, OneTokenRunsEverythingOnce) {
  EXPECT_DOUBLE_EQ(prefill_flops(paper_config(2), 1),
                   2 * (kProjections + kPair) + kDense + kMoe + kHead);
}

TEST(PrefillFlops, OnlyTheLastRowPassesTheLastLayersSecondHalfAndTheHead) {
  // 5 tokens: 15 causal pairs a layer.
  EXPECT_DOUBLE_EQ(prefill_flops(paper_config(1), 5),
                   5 * kProjections + 15 * kPair + kDense + kHead);
  EXPECT_DOUBLE_EQ(prefill_flops(paper_config(3), 5),
                   3 * (5 * kProjections + 15 * kPair) + 5 * kDense + 5 * kMoe + kMoe + kHead);
}

// Another count of the same model: two operations for each weight that a token meets, which is
// what one token does beside its attention and without the norms and biases.
TEST(PrefillFlops, OneTokenDoesTwoOperationsAWeight) {
  for (const char* name : {"glm-4.5", "glm-4.5-air"}) {
    const Glm4MoeConfig config = Glm4MoeConfig::preset(name);
    const ParameterCount count = count_parameters(config);
    const double weights = static_cast<double>(count.active + count.lm_head);
    EXPECT_NEAR(prefill_flops(config, 1) / (2 * weights), 1.0, 1e-3) << name;
  }
}

}  // namespace
}  // namespace glmoe
