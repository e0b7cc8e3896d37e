// The engine loop on an executor without a model: streams, queue, deadlines, faults, shutting down.
// Mirrors: src/llm/engine.cc, src/llm/engine_submit.cc, src/llm/request_state.cc,
// src/llm/fake_llm.cc
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>

#include "base/error.h"
#include "glmoe/llm.h"
#include "llm/fake_llm.h"
#include "support/golden.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

FakeLlmOptions fake() {
  FakeLlmOptions options;
  options.folder = demo_folder();
  options.llm.kv_cache.max_tokens = 16384;
  options.llm.max_seq_len = 2048;
  return options;
}

SamplingParams tokens(int64_t max_tokens) {
  SamplingParams sampling;
  sampling.max_tokens = max_tokens;
  sampling.ignore_eos = true;
  return sampling;
}

std::vector<int32_t> prompt(int64_t length, int32_t first = 100) {
  std::vector<int32_t> ids(static_cast<size_t>(length));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = first + static_cast<int32_t>(i % 50);
  return ids;
}

Error refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kInternal, "nothing was thrown"};
}

// Reads by callbacks alone, as a server does.
struct Reader {
  explicit Reader(ResponseStream s) : stream(std::move(s)) {
    stream.notify([this] { ready.store(true); });
  }
  bool poll() {
    if (!ready.exchange(false)) return stream.done();
    OutputDelta delta;
    while (stream.try_next(delta)) {
      ids.insert(ids.end(), delta.token_ids.begin(), delta.token_ids.end());
      text += delta.text;
      last = delta;
    }
    return stream.done();
  }
  ResponseStream stream;
  std::atomic<bool> ready = false;
  std::vector<int32_t> ids;
  std::string text;
  OutputDelta last;
};

TEST(FakeLlm, RepeatsItsReplyAndHasTemplateAndTokenizer) {
  FakeLlmOptions options = fake();
  options.reply = "Hello, world!";
  LLM llm = make_fake_llm(options);
  const std::string chat = llm.render_chat(R"([{"role":"user","content":"Hi"}])");
  const RequestOutput output = llm.generate(chat, {});
  EXPECT_EQ(output.outputs[0].text, "Hello, world!");
  EXPECT_EQ(output.outputs[0].finish_reason, FinishReason::kStop);
}

// Batches, chunks, prefixes, pre-emption, plans made ahead: the text of a request stays its own.
TEST(FakeLlm, TextDependsOnThePromptAlone) {
  std::vector<Prompt> prompts;
  std::vector<SamplingParams> sampling;
  for (int32_t i = 0; i < 64; ++i) {
    prompts.emplace_back(prompt(1 + (i * 37) % 180, 100 + i % 3));
    sampling.push_back(tokens(1 + (i * 13) % 70));
  }
  std::vector<std::vector<int32_t>> wanted;
  {
    FakeLlmOptions options = fake();
    options.llm.kv_cache.enable_block_reuse = false;
    LLM llm = make_fake_llm(options);
    for (size_t i = 0; i < prompts.size(); ++i) {
      wanted.push_back(llm.generate(prompts[i], sampling[i]).outputs[0].token_ids);
      EXPECT_EQ(wanted.back().size(), static_cast<size_t>(sampling[i].max_tokens));
    }
  }
  for (const bool ahead : {false, true}) {
    for (const int64_t chunk : {64, 2048}) {
      for (const int64_t kv_tokens : {400, 16384}) {
        FakeLlmOptions options = fake();
        options.llm.plan_ahead = ahead;
        options.llm.max_num_tokens = chunk;
        options.llm.kv_cache.max_tokens = kv_tokens;
        LLM llm = make_fake_llm(options);
        for (int round = 0; round < 2; ++round) {
          const auto outputs = llm.generate(prompts, sampling);
          for (size_t i = 0; i < prompts.size(); ++i) {
            ASSERT_EQ(outputs[i].outputs[0].token_ids, wanted[i])
                << i << " ahead " << ahead << " chunk " << chunk << " cache " << kv_tokens;
          }
        }
        EXPECT_EQ(llm.stats().preemptions > 0, kv_tokens < 1000);
        EXPECT_GT(llm.stats().prefix_cache_hits, 0u);
      }
    }
  }
}

TEST(Streams, TryNextDoneAndNotifyDeliverEverythingOnce) {
  FakeLlmOptions options = fake();
  options.step_ms = 1.0;
  LLM llm = make_fake_llm(options);
  const RequestOutput whole = llm.generate(prompt(20), tokens(30));
  Reader reader(llm.submit({prompt(20), tokens(30)}));
  EXPECT_FALSE(reader.stream.done());
  while (!reader.poll()) std::this_thread::yield();
  EXPECT_EQ(reader.ids, whole.outputs[0].token_ids);
  EXPECT_EQ(reader.text, whole.outputs[0].text);
  EXPECT_TRUE(reader.last.request_finished);
  OutputDelta delta;
  EXPECT_FALSE(reader.stream.try_next(delta));
  EXPECT_FALSE(reader.stream.next(delta));
  const RequestMetrics metrics = reader.stream.metrics();
  EXPECT_EQ(metrics.num_cached_tokens, 19);
  EXPECT_GT(metrics.first_token_ms, 0.0);
  EXPECT_GE(metrics.first_token_ms, metrics.queue_ms);
  EXPECT_GE(metrics.total_ms, metrics.first_token_ms + 28.0);
}

TEST(Streams, NotifyCallsAtOnceWhereADeltaWaits) {
  LLM llm = make_fake_llm(fake());
  ResponseStream stream = llm.submit({prompt(20), tokens(3)});
  (void)llm.generate(prompt(3, 5), tokens(10));
  int calls = 0;
  stream.notify([&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(Streams, ACallbackNeverRunsAfterItsStreamIsGone) {
  FakeLlmOptions options = fake();
  options.llm.max_queued_requests = 4096;
  LLM llm = make_fake_llm(options);
  for (int round = 0; round < 200; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(1);
    std::atomic<int>* flag = alive.get();
    {
      ResponseStream stream = llm.submit({prompt(5, round), tokens(50)});
      stream.notify([flag] { flag->fetch_add(1); });
      OutputDelta delta;
      for (int i = 0; i < round % 4; ++i) (void)stream.next(delta);
    }
    alive.reset();  // the address sanitizer would see a late call
  }
  (void)llm.generate(prompt(5), tokens(2));
}

TEST(Queue, IsLimitedForThoseWhoDoNotWait) {
  FakeLlmOptions options = fake();
  options.llm.max_batch_size = 1;
  options.llm.max_queued_requests = 3;
  options.step_ms = 1.0;
  LLM llm = make_fake_llm(options);
  ResponseStream running = llm.submit({prompt(5), tokens(1000)});
  OutputDelta delta;
  ASSERT_TRUE(running.next(delta));
  std::vector<ResponseStream> queued;
  for (int i = 0; i < 3; ++i) queued.push_back(llm.submit({prompt(5), tokens(2)}));
  const Error error = refusal([&] { (void)llm.submit({prompt(5), tokens(2)}); });
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  EXPECT_THAT(error.what(), HasSubstr("at most 3"));
  running.cancel();
  for (ResponseStream& stream : queued) {
    EXPECT_EQ(stream.result().outputs[0].finish_reason, FinishReason::kLength);
  }
  // A caller who waits is never refused.
  EXPECT_EQ(llm.generate(std::vector<Prompt>(20, prompt(5)), tokens(2)).size(), 20u);
  EXPECT_EQ(llm.submit({prompt(5), tokens(2)}).result().outputs[0].token_ids.size(), 2u);
}

TEST(Deadlines, EndRunningAndQueuedRequests) {
  FakeLlmOptions options = fake();
  options.llm.max_batch_size = 1;
  options.step_ms = 2.0;
  LLM llm = make_fake_llm(options);
  Request endless{prompt(5), tokens(2000)};
  endless.timeout_ms = 60.0;
  ResponseStream running = llm.submit(endless);
  Request waiting{prompt(5), tokens(5)};
  waiting.timeout_ms = 20.0;
  ResponseStream queued = llm.submit(waiting);
  const RequestOutput never = queued.result();
  EXPECT_EQ(never.outputs[0].finish_reason, FinishReason::kTimeout);
  EXPECT_THAT(never.outputs[0].token_ids, IsEmpty());
  EXPECT_GE(never.metrics.total_ms, 20.0);
  EXPECT_EQ(finish_reason_name(FinishReason::kTimeout), "timeout");
  const RequestOutput cut = running.result();
  EXPECT_EQ(cut.outputs[0].finish_reason, FinishReason::kTimeout);
  EXPECT_GT(cut.outputs[0].token_ids.size(), 0u);
  EXPECT_EQ(llm.stats().timeouts, 2u);
  Request wrong{prompt(5), tokens(5)};
  wrong.timeout_ms = -1.0;
  EXPECT_THAT(refusal([&] { (void)llm.submit(wrong); }).what(), HasSubstr("timeout_ms"));
  wrong.timeout_ms = 0.0;
  wrong.cache_salt = std::string(5000, 'x');
  EXPECT_THAT(refusal([&] { (void)llm.submit(wrong); }).what(), HasSubstr("cache_salt"));
}

TEST(Deadlines, AreKeptWhileALongStepRuns) {
  std::binary_semaphore let_go(0);
  std::atomic<bool> waited_in_vain = false;
  FakeLlmOptions options = fake();
  options.before_step = [&](const StepPlan&) {
    waited_in_vain = !let_go.try_acquire_for(std::chrono::seconds(20));
  };
  {
    LLM llm = make_fake_llm(options);
    Request request{prompt(5), tokens(5)};
    request.timeout_ms = 100.0;
    EXPECT_EQ(llm.submit(request).result().outputs[0].finish_reason, FinishReason::kTimeout);
    let_go.release();
  }
  EXPECT_FALSE(waited_in_vain) << "the answer came only after the step";
}

TEST(Faults, AStepThatThrowsEndsItsOwnSequencesOnly) {
  for (const bool ahead : {false, true}) {
    FakeLlmOptions options = fake();
    options.llm.plan_ahead = ahead;
    options.llm.max_batch_size = 2;
    options.before_step = [](const StepPlan& plan) {
      if (plan.step_id == 4) fail(ErrorCode::kInternal, "the device coughed");
    };
    LLM llm = make_fake_llm(options);
    const std::vector<RequestOutput> outputs =
        llm.generate({prompt(5, 1), prompt(6, 2), prompt(7, 3), prompt(8, 4)}, tokens(8));
    int failed = 0;
    for (const RequestOutput& output : outputs) {
      const CompletionOutput& answer = output.outputs[0];
      if (answer.finish_reason == FinishReason::kError) {
        EXPECT_THAT(answer.error, HasSubstr("coughed"));
        ++failed;
      } else {
        EXPECT_EQ(answer.token_ids.size(), 8u);
      }
    }
    EXPECT_EQ(failed, 2) << "the two that ran";
    EXPECT_EQ(llm.generate(prompt(5), tokens(8)).outputs[0].token_ids.size(), 8u);
    EXPECT_EQ(llm.stats().kv_blocks_free, llm.stats().kv_blocks_total);
  }
}

TEST(Faults, AResultThatDoesNotAnswerThePlanIsAFailedStep) {
  FakeLlmOptions options = fake();
  options.after_step = [](const StepPlan& plan, StepResult& result) {
    if (plan.step_id == 3) result.sequences[0].id += 77;
    if (plan.step_id == 9) result.sequences[0].error = "NaN in logits";
  };
  LLM llm = make_fake_llm(options);
  EXPECT_EQ(llm.generate(prompt(5), tokens(8)).outputs[0].finish_reason, FinishReason::kError);
  const CompletionOutput answer = llm.generate(prompt(5), tokens(8)).outputs[0];
  EXPECT_EQ(answer.error, "NaN in logits");
  EXPECT_EQ(llm.generate(prompt(5), tokens(8)).outputs[0].finish_reason, FinishReason::kLength);
}

TEST(ShuttingDown, OpenStreamsHearAnEndAndOutliveTheLlm) {
  for (const bool ahead : {false, true}) {
    FakeLlmOptions options = fake();
    options.step_ms = 3.0;
    options.llm.plan_ahead = ahead;
    options.llm.max_batch_size = 4;
    auto llm = std::make_unique<LLM>(make_fake_llm(options));
    std::vector<ResponseStream> streams;
    for (int i = 0; i < 12; ++i) streams.push_back(llm->submit({prompt(5, i), tokens(1000)}));
    OutputDelta delta;
    ASSERT_TRUE(streams[0].next(delta));
    std::thread reader([&] {
      while (streams[1].next(delta)) {
      }
    });
    llm.reset();
    reader.join();
    EXPECT_EQ(delta.finish_reason, FinishReason::kCancelled);
    for (ResponseStream& stream : streams) {
      stream.cancel();
      OutputDelta last;
      while (stream.next(last)) {
      }
      EXPECT_TRUE(stream.done());
    }
    EXPECT_EQ(streams[11].metrics().queue_ms, 0.0);
  }
}

TEST(ShuttingDown, AMovedLlmGoesOn) {
  LLM first = make_fake_llm(fake());
  LLM second = std::move(first);
  EXPECT_EQ(second.generate(prompt(5), tokens(3)).outputs[0].token_ids.size(), 3u);
  second = make_fake_llm(fake());
  EXPECT_EQ(second.generate(prompt(5), tokens(3)).outputs[0].token_ids.size(), 3u);
}

TEST(Cancelling, CountsAndLeavesTheOthersAlone) {
  FakeLlmOptions options = fake();
  options.step_ms = 1.0;
  LLM llm = make_fake_llm(options);
  SamplingParams several = tokens(500);
  several.n = 3;
  ResponseStream stream = llm.submit({prompt(9), several});
  ResponseStream other = llm.submit({prompt(11), tokens(20)});
  OutputDelta delta;
  ASSERT_TRUE(stream.next(delta));
  llm.cancel(stream.request_id());
  llm.cancel(stream.request_id());
  llm.cancel(987654321);
  std::set<int64_t> ended;
  while (stream.next(delta)) {
    if (delta.finish_reason == FinishReason::kCancelled) ended.insert(delta.index);
  }
  EXPECT_EQ(ended.size(), 3u);
  EXPECT_EQ(other.result().outputs[0].token_ids.size(), 20u);
  EXPECT_EQ(llm.stats().cancellations, 3u);
  EXPECT_EQ(llm.stats().kv_blocks_free, llm.stats().kv_blocks_total);
}

TEST(Tasks, RunBetweenStepsAndForgetPrefixesWhereTheyWriteToBlocks) {
  FakeLlmOptions options = fake();
  options.llm.plan_ahead = true;
  options.step_ms = 0.5;
  LLM llm = make_fake_llm(options);
  const auto wanted = llm.generate(prompt(40), tokens(20)).outputs[0].token_ids;
  EXPECT_GT(llm.stats().kv_blocks_cached, 0);
  ResponseStream stream = llm.submit({prompt(40), tokens(20)});
  EXPECT_GT(llm.expert_counts().steps, 0u);
  (void)llm.logits({prompt(4)});  // waits for the stream's end
  EXPECT_EQ(llm.stats().num_running, 0);
  EXPECT_EQ(stream.result().outputs[0].token_ids, wanted);
  const RequestOutput after = llm.generate(prompt(40), tokens(20));
  EXPECT_EQ(after.metrics.num_cached_tokens, 0);
  EXPECT_EQ(after.outputs[0].token_ids, wanted);
}

TEST(ManyStreams, FromManyThreadsWithCancellationsAllEnd) {
  for (const bool ahead : {false, true}) {
    FakeLlmOptions options = fake();
    options.llm.plan_ahead = ahead;
    options.llm.max_batch_size = 16;
    options.llm.kv_cache.max_tokens = 2048;  // pre-emption, too
    LLM llm = make_fake_llm(options);
    std::vector<std::thread> threads;
    std::atomic<int> ended = 0;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 40; ++i) {
          Request request{prompt(1 + (t * 31 + i * 17) % 120, i % 5), tokens(1 + (i * 7) % 60)};
          request.priority = i % 3;
          if (i % 7 == 0) request.timeout_ms = 1.0;
          ResponseStream stream = llm.submit(request);
          OutputDelta delta;
          if (i % 5 == 0 && stream.next(delta)) stream.cancel();
          while (stream.next(delta)) {
          }
          ended += stream.done() ? 1 : 0;
          if (i % 11 == 0) (void)llm.expert_counts();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ended, 160);
    (void)llm.expert_counts();
    EXPECT_EQ(llm.stats().num_running + llm.stats().num_waiting, 0);
  }
}

}  // namespace
}  // namespace glmoe
