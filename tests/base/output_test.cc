#include "glmoe/output.h"

#include <gtest/gtest.h>

namespace glmoe {
namespace {

TEST(FinishReason, HasAStableName) {
  EXPECT_EQ(finish_reason_name(FinishReason::kNone), "");
  EXPECT_EQ(finish_reason_name(FinishReason::kStop), "stop");
  EXPECT_EQ(finish_reason_name(FinishReason::kLength), "length");
  EXPECT_EQ(finish_reason_name(FinishReason::kCancelled), "cancelled");
  EXPECT_EQ(finish_reason_name(FinishReason::kError), "error");
  EXPECT_EQ(finish_reason_name(FinishReason::kTimeout), "timeout");
}

}  // namespace
}  // namespace glmoe
