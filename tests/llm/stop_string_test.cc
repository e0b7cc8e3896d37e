// Stop strings are found by the engine's thread, in text: with steps planned ahead, when the step
// with the answer's next token is under way already.
// Mirrors: src/llm/engine.cc, src/llm/request_state.cc
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "glmoe/llm.h"
#include "llm/fake_llm.h"
#include "support/golden.h"

namespace glmoe {
namespace {

using namespace testing;

constexpr int kNumRequests = 40;

LLM fake(bool ahead) {
  FakeLlmOptions options{.folder = demo_folder()};
  options.llm.plan_ahead = ahead;
  options.llm.max_batch_size = 8;
  options.llm.kv_cache.max_tokens = 1024;  // prefixes are found, and lost again
  return make_fake_llm(options);
}

// Every third goes on: its stop string never comes.
Request request(int number) {
  std::vector<int32_t> prompt(static_cast<size_t>(20 + number % 7), 100 + number % 5);
  Request request{std::move(prompt)};
  request.sampling.max_tokens = 60;
  request.sampling.ignore_eos = true;
  return request;
}

// Some of the text's middle, so that tokens before and behind it are in the answer.
std::string stop_string(const std::string& text, int number) {
  return number % 3 == 0 ? "\n" : text.substr(text.size() / 4 + static_cast<size_t>(number), 3);
}

TEST(StopStrings, EndAnswersWhoseNextTokenIsUnderWay) {
  std::vector<std::string> texts;
  {
    LLM llm = fake(false);
    for (int i = 0; i < kNumRequests; ++i) {
      texts.push_back(llm.submit(request(i)).result().outputs[0].text);
      ASSERT_GT(texts.back().size(), 100u);
    }
  }
  for (const bool ahead : {false, true}) {
    LLM llm = fake(ahead);
    std::vector<ResponseStream> streams;
    for (int i = 0; i < kNumRequests; ++i) {
      Request stopped = request(i);
      stopped.sampling.stop = {stop_string(texts[static_cast<size_t>(i)], i)};
      streams.push_back(llm.submit(stopped));
    }
    for (int i = 0; i < kNumRequests; ++i) {
      const std::string& whole = texts[static_cast<size_t>(i)];
      const std::string stop = stop_string(whole, i);
      const CompletionOutput answer = streams[static_cast<size_t>(i)].result().outputs[0];
      EXPECT_EQ(answer.text, whole.substr(0, whole.find(stop))) << i << " ahead " << ahead;
      const bool goes_on = stop == "\n";
      EXPECT_EQ(answer.finish_reason, goes_on ? FinishReason::kLength : FinishReason::kStop);
      EXPECT_EQ(answer.stop_reason, goes_on ? "" : stop);
      EXPECT_EQ(answer.token_ids.size() < 60u, !goes_on) << answer.text;
    }
    // Steps under way still write into the blocks of answers that have ended.
    while (llm.stats().kv_blocks_free < llm.stats().kv_blocks_total) std::this_thread::yield();
    EXPECT_EQ(llm.stats().num_running + llm.stats().num_waiting, 0);
  }
}

}  // namespace
}  // namespace glmoe
