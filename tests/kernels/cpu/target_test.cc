#include "kernels/cpu/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace glmoe {
namespace {

TEST(CpuTargetTest, TheTargetInUseIsOneThatTheMachineSupports) {
  EXPECT_THAT(supported_cpu_targets(), testing::Contains(cpu_target()));
  EXPECT_STREQ(cpu_target_name(), cpu_target_name(cpu_target()));
}

TEST(CpuTargetTest, SupportedTargetsBeginWithTheBaselineAndRise) {
  const auto targets = supported_cpu_targets();
  ASSERT_FALSE(targets.empty());
  EXPECT_EQ(targets.front(), CpuTarget::kBaseline);
  EXPECT_TRUE(std::is_sorted(targets.begin(), targets.end()));
}

}  // namespace
}  // namespace glmoe
