#include "base/fault.h"

#include <gtest/gtest.h>

#include "glmoe/error.h"

namespace glmoe {
namespace {

TEST(Fault, EveryKindIsReadFromItsText) {
  EXPECT_EQ(parse_fault("").kind, FaultKind::kNone);
  const Fault nan = parse_fault("nan_logits:12");
  EXPECT_EQ(nan.kind, FaultKind::kNanLogits);
  EXPECT_EQ(nan.step, 12u);
  EXPECT_EQ(parse_fault("step_error:1").kind, FaultKind::kStepError);
  EXPECT_EQ(parse_fault("gpu_lost:7").kind, FaultKind::kGpuLost);
  EXPECT_EQ(parse_fault("gpu_oom").kind, FaultKind::kGpuOutOfMemory);
}

TEST(Fault, StrikesItsStepAlone) {
  const Fault fault = parse_fault("step_error:3");
  EXPECT_TRUE(fault.strikes(FaultKind::kStepError, 3));
  EXPECT_FALSE(fault.strikes(FaultKind::kStepError, 2));
  EXPECT_FALSE(fault.strikes(FaultKind::kNanLogits, 3));
  EXPECT_THROW(maybe_fail_step(fault, 3), Error);
  EXPECT_NO_THROW(maybe_fail_step(fault, 4));
}

TEST(Fault, OtherTextsAreRefusedByName) {
  for (const char* text : {"nan", "nan_logits", "nan_logits:", "nan_logits:0", "nan_logits:x",
                           "nan_logits:3x", "gpu_oom:1", "step_error:-1", ":3"}) {
    try {
      parse_fault(text);
      ADD_FAILURE() << text << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace glmoe
