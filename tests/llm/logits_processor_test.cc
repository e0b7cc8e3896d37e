// Logits processors, and logits and hidden states as tensors, through the public API.
// Mirrors: src/sample/logits_hook.cc, src/exec/executor.cc, src/llm/llm.cc
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <stdexcept>

#include "glmoe/llm.h"
#include "support/demo_model.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class ProcessedLogits : public DemoModel {};

TEST_F(ProcessedLogits, ALogitsProcessorSeesTheTokensAndDecidesTheNext) {
  const std::vector<int32_t> forced = {300, 301, 302, 303, 304};
  SamplingParams sampling = greedy(5);
  std::vector<std::vector<int32_t>> seen;
  sampling.logits_processor = [&](std::span<const int32_t> tokens, std::span<float> logits) {
    EXPECT_EQ(static_cast<int64_t>(logits.size()), llm_->config().vocab_size);
    seen.emplace_back(tokens.begin(), tokens.end());
    logits[static_cast<size_t>(forced[seen.size() - 1])] = 1e6f;
  };
  const RequestOutput output = llm_->generate(ask("What is a violin?"), sampling);
  EXPECT_EQ(output.outputs[0].token_ids, forced);
  ASSERT_EQ(seen.size(), 5u);
  for (size_t i = 0; i < seen.size(); ++i) {
    std::vector<int32_t> wanted = output.prompt_token_ids;
    wanted.insert(wanted.end(), forced.begin(), forced.begin() + static_cast<int64_t>(i));
    EXPECT_EQ(seen[i], wanted) << i;
  }
}

TEST_F(ProcessedLogits, ALogitsProcessorRunsBeforeTheLogitBias) {
  SamplingParams sampling = greedy(1);
  sampling.logits_processor = [](std::span<const int32_t>, std::span<float> logits) {
    std::ranges::fill(logits, 0.0f);
    logits[400] = 5.0f;
  };
  sampling.logit_bias = {{401, 6.0f}};  // were it added first, the processor would take it away
  EXPECT_EQ(llm_->generate(ask("Hello"), sampling).outputs[0].token_ids, std::vector<int32_t>{401});
}

TEST_F(ProcessedLogits, OneThatChangesNothingChangesNoTokenOfSeededAnswers) {
  SamplingParams sampling;
  sampling.max_tokens = 24;
  sampling.seed = 7;
  sampling.n = 3;
  const RequestOutput without = llm_->generate(ask("Tell me of the sea."), sampling);
  sampling.logits_processor = [](std::span<const int32_t>, std::span<float>) {};
  const RequestOutput with = llm_->generate(ask("Tell me of the sea."), sampling);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(with.outputs[i].token_ids, without.outputs[i].token_ids) << i;
  }
}

TEST_F(ProcessedLogits, AFailingLogitsProcessorEndsItsAnswerAlone) {
  SamplingParams failing = greedy(20);
  failing.ignore_eos = true;
  int calls = 0;
  failing.logits_processor = [&](std::span<const int32_t>, std::span<float>) {
    if (++calls == 4) throw std::runtime_error("the grammar has no such word");
  };
  SamplingParams plain = greedy(20);
  plain.ignore_eos = true;
  const Prompt prompt(ask("What is a violin?"));
  const std::vector<RequestOutput> outputs = llm_->generate(
      std::vector<Prompt>{prompt, prompt}, std::vector<SamplingParams>{failing, plain});
  EXPECT_EQ(outputs[0].outputs[0].finish_reason, FinishReason::kError);
  EXPECT_THAT(
      outputs[0].outputs[0].error,
      ::testing::AllOf(HasSubstr("logits processor"), HasSubstr("the grammar has no such word")));
  EXPECT_EQ(outputs[0].outputs[0].token_ids.size(), 3u);
  EXPECT_EQ(outputs[1].outputs[0].finish_reason, FinishReason::kLength);
  EXPECT_EQ(outputs[1].outputs[0].token_ids.size(), 20u);
}

TEST_F(ProcessedLogits, ALogitsProcessorSeesEveryTokenWhereStepsArePlannedAhead) {
  LlmOptions options = demo_options();
  options.plan_ahead = true;
  LLM ahead(options);
  std::vector<size_t> lengths;
  SamplingParams sampling = greedy(8);
  sampling.ignore_eos = true;
  std::vector<int32_t> last;
  sampling.logits_processor = [&](std::span<const int32_t> tokens, std::span<float> logits) {
    lengths.push_back(tokens.size());
    last.assign(tokens.begin(), tokens.end());
    logits[500 + lengths.size()] = 1e6f;
  };
  const RequestOutput output = ahead.generate(ask("Hello"), sampling);
  ASSERT_GE(lengths.size(), 8u);
  for (size_t i = 1; i < 8; ++i) EXPECT_EQ(lengths[i], lengths[0] + i);
  EXPECT_EQ(output.outputs[0].token_ids,
            (std::vector<int32_t>{501, 502, 503, 504, 505, 506, 507, 508}));
}

// --- Logits and hidden states as tensors

TEST_F(ProcessedLogits, LogitsAndHiddenStatesComeAsTensorsThatOutliveTheCall) {
  const std::vector<std::vector<int32_t>> rows = {{301, 302, 303}, {304}};
  const std::vector<std::vector<float>> logits = llm_->logits(rows);
  const std::vector<Tensor> tensors = llm_->logits_tensors(rows);
  const std::vector<Tensor> hidden = llm_->hidden_states(rows);
  ASSERT_EQ(tensors.size(), 2u);
  ASSERT_EQ(hidden.size(), 2u);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto length = static_cast<int64_t>(rows[i].size());
    EXPECT_EQ(tensors[i].shape, (std::vector<int64_t>{length, llm_->config().vocab_size}));
    EXPECT_EQ(hidden[i].shape, (std::vector<int64_t>{length, llm_->config().hidden_size}));
    ASSERT_NE(tensors[i].owner, nullptr);
    const auto* values = static_cast<const float*>(tensors[i].data);
    EXPECT_TRUE(std::equal(logits[i].begin(), logits[i].end(), values));
  }
  EXPECT_THROW((void)llm_->hidden_states({{-1}}), Error);
  EXPECT_THROW((void)llm_->hidden_states({{}}), Error);
}

}  // namespace
}  // namespace glmoe
