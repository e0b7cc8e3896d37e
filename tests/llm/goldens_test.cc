// Numerics against Hugging Face: logits and greedy tokens of the six tiny models.
// Mirrors: no one file, because it drives the whole engine through the public API.
#include <gtest/gtest.h>

#include "glmoe/llm.h"
#include "support/golden.h"

namespace glmoe {
namespace {

using namespace testing;

class GoldenModel : public ::testing::TestWithParam<std::string> {
 protected:
  LLM load(const std::string& dtype, int64_t chunk = 2048, const std::string& moe = "AUTO") {
    LlmOptions options;
    options.model = golden_folder(GetParam());
    options.dtype = dtype;
    options.moe_backend = moe;
    options.max_batch_size = 3;
    options.max_num_tokens = chunk;
    options.num_threads = 2;
    return LLM(options);
  }
};

TEST_P(GoldenModel, Float32LogitsEqualHuggingFace) {
  const Golden golden = read_golden(GetParam());
  LLM llm = load("float32");
  EXPECT_LE(relative_error(flatten(llm.logits(golden.input_ids)), golden.logits), 1e-5);
}

TEST_P(GoldenModel, Bfloat16LogitsAreCloseToHuggingFace) {
  const Golden golden = read_golden(GetParam());
  LLM llm = load("bfloat16");
  const double error = relative_error(flatten(llm.logits(golden.input_ids)), golden.logits);
  EXPECT_LE(error, 2e-2);
  EXPECT_GT(error, 1e-5) << "bfloat16 was asked for, but nothing was rounded";
}

TEST_P(GoldenModel, Float16LogitsAreCloseToHuggingFace) {
  const Golden golden = read_golden(GetParam());
  LLM llm = load("float16");
  EXPECT_LE(relative_error(flatten(llm.logits(golden.input_ids)), golden.logits), 2e-3);
}

TEST_P(GoldenModel, LogitsDoNotDependOnThePrefillChunkToTheBit) {
  const Golden golden = read_golden(GetParam());
  for (const char* dtype : {"float32", "bfloat16"}) {
    LLM whole = load(dtype);
    const auto wanted = whole.logits(golden.input_ids);
    for (const int64_t chunk : {3, 5, 16, 32}) {
      LLM pieces = load(dtype, chunk);
      EXPECT_EQ(pieces.logits(golden.input_ids), wanted) << dtype << " in chunks of " << chunk;
    }
  }
}

TEST_P(GoldenModel, VanillaAndGroupedExpertsAgreeToTheBit) {
  const Golden golden = read_golden(GetParam());
  LLM grouped = load("float32", 2048, "CUTLASS");
  LLM vanilla = load("float32", 2048, "VANILLA");
  EXPECT_EQ(grouped.logits(golden.input_ids), vanilla.logits(golden.input_ids));
}

TEST_P(GoldenModel, GreedyTokensEqualHuggingFaceInFloat32) {
  const Golden golden = read_golden(GetParam());
  LLM llm = load("float32");
  SamplingParams greedy;
  greedy.temperature = 0.0f;
  greedy.max_tokens = 24;
  greedy.ignore_eos = true;
  std::vector<Prompt> prompts;
  for (const auto& row : golden.greedy_ids) {
    prompts.emplace_back(std::vector<int32_t>(row.begin(), row.begin() + 12));
  }
  const auto outputs = llm.generate(prompts, greedy);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::vector<int32_t> wanted(golden.greedy_ids[i].begin() + 12,
                                      golden.greedy_ids[i].end());
    EXPECT_EQ(outputs[i].outputs[0].token_ids, wanted) << "row " << i;
    EXPECT_EQ(outputs[i].outputs[0].finish_reason, FinishReason::kLength);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel, ::testing::ValuesIn(golden_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace glmoe
