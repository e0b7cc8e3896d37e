// The executor itself: prompts scored in parts, faults that end one request or one step, refusals.
#include "gpu/gpu_executor.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "support/gpu.h"
#include "weights/loaded_weights.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

Glm4MoeConfig tiny_config() {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  config.vocab_size = 512;
  config.hidden_size = 256;
  config.intermediate_size = 320;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 2;
  config.moe.num_experts = 16;
  config.moe.top_k = 4;
  config.moe.moe_intermediate_size = 128;
  config.num_nextn_predict_layers = 0;
  config.max_position_embeddings = 512;
  config.eos_token_ids = {1};
  config.pad_token_id = -1;
  return config;
}

class ExecutionOnTheGpu : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    weights_ = std::make_shared<const LoadedWeights>(
        dummy_weights(tiny_config(), DType::kBF16, 1, *team_));
    backend_ =
        std::make_unique<GpuBackend>(tiny_config(), &weights_->weights(), DType::kBF16, *team_);
  }
  std::unique_ptr<Executor> executor(Fault fault = {}, bool graphs = true, int64_t batch = 16) {
    return backend_->make_executor({.max_num_tokens = 256,
                                    .max_batch_size = batch,
                                    .max_seq_len = 512,
                                    .num_blocks = 64,
                                    .cuda_graphs = graphs,
                                    .fault = fault},
                                   *team_);
  }
  static std::vector<int32_t> text(int64_t count, uint64_t seed) {
    std::vector<int32_t> ids(static_cast<size_t>(count));
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>((i * 37 + seed * 101 + i * i * seed) % 500);
    }
    return ids;
  }
  // Sequence `id` (from 1) has the blocks 4 (id - 1) and on.
  static SequenceStep step(SequenceId id, std::vector<int32_t> ids, int64_t start = 0) {
    SequenceStep result;
    result.id = id;
    result.token_ids = std::move(ids);
    result.start_position = start;
    result.block_table.resize(4);
    std::iota(result.block_table.begin(), result.block_table.end(),
              static_cast<int32_t>(4 * (id - 1)));
    result.sample = true;
    return result;
  }
  static SequenceStart greedy(SequenceId id) {
    SequenceStart start{.id = id};
    start.sampling.temperature = 0.0f;
    return start;
  }
  // Three sequences, a step of prefill and `num_decodes` of decoding; their results by step.
  static std::vector<StepResult> run_three(Executor& executor, int num_decodes) {
    std::vector<StepResult> results;
    StepPlan plan{.step_id = 1};
    for (SequenceId id = 1; id <= 3; ++id) {
      plan.started.push_back(greedy(id));
      plan.sequences.push_back(step(id, text(static_cast<int64_t>(id) * 5, id)));
    }
    results.push_back(executor.execute(plan));
    for (int d = 0; d < num_decodes; ++d) {
      StepPlan next{.step_id = static_cast<uint64_t>(2 + d)};
      for (const SequenceResult& s : results.back().sequences) {
        if (!s.sampled) {
          next.released.push_back(s.id);
          continue;
        }
        next.sequences.push_back(step(s.id, {s.token_id}, static_cast<int64_t>(s.id) * 5 + d));
      }
      results.push_back(executor.execute(next));
    }
    return results;
  }

  std::shared_ptr<ThreadTeam> team_ = std::make_shared<ThreadTeam>(4);
  std::shared_ptr<const LoadedWeights> weights_;
  std::unique_ptr<GpuBackend> backend_;
};

// 16 rows of logits fit at once; a chunk of 60 is scored in four parts. The CPU says what is right.
TEST_F(ExecutionOnTheGpu, ALongPromptIsScoredInParts) {
  CpuExecutor cpu(tiny_config(), weights_, team_, {.num_blocks = 64});
  StepPlan plan{.step_id = 1, .started = {greedy(1)}, .sequences = {step(1, text(60, 3))}};
  plan.started[0].sampling.num_prompt_logprobs = 3;
  plan.sequences[0].prompt_logprobs = true;
  const SequenceResult found = executor()->execute(plan).sequences[0];
  const SequenceResult wanted = cpu.execute(plan).sequences[0];
  ASSERT_EQ(found.prompt_logprobs.size(), 59u);
  for (size_t i = 0; i < 59; ++i) {
    ASSERT_GE(found.prompt_logprobs[i].size(), 4u);
    EXPECT_EQ(found.prompt_logprobs[i][0].token_id, plan.sequences[0].token_ids[i + 1]);
    EXPECT_NEAR(found.prompt_logprobs[i][0].logprob, wanted.prompt_logprobs[i][0].logprob, 0.05)
        << i;
  }
  EXPECT_TRUE(found.sampled);
}

TEST_F(ExecutionOnTheGpu, GraphsAndSingleLaunchesGiveTheSameTokens) {
  const auto with = executor();
  const auto without = executor({}, false);
  const auto a = run_three(*with, 12);
  const auto b = run_three(*without, 12);
  for (size_t s = 0; s < a.size(); ++s) {
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(a[s].sequences[i].token_id, b[s].sequences[i].token_id) << "step " << s;
    }
  }
}

TEST_F(ExecutionOnTheGpu, NanInOneRowEndsThatSequenceAlone) {
  const auto healthy = run_three(*executor(), 4);
  for (const bool graphs : {true, false}) {
    const auto faulty = run_three(*executor({.kind = FaultKind::kNanLogits, .step = 3}, graphs), 4);
    EXPECT_THAT(faulty[2].sequences[0].error, HasSubstr("NaN in logits, first at token 0"));
    EXPECT_FALSE(faulty[2].sequences[0].sampled);
    ASSERT_EQ(faulty[4].sequences.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(faulty[4].sequences[i].error, "");
      EXPECT_EQ(faulty[4].sequences[i].token_id, healthy[4].sequences[i + 1].token_id);
    }
  }
}

TEST_F(ExecutionOnTheGpu, AfterAFailedStepTheNextOneRuns) {
  const auto gpu = executor({.kind = FaultKind::kStepError, .step = 1});
  EXPECT_THROW(run_three(*gpu, 0), Error);
  EXPECT_EQ(gpu->failure(), "");
  StepPlan plan{.step_id = 2,
                .started = {greedy(9)},
                .sequences = {step(9, text(5, 1))},
                .released = {1, 2, 3}};
  EXPECT_TRUE(gpu->execute(plan).sequences[0].sampled);
}

std::string refusal(LlmOptions options) {
  try {
    const LLM llm(std::move(options));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(ExecutionOnTheGpu, WhatTheGpuCannotRunIsRefusedWithTheReason) {
  LlmOptions options{.backend = "cuda", .load_format = "dummy", .config = tiny_config()};
  options.kv_cache.max_tokens = 1024;
  options.dtype = "float32";
  EXPECT_THAT(refusal(options), HasSubstr("not in float32"));
  options.dtype = "bfloat16";
  options.moe_backend = "TRTLLM";
  EXPECT_THAT(refusal(options), HasSubstr("FP8 block scales or NVFP4"));
  options.moe_backend = "WIDEEP";
  EXPECT_THAT(refusal(options), HasSubstr("several ranks"));
  options.moe_backend = "AUTO";
  options.config->hidden_size = 200;
  EXPECT_THAT(refusal(options), HasSubstr("hidden_size 200 is not a multiple of 64"));
  options.config = Glm4MoeConfig::preset("glm-4.6");
  EXPECT_THAT(refusal(options), ContainsRegex("the weights take [0-9.]+ GiB .*routed experts"));
}

// Loses the GPU in another process: the request that was running ends with an error, every later
// one is refused, and nothing hangs.
TEST_F(ExecutionOnTheGpu, AfterTheGpuIsLostEveryRequestIsToldSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto lose_it = [] {
    setenv("GLMOE_FAULT", "gpu_lost:3", 1);
    LLM llm(demo_options("cuda"));
    SamplingParams greedy;
    greedy.temperature = 0.0f;
    greedy.max_tokens = 8;
    const CompletionOutput answer = llm.generate("What is a violin?", greedy).outputs[0];
    std::string later;
    try {
      (void)llm.generate("And a cello?", greedy);
    } catch (const Error& error) {
      later = error.what();
    }
    const auto says = [](const std::string& text) {
      return text.find("the GPU was lost in step 3") != std::string::npos;
    };
    std::fprintf(stderr, "first: %s\nlater: %s\n", answer.error.c_str(), later.c_str());
    const bool right = answer.finish_reason == FinishReason::kError && says(answer.error) &&
                       says(later) && says(llm.stats().failure);
    std::_Exit(right ? 0 : 1);
  };
  EXPECT_EXIT(lose_it(), ::testing::ExitedWithCode(0), "later: the GPU was lost in step 3");
}

}  // namespace
}  // namespace glmoe
