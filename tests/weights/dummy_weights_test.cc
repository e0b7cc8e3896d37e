#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "glmoe/error.h"
#include "support/synthetic_source.h"
#include "weights/loaded_weights.h"

namespace glmoe {
namespace {

using glmoe::testing::small_config;

TEST(DummyWeights, HaveTheScaleOfAFreshModel) {
  Glm4MoeConfig config = small_config();
  config.vocab_size = 20000;
  ThreadTeam team(2);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const LoadedWeights loaded = dummy_weights(config, dtype, 7, team);
    const TensorView head = loaded.weights().lm_head.codes;
    std::vector<float> values(static_cast<size_t>(head.num_elements()));
    convert_elements(head.data, dtype, values.data(), DType::kF32, values.size());
    double sum = 0, squares = 0;
    for (const float value : values) {
      ASSERT_LE(std::abs(value), 0.0347f);
      sum += value;
      squares += static_cast<double>(value) * value;
    }
    const auto n = static_cast<double>(values.size());
    EXPECT_NEAR(sum / n, 0.0, 2e-4);
    EXPECT_NEAR(std::sqrt(squares / n), 0.02, 5e-4);
    EXPECT_EQ(loaded.weights().layers[0].input_norm[3], 1.0f);
  }
}

TEST(DummyWeights, DependOnTheSeedAndNotOnTheThreads) {
  ThreadTeam one(1), two(2);
  const LoadedWeights a = dummy_weights(small_config(), DType::kBF16, 7, one);
  const LoadedWeights b = dummy_weights(small_config(), DType::kBF16, 7, two);
  const LoadedWeights c = dummy_weights(small_config(), DType::kBF16, 8, two);
  const auto view = [](const LoadedWeights& w) {
    return w.weights().layers[1].moe->experts_gate_up.codes;
  };
  EXPECT_EQ(std::memcmp(view(a).data, view(b).data, view(a).num_bytes()), 0);
  EXPECT_NE(std::memcmp(view(a).data, view(c).data, view(a).num_bytes()), 0);
}

// 700 GB: were they allocated first, the system would end the process while they are filled.
TEST(DummyWeights, WhatDoesNotFitIsRefusedWithBothNumbers) {
  ThreadTeam team(2);
  try {
    dummy_weights(Glm4MoeConfig::preset("glm-4.5"), DType::kBF16, 7, team, 1'000'000'000);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(" 1000000000 are available"));
    EXPECT_THAT(error.what(), ::testing::ContainsRegex("need 7[0-9]{11} bytes"));
  }
}

}  // namespace
}  // namespace glmoe
