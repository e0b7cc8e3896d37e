// Generation through the public API: streams, stopping, sampling options, cancellation, refusals.
// Mirrors: no one file, because it drives the whole engine through the public API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "glmoe/llm.h"
#include "support/demo_model.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class Generate : public DemoModel {
 protected:
  // The message of the Error that submitting this throws; empty where it does not.
  static std::string refusal(const Prompt& prompt, const SamplingParams& sampling) {
    try {
      (void)llm_->generate(prompt, sampling);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "";
  }
};

TEST_F(Generate, StreamedPiecesAddUpToTheWholeAnswer) {
  const RequestOutput whole = llm_->generate(ask("What is a violin?"), greedy());
  ResponseStream stream = llm_->submit({ask("What is a violin?"), greedy()});
  std::string text;
  std::vector<int32_t> ids;
  OutputDelta delta;
  int deltas = 0;
  while (stream.next(delta)) {
    text += delta.text;
    ids.insert(ids.end(), delta.token_ids.begin(), delta.token_ids.end());
    ++deltas;
  }
  EXPECT_EQ(text, whole.outputs[0].text);
  EXPECT_EQ(ids, whole.outputs[0].token_ids);
  EXPECT_GT(deltas, 5);
  EXPECT_TRUE(delta.request_finished);
  EXPECT_EQ(delta.finish_reason, FinishReason::kStop);
  EXPECT_FALSE(stream.next(delta));
}

TEST_F(Generate, EndsAtTheEndTokenAndNamesIt) {
  const CompletionOutput answer =
      llm_->generate(ask("What is the capital of Peru?"), greedy()).outputs[0];
  EXPECT_THAT(answer.text, HasSubstr("Lima"));
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
  EXPECT_EQ(answer.stop_reason, std::to_string(answer.token_ids.back()));
}

TEST_F(Generate, IgnoreEosGoesOnToMaxTokens) {
  SamplingParams sampling = greedy(40);
  sampling.ignore_eos = true;
  const CompletionOutput answer =
      llm_->generate(ask("What is the capital of Peru?"), sampling).outputs[0];
  EXPECT_EQ(answer.token_ids.size(), 40u);
  EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
}

TEST_F(Generate, MinTokensHoldsTheEndTokenBack) {
  SamplingParams sampling = greedy(60);
  sampling.min_tokens = 30;
  const CompletionOutput answer =
      llm_->generate(ask("What is the capital of Peru?"), sampling).outputs[0];
  EXPECT_GE(answer.token_ids.size(), 30u);
}

TEST_F(Generate, StopStringEndsTheAnswerBeforeIt) {
  const std::string whole = llm_->generate(ask("What is a violin?"), greedy()).outputs[0].text;
  const size_t place = whole.find("instrument");
  ASSERT_NE(place, std::string::npos) << whole;
  SamplingParams sampling = greedy();
  sampling.stop = {"never there", "instrument"};
  CompletionOutput answer = llm_->generate(ask("What is a violin?"), sampling).outputs[0];
  EXPECT_EQ(answer.text, whole.substr(0, place));
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
  EXPECT_EQ(answer.stop_reason, "instrument");
  sampling.include_stop_str_in_output = true;
  answer = llm_->generate(ask("What is a violin?"), sampling).outputs[0];
  EXPECT_EQ(answer.text, whole.substr(0, place) + "instrument");
}

TEST_F(Generate, StopTokenIdEndsTheAnswer) {
  const std::vector<int32_t> whole =
      llm_->generate(ask("What is a violin?"), greedy()).outputs[0].token_ids;
  SamplingParams sampling = greedy();
  sampling.stop_token_ids = {whole[3]};
  const CompletionOutput answer = llm_->generate(ask("What is a violin?"), sampling).outputs[0];
  EXPECT_LE(answer.token_ids.size(), 4u);
  EXPECT_EQ(answer.stop_reason, std::to_string(whole[3]));
}

TEST_F(Generate, LogitBiasForcesAndForbidsTokens) {
  const int32_t usual = llm_->generate(ask("Hello!"), greedy(1)).outputs[0].token_ids[0];
  SamplingParams sampling = greedy(1);
  sampling.logit_bias = {{usual, -100.0f}};
  EXPECT_NE(llm_->generate(ask("Hello!"), sampling).outputs[0].token_ids[0], usual);
  sampling.logit_bias = {{42, 100.0f}};
  EXPECT_EQ(llm_->generate(ask("Hello!"), sampling).outputs[0].token_ids[0], 42);
}

TEST_F(Generate, SeededAnswersRepeatAndTheNAnswersDiffer) {
  SamplingParams sampling;
  sampling.temperature = 1.5f;
  sampling.top_p = 1.0f;
  sampling.seed = 7;
  sampling.n = 4;
  sampling.max_tokens = 20;
  const RequestOutput first = llm_->generate(ask("Tell me about Norway."), sampling);
  const RequestOutput second = llm_->generate(ask("Tell me about Norway."), sampling);
  ASSERT_EQ(first.outputs.size(), 4u);
  int different = 0;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(first.outputs[i].token_ids, second.outputs[i].token_ids);
    different += first.outputs[i].token_ids != first.outputs[0].token_ids ? 1 : 0;
  }
  EXPECT_GE(different, 2);
}

TEST_F(Generate, LogprobsAreOrderedAndTheGreedyTokenRanksFirst) {
  SamplingParams sampling = greedy(5);
  sampling.logprobs = 3;
  sampling.prompt_logprobs = 2;
  const RequestOutput output = llm_->generate(ask("What is 17 + 25?"), sampling);
  const CompletionOutput& answer = output.outputs[0];
  ASSERT_EQ(answer.logprobs.size(), answer.token_ids.size());
  for (size_t i = 0; i < answer.logprobs.size(); ++i) {
    ASSERT_EQ(answer.logprobs[i].size(), 4u);  // the token itself, then three alternatives
    EXPECT_EQ(answer.logprobs[i][0].token_id, answer.token_ids[i]);
    EXPECT_EQ(answer.logprobs[i][0].rank, 1);
    EXPECT_GE(answer.logprobs[i][1].logprob, answer.logprobs[i][2].logprob);
    EXPECT_LE(answer.logprobs[i][0].logprob, 0.0f);
  }
  ASSERT_EQ(output.prompt_logprobs.size(), output.prompt_token_ids.size());
  EXPECT_TRUE(output.prompt_logprobs[0].empty());
  for (size_t i = 1; i < output.prompt_logprobs.size(); ++i) {
    EXPECT_EQ(output.prompt_logprobs[i][0].token_id, output.prompt_token_ids[i]);
  }
}

TEST_F(Generate, PromptLogprobsDoNotDependOnTheChunk) {
  SamplingParams sampling = greedy(2);
  sampling.prompt_logprobs = 1;
  const RequestOutput whole = llm_->generate(ask("Where is Japan?"), sampling);
  LlmOptions options = demo_options();
  options.max_num_tokens = 5;
  options.max_batch_size = 4;
  LLM chunked(options);
  const RequestOutput pieces = chunked.generate(ask("Where is Japan?"), sampling);
  ASSERT_EQ(pieces.prompt_logprobs.size(), whole.prompt_logprobs.size());
  for (size_t i = 1; i < whole.prompt_logprobs.size(); ++i) {
    EXPECT_EQ(pieces.prompt_logprobs[i][0].logprob, whole.prompt_logprobs[i][0].logprob) << i;
  }
}

TEST_F(Generate, CancelEndsTheStreamAndGivesTheBlocksBack) {
  SamplingParams sampling = greedy(2000);
  sampling.ignore_eos = true;
  ResponseStream stream = llm_->submit({ask("Count to 12."), sampling});
  OutputDelta delta;
  ASSERT_TRUE(stream.next(delta));
  stream.cancel();
  while (stream.next(delta)) {
  }
  EXPECT_EQ(delta.finish_reason, FinishReason::kCancelled);
  (void)llm_->generate(ask("Hello!"), greedy(2));
  EXPECT_EQ(llm_->stats().kv_blocks_free, llm_->stats().kv_blocks_total);
}

TEST_F(Generate, DroppingAStreamCancelsIt) {
  SamplingParams sampling = greedy(3000);
  sampling.ignore_eos = true;
  { const ResponseStream dropped = llm_->submit({ask("Count to 12."), sampling}); }
  (void)llm_->generate(ask("Hello!"), greedy(2));
  (void)llm_->generate(ask("Hello!"), greedy(2));
  EXPECT_EQ(llm_->stats().num_running, 0);
  EXPECT_EQ(llm_->stats().kv_blocks_free, llm_->stats().kv_blocks_total);
}

TEST_F(Generate, ManyThreadsMaySubmitAtOnce) {
  const std::string wanted = llm_->generate(ask("Define happiness."), greedy()).outputs[0].text;
  std::vector<std::thread> threads;
  std::vector<std::string> texts(8);
  for (size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back(
        [&, i] { texts[i] = llm_->generate(ask("Define happiness."), greedy()).outputs[0].text; });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, wanted);
}

TEST_F(Generate, AnswersAreTheSameUnderPreemption) {
  LlmOptions options = demo_options();
  options.kv_cache.max_tokens = 160;  // a few sequences at a time
  options.max_seq_len = 128;
  LLM small(options);
  std::vector<Prompt> prompts;
  for (const char* question : {"What is a violin?", "Define happiness.", "Where is Japan?",
                               "What is a volcano?", "Tell me about Norway.", "Hello!"}) {
    prompts.emplace_back(ask(question));
  }
  SamplingParams sampling = greedy(60);
  sampling.ignore_eos = true;
  const auto wanted = llm_->generate(prompts, sampling);
  const auto outputs = small.generate(prompts, sampling);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(outputs[i].outputs[0].text, wanted[i].outputs[0].text) << i;
  }
  EXPECT_GT(small.stats().preemptions, 0u);
  EXPECT_EQ(small.stats().kv_blocks_free, small.stats().kv_blocks_total);
}

TEST_F(Generate, EmptyPromptIsRefused) {
  EXPECT_THAT(refusal("", greedy()), HasSubstr("empty"));
  EXPECT_THAT(refusal(std::vector<int32_t>{}, greedy()), HasSubstr("empty"));
}

TEST_F(Generate, InvalidUtf8IsRefusedWithItsPlace) {
  EXPECT_THAT(refusal("ok \xff\xfe", greedy()), HasSubstr("3"));
}

TEST_F(Generate, PromptBeyondTheContextIsRefusedWithBothNumbers) {
  const std::string message = refusal(std::vector<int32_t>(5000, 100), greedy());
  EXPECT_THAT(message, HasSubstr("5000"));
  EXPECT_THAT(message, HasSubstr("4096"));
}

TEST_F(Generate, TokenIdsOutOfRangeAreRefused) {
  EXPECT_THAT(refusal(std::vector<int32_t>{1, 8192}, greedy()), HasSubstr("8192"));
  EXPECT_THAT(refusal(std::vector<int32_t>{-1}, greedy()), HasSubstr("-1"));
}

TEST_F(Generate, SamplingValuesOutOfRangeAreRefusedByName) {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  const auto refused = [&](auto change) {
    SamplingParams sampling = greedy();
    change(sampling);
    return refusal(ask("Hello!"), sampling);
  };
  for (const float bad : {nan, infinity, -infinity, -1.0f, 1e38f}) {
    EXPECT_THAT(refused([&](auto& s) { s.temperature = bad; }), HasSubstr("temperature"));
    EXPECT_THAT(refused([&](auto& s) { s.top_p = bad; }), HasSubstr("top_p"));
    EXPECT_THAT(refused([&](auto& s) { s.min_p = bad; }), HasSubstr("min_p"));
  }
  for (const float bad : {nan, infinity, -infinity, 1e38f, -3.0f}) {
    EXPECT_THAT(refused([&](auto& s) { s.presence_penalty = bad; }), HasSubstr("presence_penalty"));
    EXPECT_THAT(refused([&](auto& s) { s.frequency_penalty = bad; }),
                HasSubstr("frequency_penalty"));
  }
  EXPECT_THAT(refused([&](auto& s) { s.repetition_penalty = 0.0f; }),
              HasSubstr("repetition_penalty"));
  EXPECT_THAT(refused([&](auto& s) { s.max_tokens = 0; }), HasSubstr("max_tokens"));
  EXPECT_THAT(refused([&](auto& s) { s.min_tokens = -1; }), HasSubstr("min_tokens"));
  EXPECT_THAT(refused([&](auto& s) { s.top_k = -2; }), HasSubstr("top_k"));
  EXPECT_THAT(refused([&](auto& s) { s.n = 0; }), ::testing::StartsWith("n:"));
  EXPECT_THAT(refused([&](auto& s) { s.n = 1000000; }), ::testing::StartsWith("n:"));
  EXPECT_THAT(refused([&](auto& s) { s.stop = {""}; }), HasSubstr("stop"));
  EXPECT_THAT(refused([&](auto& s) { s.logit_bias = {{9999, 1.0f}}; }), HasSubstr("9999"));
  EXPECT_THAT(refused([&](auto& s) { s.logprobs = 100; }), HasSubstr("logprobs"));
}

TEST_F(Generate, ABadPromptInAListIsNamedAndTheOthersLeaveNothingBehind) {
  try {
    (void)llm_->generate(std::vector<Prompt>{ask("Hello!"), Prompt("")}, greedy());
    FAIL() << "an empty prompt was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("prompt 1"));
  }
  (void)llm_->generate(ask("Hello!"), greedy(2));
  EXPECT_EQ(llm_->stats().kv_blocks_free, llm_->stats().kv_blocks_total);
}

TEST(LoadRefusals, NameWhatIsWrong) {
  const auto refusal = [](auto change) -> std::string {
    LlmOptions options = demo_options();
    change(options);
    try {
      LLM llm(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal([](auto& o) { o.model = "/does/not/exist"; }), HasSubstr("/does/not/exist"));
  EXPECT_THAT(refusal([](auto& o) { o.backend = "tpu"; }), HasSubstr("tpu"));
  EXPECT_THAT(refusal([](auto& o) { o.dtype = "int7"; }), HasSubstr("int7"));
  EXPECT_THAT(refusal([](auto& o) { o.moe_backend = "FAST"; }), HasSubstr("FAST"));
  EXPECT_THAT(refusal([](auto& o) { o.moe_backend = "TRTLLM"; }), HasSubstr("FP8 block scales"));
  EXPECT_THAT(refusal([](auto& o) { o.moe_backend = "WIDEEP"; }), HasSubstr("ranks"));
  EXPECT_THAT(refusal([](auto& o) { o.max_seq_len = 1 << 20; }), HasSubstr("4096"));
  EXPECT_THAT(refusal([](auto& o) { o.tensor_parallel_size = 2; }), HasSubstr("ranks"));
  EXPECT_THAT(refusal([](auto& o) { o.kv_cache.free_memory_fraction = std::nan(""); }),
              HasSubstr("free_memory_fraction"));
}

}  // namespace
}  // namespace glmoe
