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
using ::testing::AllOf;
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

// A second sequence goes on from copies of the first one's blocks, the last of them half full.
TEST_F(ExecutionOnTheGpu, ACopiedBlockIsReadAsItsOriginal) {
  const auto gpu = executor();
  const auto scored = [](SequenceId id) {
    SequenceStart start = greedy(id);
    start.sampling.num_logprobs = 3;
    return start;
  };
  const StepPlan first{.step_id = 1, .started = {scored(1)}, .sequences = {step(1, text(20, 1))}};
  const int32_t token = gpu->execute(first).sequences[0].token_id;
  StepPlan both{.step_id = 2,
                .started = {scored(2)},
                .sequences = {step(1, {token}, 20), step(2, {token}, 20)}};
  both.sequences[1].block_table = {40, 41};
  both.copies = {{.from = 0, .to = 40}, {.from = 1, .to = 41}};
  const StepResult result = gpu->execute(both);
  EXPECT_EQ(result.sequences[0].token_id, result.sequences[1].token_id);
  ASSERT_EQ(result.sequences[0].logprobs.size(), result.sequences[1].logprobs.size());
  for (size_t i = 0; i < result.sequences[0].logprobs.size(); ++i) {
    EXPECT_EQ(result.sequences[0].logprobs[i].logprob, result.sequences[1].logprobs[i].logprob);
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
  EXPECT_THAT(refusal(options),
              AllOf(HasSubstr("no room for the model's weights"), HasSubstr("routed experts")));
}

// Faults that the program is asked for from outside; each in a process of its own, which reads the
// environment anew.
class FaultsOnTheGpu : public GpuTest {
 protected:
  static std::vector<CompletionOutput> answers(LLM& llm, const std::vector<std::string>& prompts) {
    SamplingParams greedy;
    greedy.temperature = 0.0f;
    greedy.max_tokens = 8;
    greedy.ignore_eos = true;
    std::vector<CompletionOutput> all;
    for (const RequestOutput& output :
         llm.generate(std::vector<Prompt>(prompts.begin(), prompts.end()), greedy)) {
      all.push_back(output.outputs[0]);
    }
    return all;
  }
  // What the engine refuses with; "" where it answers.
  static std::string refusal_of(LLM& llm) {
    try {
      (void)answers(llm, {"And a cello?"});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  static bool has(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  }
  // `body` returns whether all was right, and prints what it saw.
  template <class Body>
  static void expect_with_fault(const char* fault, const Body& body) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    setenv("GLMOE_FAULT", fault, 1);
    EXPECT_EXIT(std::_Exit(body() ? 0 : 1), ::testing::ExitedWithCode(0), "");
    unsetenv("GLMOE_FAULT");
  }
};

// The request that was running ends with an error, every later one is refused, and nothing hangs.
TEST_F(FaultsOnTheGpu, AfterTheGpuIsLostEveryRequestIsToldSo) {
  expect_with_fault("gpu_lost:3", [] {
    LLM llm(demo_options("cuda"));
    const CompletionOutput answer = answers(llm, {"What is a violin?"})[0];
    const std::string later = refusal_of(llm);
    std::fprintf(stderr, "first: %s\nlater: %s\n", answer.error.c_str(), later.c_str());
    constexpr const char* kSaid = "the GPU was lost in step 3";
    return answer.finish_reason == FinishReason::kError && has(answer.error, kSaid) &&
           has(later, kSaid) && has(llm.stats().failure, kSaid);
  });
}

TEST_F(FaultsOnTheGpu, NanInLogitsEndsOneRequestAndNotItsNeighbour) {
  expect_with_fault("nan_logits:4", [] {
    LLM llm(demo_options("cuda"));
    const auto both = answers(llm, {"What is a violin?", "Define happiness."});
    std::fprintf(stderr, "%s / %s\n", both[0].error.c_str(), both[1].error.c_str());
    const bool one = (both[0].finish_reason == FinishReason::kError) !=
                     (both[1].finish_reason == FinishReason::kError);
    const CompletionOutput& ended = both[0].error.empty() ? both[1] : both[0];
    const CompletionOutput& other = both[0].error.empty() ? both[0] : both[1];
    return one && has(ended.error, "NaN in logits") && other.token_ids.size() == 8 &&
           refusal_of(llm).empty();
  });
}

TEST_F(FaultsOnTheGpu, AFailedStepEndsItsRequestsAndTheNextOnesRun) {
  expect_with_fault("step_error:2", [] {
    LLM llm(demo_options("cuda"));
    const CompletionOutput answer = answers(llm, {"What is a violin?"})[0];
    std::fprintf(stderr, "%s\n", answer.error.c_str());
    return answer.finish_reason == FinishReason::kError && has(answer.error, "step 2 fails") &&
           refusal_of(llm).empty();
  });
}

TEST_F(FaultsOnTheGpu, AGpuWithoutRoomIsRefusedWithEveryPart) {
  expect_with_fault("gpu_oom", [] {
    const std::string said = refusal(demo_options("cuda"));
    std::fprintf(stderr, "%s\n", said.c_str());
    return has(said, "no room for the model's weights") && has(said, "routed experts") &&
           has(said, "free") && has(said, "0.000 GiB");
  });
}

}  // namespace
}  // namespace glmoe
