#include "layers/kernel_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;

bool has_part(const std::vector<KernelChoice>& choices, const std::string& layers) {
  return std::any_of(choices.begin(), choices.end(),
                     [&](const KernelChoice& c) { return c.layers == layers; });
}

TEST(KernelChoice, EveryKindOfLayerThatTheModelHasIsNamed) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  const auto both = explain_on_cpu(config, MoeBackendKind::kAuto, DType::kBF16, "avx2");
  EXPECT_TRUE(has_part(both, "dense layers"));
  EXPECT_TRUE(has_part(both, "MoE layers"));
  EXPECT_THAT(both[0].kernel, HasSubstr("avx2"));
  for (const KernelChoice& c : both) EXPECT_FALSE(c.reason.empty()) << c.part;
  config.num_hidden_layers = 1;
  EXPECT_FALSE(
      has_part(explain_on_cpu(config, MoeBackendKind::kAuto, DType::kBF16, "avx2"), "MoE layers"));
}

TEST(KernelChoice, ABackendThatTheCpuDoesNotRunIsRefused) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  EXPECT_THROW(explain_on_cpu(config, MoeBackendKind::kTrtllm, DType::kBF16, "avx2"), Error);
}

}  // namespace
}  // namespace glmoe
