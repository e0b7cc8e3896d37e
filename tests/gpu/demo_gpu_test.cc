// The demo model's answers on the GPU: those of Hugging Face, and the same under any chunk, batch,
// backend, and with or without graphs. Where kernels for other shapes round otherwise, answers may
// part at a tie (support/gpu.h).
// Mirrors: src/gpu/gpu_executor.cc, src/gpu/gpu_moe_backend.cc
#include <gtest/gtest.h>

#include "support/gpu.h"

namespace glmoe {
namespace {

using namespace testing;

class DemoOnTheGpu : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    cases_ = demo_cases();
    for (const DemoCase& demo : cases_) prompts_.emplace_back(demo.prompt_ids);
    judge_ = std::make_unique<TieJudge>();
  }
  void TearDown() override {
    if (judge_) std::printf("%d answers parted at a tie\n", judge_->num_ties);
  }

  static std::vector<std::vector<int32_t>> answers(LLM& llm, const std::vector<Prompt>& prompts,
                                                   int64_t max_tokens = 96) {
    SamplingParams greedy = greedy_like_the_reference();
    greedy.max_tokens = max_tokens;
    std::vector<std::vector<int32_t>> all;
    for (const RequestOutput& output : llm.generate(prompts, greedy)) {
      EXPECT_EQ(output.outputs[0].error, "");
      all.push_back(output.outputs[0].token_ids);
    }
    return all;
  }
  std::vector<std::vector<int32_t>> answers(const LlmOptions& options) const {
    LLM llm(options);
    return answers(llm, prompts_);
  }
  void expect_same(const std::vector<std::vector<int32_t>>& found,
                   const std::vector<std::vector<int32_t>>& wanted, const std::string& what) {
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      const size_t c = i % cases_.size();
      EXPECT_TRUE(judge_->same_or_tied(cases_[c].prompt_ids, found[i], wanted[i]))
          << what << ", case " << c;
    }
  }
  std::vector<std::vector<int32_t>> reference() const {
    std::vector<std::vector<int32_t>> ids;
    for (const DemoCase& demo : cases_) ids.push_back(demo.greedy_ids);
    return ids;
  }

  std::vector<DemoCase> cases_;
  std::vector<Prompt> prompts_;
  std::unique_ptr<TieJudge> judge_;
};

TEST_F(DemoOnTheGpu, AnswersEveryCaseAsHuggingFace) {
  expect_same(answers(demo_options("cuda")), reference(), "one batch");
}

TEST_F(DemoOnTheGpu, AnswersTheSameWithoutGraphs) {
  LlmOptions options = demo_options("cuda");
  options.cuda_graphs = false;
  expect_same(answers(options), reference(), "without graphs");
}

TEST_F(DemoOnTheGpu, AnswersTheSameInAnyChunks) {
  for (const int64_t chunk : {1, 7, 64}) {
    LlmOptions options = demo_options("cuda");
    options.max_num_tokens = chunk;
    options.max_batch_size = std::min<int64_t>(chunk, 16);
    expect_same(answers(options), reference(), "chunks of " + std::to_string(chunk));
  }
}

TEST_F(DemoOnTheGpu, AnswersTheSameAloneAndInABatchOfSixtyFour) {
  LLM llm(demo_options("cuda"));
  std::vector<Prompt> many;
  std::vector<std::vector<int32_t>> wanted;
  for (size_t i = 0; i < 64; ++i) {
    many.push_back(prompts_[i % prompts_.size()]);
    wanted.push_back(cases_[i % cases_.size()].greedy_ids);
  }
  expect_same(answers(llm, many), wanted, "batch of 64");
  std::vector<std::vector<int32_t>> alone;
  for (const Prompt& prompt : prompts_) alone.push_back(answers(llm, {prompt})[0]);
  expect_same(alone, reference(), "alone");
}

TEST_F(DemoOnTheGpu, VanillaAnswersAsCutlass) {
  for (const char* backend : {"VANILLA", "CUTLASS"}) {
    LlmOptions options = demo_options("cuda");
    options.moe_backend = backend;
    expect_same(answers(options), reference(), backend);
  }
}

TEST_F(DemoOnTheGpu, OtherBlockSizesOfTheCacheAnswerTheSame) {
  for (const int64_t tokens : {4, 64}) {
    LlmOptions options = demo_options("cuda");
    options.kv_cache.tokens_per_block = tokens;
    expect_same(answers(options), reference(), "blocks of " + std::to_string(tokens));
  }
}

// A cache for a few sequences: the others are pre-empted and computed again.
TEST_F(DemoOnTheGpu, PreemptedSequencesAnswerTheSame) {
  LlmOptions options = demo_options("cuda");
  options.kv_cache.max_tokens = 320;
  options.kv_cache.tokens_per_block = 16;
  options.max_seq_len = 256;
  LLM llm(options);
  expect_same(answers(llm, prompts_), reference(), "a small cache");
  EXPECT_GT(llm.stats().preemptions, 0u);
}

// Up to 32 rows a step every kernel gives a row the same bits whatever stands beside it: requests
// that join one after the other, each prefilled beside its forerunners' decoding, get the tokens
// that they get alone.
TEST_F(DemoOnTheGpu, SeededAnswersAreTheSameAloneAndAmongOthersWithinThirtyTwoRows) {
  constexpr size_t kRequests = 12;  // prompts of 19 tokens at most
  LlmOptions options = demo_options("cuda");
  options.max_num_tokens = 32;
  options.max_batch_size = kRequests;
  LLM llm(options);
  std::vector<Request> requests;
  for (size_t i = 0; i < kRequests; ++i) {
    ASSERT_LE(cases_[i].prompt_ids.size() + kRequests, 32u);
    SamplingParams sampling;
    sampling.temperature = i % 4 == 0 ? 0.0f : 0.9f;
    sampling.top_p = i % 2 == 0 ? 1.0f : 0.95f;
    sampling.seed = 500 + i;
    sampling.max_tokens = 256;
    sampling.ignore_eos = true;
    if (i % 3 == 0) sampling.repetition_penalty = 1.1f;
    requests.push_back({prompts_[i], sampling});
  }
  std::vector<ResponseStream> streams;
  std::vector<std::vector<int32_t>> together;
  for (const Request& request : requests) {
    streams.push_back(llm.submit(request));
    OutputDelta first;
    ASSERT_TRUE(streams.back().next(first));
    together.push_back(first.token_ids);
  }
  EXPECT_GT(llm.stats().num_running, static_cast<int64_t>(kRequests / 2));
  for (size_t i = 0; i < kRequests; ++i) {
    OutputDelta delta;
    while (streams[i].next(delta)) {
      together[i].insert(together[i].end(), delta.token_ids.begin(), delta.token_ids.end());
    }
    requests[i].cache_salt = "alone";  // its prompt is computed again
    const RequestOutput alone = llm.submit(requests[i]).result();
    EXPECT_EQ(together[i], alone.outputs[0].token_ids) << "request " << i;
  }
}

// What a seed gives: the same in the same company, whatever the others ask for, and in float32's
// place the logits decide; the sampler itself is compared with the host's to the bit elsewhere.
TEST_F(DemoOnTheGpu, SeededAnswersRepeatAndDiffer) {
  LlmOptions options = demo_options("cuda");
  options.kv_cache.enable_block_reuse = false;  // the second time is computed as the first
  LLM llm(options);
  std::vector<SamplingParams> sampling(prompts_.size(), greedy_like_the_reference());
  for (size_t i = 0; i < sampling.size(); ++i) {
    sampling[i].max_tokens = 40;
    if (i % 2 == 0) continue;
    sampling[i].temperature = 0.9f;
    sampling[i].top_p = 0.95f;
    sampling[i].seed = 1000 + i;
    if (i % 3 == 0) sampling[i].repetition_penalty = 1.1f;
    if (i % 5 == 0) sampling[i].presence_penalty = 0.5f;
  }
  const auto first = llm.generate(prompts_, sampling);
  const auto second = llm.generate(prompts_, sampling);
  int same_alone = 0;
  for (size_t i = 0; i < prompts_.size(); ++i) {
    EXPECT_EQ(first[i].outputs[0].token_ids, second[i].outputs[0].token_ids) << i;
    const auto alone = llm.generate(prompts_[i], sampling[i]);
    const auto again = llm.generate(prompts_[i], sampling[i]);
    EXPECT_EQ(alone.outputs[0].token_ids, again.outputs[0].token_ids) << i;
    same_alone += alone.outputs[0].token_ids == first[i].outputs[0].token_ids;
  }
  std::printf("%d of %zu answers are the same alone and in a batch\n", same_alone, prompts_.size());
  EXPECT_NE(first[1].outputs[0].token_ids, first[5].outputs[0].token_ids);
}

}  // namespace
}  // namespace glmoe
