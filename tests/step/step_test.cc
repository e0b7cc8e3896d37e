#include "step/step.h"

#include <gtest/gtest.h>

namespace glmoe {
namespace {

TEST(StepPlan, CountsTheTokensOfAllSequences) {
  StepPlan plan;
  EXPECT_TRUE(plan.empty());
  EXPECT_EQ(plan.num_tokens(), 0);
  plan.released = {4};
  EXPECT_TRUE(plan.empty()) << "nothing to compute";
  plan.sequences.resize(2);
  plan.sequences[0].token_ids = {1, 2, 3};
  plan.sequences[1].token_ids = {9};
  EXPECT_FALSE(plan.empty());
  EXPECT_EQ(plan.num_tokens(), 4);
}

}  // namespace
}  // namespace glmoe
