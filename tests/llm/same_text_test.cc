// The demo model's answers are the same to the token, and their log-probabilities to the bit,
// alone and in any company: batches, threads, chunks, known prefixes, pre-emption, steps planned
// ahead.
// Mirrors: no one file, because it drives the whole engine through the public API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "glmoe/llm.h"
#include "support/golden.h"

namespace glmoe {
namespace {

using namespace testing;

// One thread: threads that wait for each other take many times as long on a busy machine.
LlmOptions demo_options() {
  LlmOptions options;
  options.model = demo_folder();
  options.num_threads = 1;
  options.kv_cache.max_tokens = 8192;
  return options;
}

SamplingParams sampling_of(size_t i) {
  SamplingParams sampling;
  sampling.temperature = i % 3 == 0 ? 0.0f : 0.9f;
  sampling.seed = i;
  sampling.max_tokens = 4 + static_cast<int64_t>(i * 7 % 57);
  sampling.logprobs = 1;
  if (i % 2 == 0) sampling.ignore_eos = true;
  if (i % 5 == 0) sampling.repetition_penalty = 1.2f;
  return sampling;
}

class SameText : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    LlmOptions options = demo_options();
    options.kv_cache.enable_block_reuse = false;
    LLM llm(options);
    const std::vector<std::string> subjects = {"a violin", "Norway", "happiness", "17 + 25",
                                               "a volcano"};
    for (size_t i = 0; i < 64; ++i) {
      // Lengths from a few tokens to a few hundred; many share a beginning.
      std::string text;
      for (size_t k = 0; k < i % 6; ++k) text += "Answer in one short sentence, please. ";
      text += "What is " + subjects[i % subjects.size()] + "?";
      const std::string messages = Json::array({{{"role", "user"}, {"content", text}}}).dump();
      prompts_.emplace_back(llm.render_chat(messages, {.enable_thinking = i % 2 == 0}));
      sampling_.push_back(sampling_of(i));
      alone_.push_back(llm.generate(prompts_[i], sampling_[i]));
    }
  }

  static void expect_same(const std::vector<RequestOutput>& outputs) {
    ASSERT_EQ(outputs.size(), alone_.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const CompletionOutput& got = outputs[i].outputs[0];
      const CompletionOutput& wanted = alone_[i].outputs[0];
      ASSERT_EQ(got.token_ids, wanted.token_ids) << i << ": " << got.text << " / " << wanted.text;
      ASSERT_EQ(got.text, wanted.text) << i;
      ASSERT_EQ(got.finish_reason, wanted.finish_reason) << i;
      for (size_t t = 0; t < got.logprobs.size(); ++t) {
        ASSERT_EQ(got.logprobs[t][0].logprob, wanted.logprobs[t][0].logprob) << i << ", " << t;
      }
    }
  }

  static std::vector<Prompt> prompts_;
  static std::vector<SamplingParams> sampling_;
  static std::vector<RequestOutput> alone_;
};
std::vector<Prompt> SameText::prompts_;
std::vector<SamplingParams> SameText::sampling_;
std::vector<RequestOutput> SameText::alone_;

TEST_F(SameText, InABatchOf64AndThenWithEveryPrefixKnown) {
  LlmOptions options = demo_options();
  options.num_threads = 2;
  options.kv_cache.max_tokens = 32768;
  LLM llm(options);
  expect_same(llm.generate(prompts_, sampling_));
  const uint64_t hits = llm.stats().prefix_cache_hits;
  expect_same(llm.generate(prompts_, sampling_));
  // All but the last token of each prompt, the ends of blocks included.
  const EngineStats stats = llm.stats();
  EXPECT_EQ(stats.prefix_cache_hits - hits + prompts_.size(), stats.prefix_cache_queries / 2);
  EXPECT_EQ(stats.kv_blocks_free, stats.kv_blocks_total);
}

TEST_F(SameText, InChunksOf16AndOf2048PlannedAheadOrNot) {
  for (const int64_t chunk : {16, 2048}) {
    for (const bool ahead : {false, true}) {
      LlmOptions options = demo_options();
      options.max_batch_size = 16;
      options.max_num_tokens = chunk;
      options.plan_ahead = ahead;
      LLM llm(options);
      expect_same(llm.generate(prompts_, sampling_));
    }
  }
}

TEST_F(SameText, UnderPreemptionWithAndWithoutReuse) {
  for (const bool reuse : {false, true}) {
    for (const bool ahead : {false, true}) {
      LlmOptions options = demo_options();
      options.kv_cache.max_tokens = 288;
      options.max_seq_len = 256;
      // Answers outgrow the one block that admission keeps free for each of them.
      options.kv_cache.tokens_per_block = 4;
      options.kv_cache.enable_block_reuse = reuse;
      options.plan_ahead = ahead;
      LLM llm(options);
      expect_same(llm.generate(prompts_, sampling_));
      EXPECT_GT(llm.stats().preemptions, 0u);
      EXPECT_EQ(llm.stats().prefix_cache_evictions > 0, reuse);
    }
  }
}

TEST_F(SameText, InTheNextTurnOfAConversationWhoseFirstIsKnown) {
  LLM llm(demo_options());
  LlmOptions without = demo_options();
  without.kv_cache.enable_block_reuse = false;
  LLM fresh(without);
  std::vector<int32_t> conversation = llm.tokenize(prompts_[7].text);
  for (int turn = 0; turn < 4; ++turn) {
    SamplingParams sampling = sampling_of(3);
    sampling.max_tokens = 11 + turn;
    const RequestOutput got = llm.generate(conversation, sampling);
    const RequestOutput wanted = fresh.generate(conversation, sampling);
    ASSERT_EQ(got.outputs[0].token_ids, wanted.outputs[0].token_ids) << turn;
    for (size_t t = 0; t < got.outputs[0].logprobs.size(); ++t) {
      ASSERT_EQ(got.outputs[0].logprobs[t][0].logprob, wanted.outputs[0].logprobs[t][0].logprob);
    }
    EXPECT_EQ(wanted.metrics.num_cached_tokens, 0);
    if (turn > 0) {
      // Everything up to the last generated token but one, at whatever place of a block it ends.
      EXPECT_GE(got.metrics.num_cached_tokens, static_cast<int64_t>(conversation.size()) - 4);
    }
    const std::vector<int32_t>& answer = got.outputs[0].token_ids;
    conversation.insert(conversation.end(), answer.begin(), answer.end());
    for (const int32_t id : {50, 60}) conversation.push_back(id + turn);
  }
}

TEST_F(SameText, AnswersOfOneRequestShareItsPrompt) {
  LlmOptions options = demo_options();
  options.kv_cache.enable_block_reuse = false;
  LLM without(options), llm(demo_options());
  SamplingParams sampling = sampling_of(1);
  sampling.n = 5;
  const RequestOutput wanted = without.generate(prompts_[5], sampling);
  const RequestOutput got = llm.generate(prompts_[5], sampling);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(got.outputs[i].token_ids, wanted.outputs[i].token_ids) << i;
  }
  EXPECT_GT(llm.stats().prefix_cache_hits, 0u);
}

}  // namespace
}  // namespace glmoe
