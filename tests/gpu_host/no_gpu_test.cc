// Without a GPU, or in a build without CUDA: backend cuda is refused with the reason, and auto
// takes the CPU.
// Mirrors: src/gpu/no_cuda.cc, src/gpu/gpu_checks.cc
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/gpu_info.h"
#include "gpu/gpu_backend.h"
#include "support/gpu.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class WithoutAGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (GpuBackend::why_not().empty()) GTEST_SKIP() << "there is a GPU";
  }
};

TEST_F(WithoutAGpu, BackendCudaIsRefusedWithTheReason) {
  ThreadTeam team(1);
  try {
    const GpuBackend backend(Glm4MoeConfig::preset("glm-4.5-air"), nullptr, DType::kBF16, team);
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("backend cuda: " + GpuBackend::why_not()));
  }
}

TEST_F(WithoutAGpu, TheEngineRefusesItToo) {
  try {
    const LLM llm(demo_options("cuda"));
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("backend cuda"));
  }
}

TEST_F(WithoutAGpu, AutoTakesTheCpu) {
  const LLM llm(demo_options("auto"));
  EXPECT_THAT(llm.describe(), HasSubstr("device: CPU"));
}

}  // namespace
}  // namespace glmoe
