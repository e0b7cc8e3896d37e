// What a model needs on a GPU, and the refusals where it is not there. Runs without a GPU.
#include "gpu/gpu_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "glmoe/error.h"
#include "spec/memory_plan.h"

namespace glmoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;

const GpuInfo kGpu{.name = "NVIDIA H100 80GB HBM3", .memory_bytes = 80 * kGib, .sm_count = 132};
const Glm4MoeConfig kAir = Glm4MoeConfig::preset("glm-4.5-air");

GpuExecutorOptions step_of(int64_t max_num_tokens) {
  return {.max_num_tokens = max_num_tokens, .max_batch_size = 64, .max_seq_len = 131072};
}

std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

TEST(GpuMemory, WeightsArePlannedWithLittlePadding) {
  const int64_t wanted =
      plan_memory(kAir, {.weight_dtype = DType::kBF16, .kv_dtype = DType::kBF16}).weight_bytes();
  const GpuMemoryNeed need = gpu_memory_need(kAir, DType::kBF16, step_of(2048), 132);
  EXPECT_GE(need.weights_bytes, wanted);
  EXPECT_LE(static_cast<double>(need.weights_bytes), 1.001 * static_cast<double>(wanted));
  EXPECT_EQ(need.kv_block_bytes, int64_t{46} * 2 * 8 * 128 * 2 * 16);
}

TEST(GpuMemory, WeightsThatDoNotFitAreListedByPart) {
  const std::string text = refusal([] { check_weights_fit(kAir, DType::kBF16, kGpu, 79 * kGib); });
  EXPECT_THAT(text, AllOf(HasSubstr("routed experts"), HasSubstr("lm_head"), HasSubstr("weights"),
                          HasSubstr("79.000 GiB  of 80.000 GiB on GPU 0, NVIDIA H100 80GB HBM3"),
                          HasSubstr("--backend cpu")));
  Glm4MoeConfig few = kAir;
  few.num_hidden_layers = 6;
  EXPECT_NO_THROW(check_weights_fit(few, DType::kBF16, kGpu, 79 * kGib));
}

TEST(GpuMemory, TheLargestStepThatFitsIsNamed) {
  constexpr int64_t kFree = 4 * kGib;
  const std::string text =
      refusal([] { check_workspace_fits(kAir, DType::kBF16, step_of(65536), kGpu, kFree); });
  EXPECT_THAT(text, AllOf(HasSubstr("max_num_tokens 65536, max_batch_size 64, max_seq_len 131072"),
                          HasSubstr("a KV block"), HasSubstr("16 tokens")));
  const size_t at = text.find("--max_num_tokens ");
  ASSERT_NE(at, std::string::npos) << text;
  const int64_t fits = std::stoll(text.substr(at + std::string("--max_num_tokens ").size()));
  EXPECT_GT(fits, 1024);
  EXPECT_NO_THROW(check_workspace_fits(kAir, DType::kBF16, step_of(fits), kGpu, kFree));
  EXPECT_THROW(check_workspace_fits(kAir, DType::kBF16, step_of(fits + 1), kGpu, kFree), Error);
}

TEST(GpuMemory, WhereNoStepFitsTheRefusalSaysSo) {
  EXPECT_THAT(
      refusal([] { check_workspace_fits(kAir, DType::kBF16, step_of(2048), kGpu, kGib / 8); }),
      HasSubstr("No --max_num_tokens fits"));
}

TEST(GpuMemory, AVocabularyThatCannotBeSampledIsRefused) {
  Glm4MoeConfig config = kAir;
  config.vocab_size = 400000;
  try {
    (void)gpu_memory_need(config, DType::kBF16, step_of(64), 132);
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("vocab_size 400000 is above 344064"));
  }
}

}  // namespace
}  // namespace glmoe
