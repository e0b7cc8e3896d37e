// Contexts of 32768 tokens: logits beside the CPU's, a decoded token beside the prefilled one, and
// requests through the whole engine. Two dense layers, so that nothing but length is looked at.
// Mirrors: src/gpu/gpu_executor.cc, src/gpu/step_layout.cc
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "exec/executor.h"
#include "support/gpu.h"
#include "weights/loaded_weights.h"

namespace glmoe {
namespace {

using namespace testing;

constexpr int64_t kLength = 32768;
constexpr int64_t kChunk = 2048;
constexpr int64_t kBlockTokens = 64;
constexpr int64_t kVocab = 512;

Glm4MoeConfig two_dense_layers() {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  config.vocab_size = kVocab;
  config.hidden_size = 256;
  config.intermediate_size = 320;
  config.num_hidden_layers = 2;
  config.first_k_dense_replace = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.num_nextn_predict_layers = 0;
  config.max_position_embeddings = kLength;
  config.eos_token_ids = {1};
  config.pad_token_id = -1;
  return config;
}

std::vector<int32_t> long_text() {
  std::vector<int32_t> ids(kLength);
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>((i * i * 31 + i * 7 + i / 97) % (kVocab - 2) + 2);
  }
  return ids;
}

class LongContextOnTheGpu : public GpuTest {
 protected:
  std::shared_ptr<ThreadTeam> team_ = std::make_shared<ThreadTeam>(0);
};

TEST_F(LongContextOnTheGpu, LogitsAreTheCpusAndTheLastTokenDecodesToThem) {
  const Glm4MoeConfig config = two_dense_layers();
  const auto weights =
      std::make_shared<const LoadedWeights>(dummy_weights(config, DType::kBF16, 1, *team_));
  const GpuBackend backend(config, &weights->weights(), DType::kBF16, *team_);
  const auto gpu = backend.make_executor({.max_num_tokens = kChunk,
                                          .max_batch_size = 4,
                                          .max_seq_len = kLength,
                                          .tokens_per_block = kBlockTokens,
                                          .num_blocks = kLength / kBlockTokens},
                                         *team_);
  CpuExecutor cpu(config, weights, team_,
                  {.tokens_per_block = kBlockTokens, .num_blocks = kLength / kBlockTokens});
  const std::vector<int32_t> ids = long_text();
  const std::vector<float> found = gpu->logits(ids, kChunk);
  EXPECT_LE(relative_error(found, cpu.logits(ids, kChunk)), 1e-2);

  // The cache holds all positions now: the last token once more, as a decoded one.
  StepPlan plan{.step_id = 1};
  plan.started.push_back({.id = 1});
  plan.started[0].sampling.temperature = 0.0f;
  plan.started[0].sampling.num_logprobs = 1;
  SequenceStep& step = plan.sequences.emplace_back();
  step.id = 1;
  step.token_ids = {ids.back()};
  step.start_position = kLength - 1;
  step.block_table.resize(static_cast<size_t>(kLength / kBlockTokens));
  std::iota(step.block_table.begin(), step.block_table.end(), 0);
  step.sample = true;
  const SequenceResult result = gpu->execute(plan).sequences[0];
  ASSERT_TRUE(result.sampled);
  const float* last = found.data() + (kLength - 1) * kVocab;
  double sum = 0.0;
  for (int64_t i = 0; i < kVocab; ++i) sum += std::exp(static_cast<double>(last[i]));
  ASSERT_FALSE(result.logprobs.empty());
  EXPECT_NEAR(result.logprobs[0].logprob,
              static_cast<double>(last[result.token_id]) - std::log(sum), 5e-3);
}

TEST_F(LongContextOnTheGpu, RequestsThatFillTheContextEndAtItsLength) {
  LlmOptions options{.backend = "cuda", .load_format = "dummy", .config = two_dense_layers()};
  options.max_num_tokens = kChunk;
  options.kv_cache.max_tokens = 2 * kLength;
  LLM llm(options);
  std::vector<int32_t> prompt = long_text();
  prompt.resize(kLength - 24);
  SamplingParams greedy;
  greedy.temperature = 0.0f;
  greedy.max_tokens = 24;
  greedy.ignore_eos = true;
  const auto outputs = llm.generate(std::vector<Prompt>{prompt, prompt}, greedy);
  for (const RequestOutput& output : outputs) {
    EXPECT_EQ(output.outputs[0].error, "");
    EXPECT_EQ(output.outputs[0].finish_reason, FinishReason::kLength);
    EXPECT_EQ(output.outputs[0].token_ids.size(), 24u);
  }
}

}  // namespace
}  // namespace glmoe
