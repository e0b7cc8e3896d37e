// Waiting for a stream with a limit, many streams at once, and deltas that add up to an output.
#include "llm/response_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "glmoe/llm.h"
#include "llm/fake_llm.h"
#include "support/golden.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::HasSubstr;

FakeLlmOptions slow_options() { return {.folder = demo_folder(), .step_ms = 5.0}; }

SamplingParams tokens(int64_t count) {
  SamplingParams sampling;
  sampling.max_tokens = count;
  sampling.ignore_eos = true;
  return sampling;
}

TEST(ResponseStream, WaitsForADeltaAsLongAsItIsTold) {
  LLM llm = make_fake_llm(slow_options());
  ResponseStream stream = llm.submit({.prompt = "hello", .sampling = tokens(20)});
  EXPECT_TRUE(stream.wait(10000.0));
  OutputDelta delta;
  EXPECT_TRUE(stream.try_next(delta));
  EXPECT_FALSE(stream.wait_finished(1.0));
  EXPECT_TRUE(stream.wait_finished(10000.0));
  EXPECT_FALSE(stream.done());
  while (stream.next(delta)) {
  }
  EXPECT_TRUE(stream.done());
  EXPECT_TRUE(stream.wait(0.0));
  EXPECT_TRUE(stream.wait_finished(0.0));
}

TEST(ResponseStream, DeltasAddUpToTheOutputOfAWholeRequest) {
  LLM llm = make_fake_llm({.folder = demo_folder()});
  SamplingParams sampling = tokens(12);
  sampling.n = 2;
  sampling.seed = 1;
  sampling.logprobs = 1;
  const RequestOutput whole = llm.generate("hello", sampling);
  RequestOutput gathered;
  ResponseStream stream = llm.submit({.prompt = "hello", .sampling = sampling});
  OutputDelta delta;
  while (stream.next(delta)) append_delta(gathered, delta);
  ASSERT_EQ(gathered.outputs.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(gathered.outputs[i].index, static_cast<int64_t>(i));
    EXPECT_EQ(gathered.outputs[i].text, whole.outputs[i].text);
    EXPECT_EQ(gathered.outputs[i].token_ids, whole.outputs[i].token_ids);
    EXPECT_EQ(gathered.outputs[i].logprobs.size(), 12u);
    EXPECT_EQ(gathered.outputs[i].cumulative_logprob, whole.outputs[i].cumulative_logprob);
    EXPECT_EQ(gathered.outputs[i].finish_reason, FinishReason::kLength);
  }
}

TEST(ResponseStream, ManyAreSubmittedWhateverTheQueueHolds) {
  FakeLlmOptions options = slow_options();
  options.llm.max_queued_requests = 2;
  options.llm.max_batch_size = 2;
  LLM llm = make_fake_llm(options);
  std::vector<Request> requests(10, {.prompt = "hello", .sampling = tokens(3)});
  requests[7].sampling.max_tokens = 5;
  std::vector<ResponseStream> streams = llm.submit_all(requests);
  ASSERT_EQ(streams.size(), 10u);
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(streams[i].result().outputs[0].token_ids.size(), i == 7 ? 5u : 3u);
  }
}

TEST(ResponseStream, OneBadRequestOfManyIsNamedAndNothingRuns) {
  LLM llm = make_fake_llm({.folder = demo_folder()});
  std::vector<Request> requests(3, {.prompt = "hello", .sampling = tokens(1000)});
  requests[1].prompt = "";
  try {
    (void)llm.submit_all(requests);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("prompt 1: "));
  }
  (void)llm.generate("hello", tokens(3));
  const EngineStats stats = llm.stats();
  EXPECT_EQ(stats.num_running, 0);
  EXPECT_EQ(stats.generated_tokens, 3);
}

TEST(Quantization, OfAModelThatHasNoneIsRefusedWithItsName) {
  FakeLlmOptions options{.folder = demo_folder()};
  options.llm.quantization = QuantConfig{.quant_algo = QuantAlgo::kFp8};
  try {
    (void)make_fake_llm(options);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("quantization FP8"));
  }
  options.llm.quantization = QuantConfig{};
  EXPECT_NO_THROW((void)make_fake_llm(options));
}

}  // namespace
}  // namespace glmoe
