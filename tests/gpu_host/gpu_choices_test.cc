// Which kernels the GPU takes, asked without one.
// Mirrors: src/gpu/gpu_choices.cc
#include "gpu/gpu_choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;

std::string kernel_of(const std::vector<KernelChoice>& choices, const std::string& part) {
  for (const KernelChoice& c : choices) {
    if (c.part == part) return c.kernel;
  }
  return "";
}

TEST(GpuChoices, PublishedHeadsTakeTheFastKernelsAndOthersThePlainOnes) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  EXPECT_TRUE(has_fast_heads(config, 16));
  EXPECT_FALSE(has_fast_heads(config, 8));
  EXPECT_FALSE(has_fast_heads(config, 48));
  EXPECT_EQ(kernel_of(explain_on_gpu(config, MoeBackendKind::kAuto, 16), "attention, decode"),
            "attention_decode");
  config.head_dim = 64;
  EXPECT_FALSE(has_fast_heads(config, 16));
  EXPECT_THAT(kernel_of(explain_on_gpu(config, MoeBackendKind::kAuto, 16), "attention, decode"),
              HasSubstr("plain"));
}

TEST(GpuChoices, TheExpertsAreThoseOfTheBackendAskedFor) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  const std::string part = "routed and shared experts";
  // 129 experts, 16 rows each, 9 slots a token.
  EXPECT_THAT(kernel_of(explain_on_gpu(config, MoeBackendKind::kAuto, 16), part),
              HasSubstr(std::to_string(kMaxStreamedRowsPerExpert * 129 / 9) + " tokens"));
  EXPECT_THAT(kernel_of(explain_on_gpu(config, MoeBackendKind::kVanilla, 16), part),
              HasSubstr("VANILLA"));
  EXPECT_TRUE(can_implement_on_gpu(MoeBackendKind::kCutlass, config).ok());
  EXPECT_FALSE(can_implement_on_gpu(MoeBackendKind::kWideep, config).ok());
  EXPECT_THROW(explain_on_gpu(config, MoeBackendKind::kWideep, 16), Error);
}

}  // namespace
}  // namespace glmoe
