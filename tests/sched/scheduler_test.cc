#include "sched/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <random>

#include "glmoe/error.h"
#include "sched/fake_executor.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using testing::FakeExecutor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::next_token;
using ::testing::SizeIs;

class FakeClock final : public Clock {
 public:
  double now_ms() const override { return time_ms; }
  double time_ms = 0.0;
};

std::vector<int32_t> prompt_of(uint64_t seed, int64_t length) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < length; ++i) {
    ids.push_back(static_cast<int32_t>(random_bits(seed, 0, static_cast<uint64_t>(i)) % 1000));
  }
  return ids;
}

SequenceRequest request_of(SequenceId id, int64_t prompt_length, int64_t max_tokens) {
  SequenceRequest request;
  request.id = id;
  request.prompt_ids = prompt_of(id, prompt_length);
  request.max_tokens = max_tokens;
  return request;
}

// What the model says after `request`, without any scheduler.
std::vector<int32_t> expected_output(const SequenceRequest& request, int64_t max_length) {
  std::vector<int32_t> tokens = request.prompt_ids;
  const size_t prompt = tokens.size();
  for (;;) {
    tokens.push_back(next_token(tokens));
    const auto generated = static_cast<int64_t>(tokens.size() - prompt);
    const bool ends =
        std::ranges::find(request.end_token_ids, tokens.back()) != request.end_token_ids.end();
    if (ends && generated > request.sampling.min_tokens) break;
    if (generated >= request.max_tokens) break;
    if (static_cast<int64_t>(tokens.size()) >= max_length) break;
  }
  return {tokens.begin() + static_cast<int64_t>(prompt), tokens.end()};
}

struct Answer {
  std::vector<int32_t> token_ids;
  std::vector<PositionLogprobs> prompt_logprobs;
  int first_scheduled = 0;
  int prompt_logprobs_emissions = 0;
  FinishReason finish_reason = FinishReason::kNone;
  std::string stop_reason;
  std::string error;
};

// Scheduler, blocks and fake executor, with the invariants of every step checked.
struct Rig {
  Rig(const SchedulerConfig& c, int64_t num_blocks, int64_t tokens_per_block)
      : config(c),
        blocks(num_blocks, tokens_per_block),
        scheduler(c, blocks, clock),
        executor(num_blocks, tokens_per_block) {}

  void check_plan(const StepPlan& plan) const {
    EXPECT_LE(plan.num_tokens(), config.max_num_tokens);
    EXPECT_LE(static_cast<int64_t>(plan.sequences.size()), config.max_batch_size);
    bool prefill_seen = false;
    for (const SequenceStep& step : plan.sequences) {
      const auto end = step.start_position + static_cast<int64_t>(step.token_ids.size());
      EXPECT_GE(static_cast<int64_t>(step.block_table.size()), blocks.blocks_for(end));
      const bool decode = step.start_position > 0 && step.token_ids.size() == 1 && step.sample;
      EXPECT_FALSE(decode && prefill_seen) << "decodes come first";
      prefill_seen |= step.start_position == 0;
    }
    blocks.check();
  }

  void take(std::vector<Emission> emissions) {
    for (Emission& e : emissions) {
      Answer& answer = answers[e.id];
      EXPECT_EQ(answer.finish_reason, FinishReason::kNone) << "an emission after the last";
      answer.token_ids.insert(answer.token_ids.end(), e.token_ids.begin(), e.token_ids.end());
      answer.first_scheduled += e.first_scheduled ? 1 : 0;
      answer.finish_reason = e.finish_reason;
      answer.stop_reason = e.stop_reason;
      answer.error = e.error;
      if (!e.prompt_logprobs.empty()) {
        ++answer.prompt_logprobs_emissions;
        answer.prompt_logprobs = e.prompt_logprobs;
      }
    }
  }

  StepPlan step() {
    StepPlan plan = scheduler.plan();
    check_plan(plan);
    if (!plan.empty()) take(scheduler.apply(executor.run(plan)));
    blocks.check();
    return plan;
  }

  void run_to_end() {
    int64_t steps = 0;
    while (scheduler.has_work()) {
      ASSERT_FALSE(step().empty()) << "work, but nothing planned: a deadlock";
      ASSERT_LT(++steps, 1000000);
    }
    EXPECT_EQ(blocks.num_free(), blocks.num_blocks());
    EXPECT_EQ(scheduler.stats().num_running, 0);
    EXPECT_EQ(scheduler.stats().num_waiting, 0);
  }

  SchedulerConfig config;
  FakeClock clock;
  BlockManager blocks;
  Scheduler scheduler;
  FakeExecutor executor;
  std::map<SequenceId, Answer> answers;
};

Error error_of(Scheduler& scheduler, SequenceRequest request) {
  try {
    scheduler.add(std::move(request));
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kInternal, "nothing was thrown"};
}

TEST(Scheduler, PlansNothingWithoutWork) {
  Rig rig({}, 8, 4);
  EXPECT_FALSE(rig.scheduler.has_work());
  EXPECT_TRUE(rig.scheduler.plan().empty());
  EXPECT_TRUE(rig.scheduler.plan().empty());
}

TEST(Scheduler, PrefillsAPromptAndThenDecodesTokenByToken) {
  Rig rig({}, 8, 4);
  const SequenceRequest request = request_of(7, 6, 3);
  rig.scheduler.add(request);
  const StepPlan first = rig.step();
  ASSERT_THAT(first.started, SizeIs(1));
  EXPECT_EQ(first.started[0].prompt_ids, request.prompt_ids);
  EXPECT_THAT(first.started[0].output_ids, IsEmpty());
  EXPECT_EQ(first.step_id, 1u);
  EXPECT_EQ(first.sequences[0].token_ids, request.prompt_ids);
  EXPECT_TRUE(first.sequences[0].sample);
  EXPECT_THAT(first.sequences[0].block_table, ElementsAre(0, 1));
  const StepPlan second = rig.step();
  EXPECT_EQ(second.step_id, 2u);
  EXPECT_THAT(second.started, IsEmpty());
  EXPECT_EQ(second.sequences[0].start_position, 6);
  EXPECT_EQ(second.sequences[0].token_ids, std::vector<int32_t>{next_token(request.prompt_ids)});
  rig.run_to_end();
  EXPECT_EQ(rig.answers[7].token_ids, expected_output(request, rig.scheduler.max_length()));
  EXPECT_EQ(rig.answers[7].finish_reason, FinishReason::kLength);
  EXPECT_EQ(rig.scheduler.stats().generated_tokens, 3u);
  EXPECT_EQ(rig.scheduler.stats().prompt_tokens, 6u);
}

TEST(Scheduler, CutsALongPromptIntoChunksBesideTheDecodes) {
  Rig rig({.max_num_tokens = 8}, 64, 4);
  rig.scheduler.add(request_of(1, 2, 50));
  rig.step();
  rig.scheduler.add(request_of(2, 18, 2));
  std::vector<size_t> chunks;
  std::vector<bool> samples;
  for (int i = 0; i < 3; ++i) {
    const StepPlan plan = rig.step();
    ASSERT_THAT(plan.sequences, SizeIs(2));
    EXPECT_EQ(plan.sequences[0].id, 1u);
    chunks.push_back(plan.sequences[1].token_ids.size());
    samples.push_back(plan.sequences[1].sample);
  }
  EXPECT_THAT(chunks, ElementsAre(7, 7, 4));
  EXPECT_THAT(samples, ElementsAre(false, false, true));
}

TEST(Scheduler, TellsWhenASequenceIsFirstScheduled) {
  Rig rig({.max_num_tokens = 4}, 64, 4);
  rig.clock.time_ms = 12.5;
  rig.scheduler.add(request_of(1, 10, 1));
  const StepPlan plan = rig.scheduler.plan();
  rig.clock.time_ms = 20.0;
  const std::vector<Emission> emissions = rig.scheduler.apply(rig.executor.run(plan));
  ASSERT_THAT(emissions, SizeIs(1));
  EXPECT_TRUE(emissions[0].first_scheduled);
  EXPECT_EQ(emissions[0].first_scheduled_ms, 12.5);
  EXPECT_THAT(emissions[0].token_ids, IsEmpty());
  EXPECT_THAT(rig.scheduler.apply(rig.executor.run(rig.scheduler.plan())), IsEmpty());
}

TEST(Scheduler, StopsAtAnEndTokenAndNamesIt) {
  Rig rig({}, 64, 4);
  SequenceRequest request = request_of(1, 5, 40);
  const std::vector<int32_t> free_running = expected_output(request, 1000);
  request.end_token_ids = {-5, free_running[3]};
  rig.scheduler.add(request);
  rig.run_to_end();
  EXPECT_EQ(rig.answers[1].token_ids,
            std::vector<int32_t>(free_running.begin(), free_running.begin() + 4));
  EXPECT_EQ(rig.answers[1].finish_reason, FinishReason::kStop);
  EXPECT_EQ(rig.answers[1].stop_reason, std::to_string(free_running[3]));
}

TEST(Scheduler, EndTokensDoNotStopWithinMinTokens) {
  SequenceRequest request = request_of(1, 5, 12);
  const std::vector<int32_t> free_running = expected_output(request, 1000);
  request.end_token_ids = {free_running[3]};
  for (const auto& [min_tokens, length] : {std::pair{3, 4}, std::pair{4, 12}}) {
    Rig rig({}, 64, 4);
    request.sampling.min_tokens = min_tokens;
    rig.scheduler.add(request);
    rig.run_to_end();
    EXPECT_EQ(static_cast<int>(rig.answers[1].token_ids.size()), length) << min_tokens;
  }
}

TEST(Scheduler, FillsTheContextAndThenFinishesWithLength) {
  Rig rig({.max_seq_len = 20}, 64, 4);
  rig.scheduler.add(request_of(1, 15, 100));
  rig.run_to_end();
  EXPECT_THAT(rig.answers[1].token_ids, SizeIs(5));
  EXPECT_EQ(rig.answers[1].finish_reason, FinishReason::kLength);
}

TEST(Scheduler, OneSequenceMayUseEveryBlockAndThenFinishesWithLength) {
  Rig rig({}, 4, 4);
  rig.scheduler.add(request_of(1, 3, 100));
  rig.scheduler.add(request_of(2, 16, 100));  // fills the cache with its prompt alone
  rig.run_to_end();
  EXPECT_THAT(rig.answers[1].token_ids, SizeIs(14));  // 16 places, and the last needs none
  EXPECT_THAT(rig.answers[2].token_ids, SizeIs(1));
  EXPECT_EQ(rig.answers[2].finish_reason, FinishReason::kLength);
}

TEST(Scheduler, RefusesWhatCanNeverRun) {
  Rig rig({.max_seq_len = 20}, 4, 4);
  EXPECT_EQ(error_of(rig.scheduler, request_of(1, 20, 1)).code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error_of(rig.scheduler, request_of(1, 20, 1)).what(), HasSubstr("max_seq_len 20"));
  EXPECT_THAT(error_of(rig.scheduler, request_of(1, 17, 1)).what(), HasSubstr("4 blocks of 4"));
  EXPECT_THAT(error_of(rig.scheduler, request_of(1, 0, 1)).what(), HasSubstr("empty"));
  EXPECT_THAT(error_of(rig.scheduler, request_of(1, 2, 0)).what(), HasSubstr("max_tokens"));
  EXPECT_FALSE(rig.scheduler.has_work());
  rig.scheduler.add(request_of(1, 16, 1));
  rig.run_to_end();
}

TEST(Scheduler, RefusesAConfigurationThatCannotWork) {
  FakeClock clock;
  BlockManager blocks(4, 4);
  EXPECT_THROW(Scheduler({.max_batch_size = 0}, blocks, clock), Error);
  EXPECT_THROW(Scheduler({.max_num_tokens = 0}, blocks, clock), Error);
  EXPECT_THROW(Scheduler({.max_seq_len = -1}, blocks, clock), Error);
}

TEST(Scheduler, PreemptsTheLatestArrivalAndComputesItAgain) {
  Rig rig({}, 4, 4);
  const SequenceRequest first = request_of(1, 4, 9);
  const SequenceRequest second = request_of(2, 3, 9);
  rig.scheduler.add(first);
  rig.scheduler.add(second);
  StepPlan again;
  for (int i = 0; i < 40 && rig.scheduler.has_work(); ++i) {
    const StepPlan plan = rig.step();
    for (const SequenceStart& start : plan.started) {
      if (!start.output_ids.empty()) again = plan;
    }
  }
  EXPECT_GE(rig.scheduler.stats().preemptions, 1u);
  ASSERT_THAT(again.started, SizeIs(1));
  EXPECT_EQ(again.started[0].id, 2u);
  EXPECT_EQ(again.started[0].prompt_ids, second.prompt_ids);
  std::vector<int32_t> known = second.prompt_ids;
  known.insert(known.end(), again.started[0].output_ids.begin(), again.started[0].output_ids.end());
  EXPECT_EQ(again.sequences.back().token_ids, known);
  EXPECT_EQ(again.sequences.back().start_position, 0);
  EXPECT_EQ(rig.answers[1].token_ids, expected_output(first, 17));
  EXPECT_EQ(rig.answers[2].token_ids, expected_output(second, 17));
}

TEST(Scheduler, KeepsTheOrderOfArrivalWhenTheNextDoesNotFit) {
  Rig rig({}, 8, 4);
  rig.scheduler.add(request_of(1, 16, 4));
  rig.step();
  rig.scheduler.add(request_of(2, 28, 4));  // does not fit yet
  rig.scheduler.add(request_of(3, 1, 4));   // would fit, but came later
  EXPECT_THAT(rig.step().sequences, SizeIs(1));
  rig.run_to_end();
  EXPECT_THAT(rig.answers[3].token_ids, SizeIs(4));
}

TEST(Scheduler, AnErrorEndsOnlyItsOwnSequence) {
  Rig rig({}, 64, 4);
  for (SequenceId id = 1; id <= 3; ++id) rig.scheduler.add(request_of(id, 5, 6));
  rig.step();
  rig.executor.failing[2] = "NaN in logits";
  rig.run_to_end();
  EXPECT_EQ(rig.answers[2].finish_reason, FinishReason::kError);
  EXPECT_EQ(rig.answers[2].error, "NaN in logits");
  EXPECT_THAT(rig.answers[2].token_ids, SizeIs(1));
  EXPECT_EQ(rig.answers[1].token_ids, expected_output(request_of(1, 5, 6), 1000));
  EXPECT_EQ(rig.answers[3].token_ids, expected_output(request_of(3, 5, 6), 1000));
}

TEST(Scheduler, AWrongResultIsRefusedAndErrorsCanBeAppliedInItsPlace) {
  Rig rig({}, 64, 4);
  rig.scheduler.add(request_of(1, 5, 6));
  rig.scheduler.add(request_of(2, 5, 6));
  const StepPlan plan = rig.scheduler.plan();
  const StepResult good = rig.executor.run(plan);
  StepResult wrong = good;
  wrong.sequences[1].sampled = false;
  EXPECT_THROW(rig.scheduler.apply(wrong), Error);
  wrong = good;
  wrong.step_id = 9;
  EXPECT_THROW(rig.scheduler.apply(wrong), Error);
  wrong = good;
  std::swap(wrong.sequences[0], wrong.sequences[1]);
  EXPECT_THROW(rig.scheduler.apply(wrong), Error);
  EXPECT_THROW(rig.scheduler.plan(), Error);
  StepResult failed{.step_id = plan.step_id, .sequences = {}};
  for (const SequenceStep& step : plan.sequences) {
    failed.sequences.emplace_back();
    failed.sequences.back().id = step.id;
    failed.sequences.back().error = "the step failed";
  }
  rig.take(rig.scheduler.apply(failed));
  EXPECT_EQ(rig.answers[1].finish_reason, FinishReason::kError);
  EXPECT_EQ(rig.answers[2].error, "the step failed");
  EXPECT_FALSE(rig.scheduler.has_work());
  EXPECT_EQ(rig.blocks.num_free(), 64);
}

TEST(Scheduler, CancelsWaitingRunningAndInFlightSequences) {
  Rig rig({.max_batch_size = 2}, 64, 4);
  for (SequenceId id = 1; id <= 3; ++id) rig.scheduler.add(request_of(id, 5, 6));
  EXPECT_FALSE(rig.scheduler.cancel(9));
  EXPECT_TRUE(rig.scheduler.cancel(3));  // waiting
  rig.step();
  EXPECT_TRUE(rig.scheduler.cancel(1));  // running, between steps: its blocks are free at once
  EXPECT_FALSE(rig.scheduler.cancel(1));
  EXPECT_EQ(rig.blocks.num_free(), 62);
  const StepPlan plan = rig.scheduler.plan();
  EXPECT_THAT(plan.released, ElementsAre(1u));
  ASSERT_THAT(plan.sequences, SizeIs(1));
  EXPECT_TRUE(rig.scheduler.cancel(2));  // in flight: its blocks are still being written
  EXPECT_FALSE(rig.scheduler.cancel(2));
  EXPECT_EQ(rig.blocks.num_free(), 62);
  EXPECT_TRUE(rig.scheduler.has_work());
  EXPECT_THAT(rig.scheduler.apply(rig.executor.run(plan)), IsEmpty());
  EXPECT_EQ(rig.blocks.num_free(), 64);
  EXPECT_FALSE(rig.scheduler.has_work());
  EXPECT_TRUE(rig.scheduler.plan().empty());
  rig.scheduler.add(request_of(4, 5, 1));
  EXPECT_THAT(rig.scheduler.plan().released, ElementsAre(2u)) << "told with the next real step";
}

TEST(Scheduler, CollectsPromptLogprobsOnceWhateverTheChunks) {
  for (const int64_t budget : {1, 3, 7, 100}) {
    Rig rig({.max_num_tokens = budget}, 64, 4);
    SequenceRequest request = request_of(1, 9, 4);
    request.sampling.num_prompt_logprobs = 0;
    rig.scheduler.add(request);
    rig.scheduler.add(request_of(2, 9, 4));
    rig.run_to_end();
    const Answer& answer = rig.answers[1];
    EXPECT_EQ(answer.prompt_logprobs_emissions, 1);
    ASSERT_THAT(answer.prompt_logprobs, SizeIs(9));
    EXPECT_THAT(answer.prompt_logprobs[0], IsEmpty());
    for (size_t i = 1; i < 9; ++i) {
      EXPECT_EQ(answer.prompt_logprobs[i][0].logprob, static_cast<float>(i)) << budget;
    }
    EXPECT_EQ(rig.answers[2].prompt_logprobs_emissions, 0);
  }
}

TEST(Scheduler, APromptOfOneTokenHasOneEmptyPromptLogprob) {
  Rig rig({}, 64, 4);
  SequenceRequest request = request_of(1, 1, 2);
  request.sampling.num_prompt_logprobs = 5;
  rig.scheduler.add(request);
  EXPECT_FALSE(rig.step().sequences[0].prompt_logprobs);
  ASSERT_THAT(rig.answers[1].prompt_logprobs, SizeIs(1));
  EXPECT_THAT(rig.answers[1].prompt_logprobs[0], IsEmpty());
}

TEST(Scheduler, DoesNotAskAgainForPromptLogprobsThatItHas) {
  Rig rig({}, 4, 4);
  rig.scheduler.add(request_of(1, 4, 9));
  SequenceRequest request = request_of(2, 3, 9);
  request.sampling.num_prompt_logprobs = 0;
  rig.scheduler.add(request);
  int asked = 0;
  while (rig.scheduler.has_work()) {
    for (const SequenceStep& step : rig.step().sequences) asked += step.prompt_logprobs ? 1 : 0;
  }
  EXPECT_GE(rig.scheduler.stats().preemptions, 1u);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(rig.answers[2].prompt_logprobs_emissions, 1);
}

struct Load {
  int64_t max_num_tokens;
  int64_t max_batch_size;
  int64_t num_blocks;
  bool preempts;
};

std::vector<SequenceRequest> mixed_requests(uint64_t seed, int count, int64_t max_prompt) {
  std::mt19937_64 random(seed);
  std::vector<SequenceRequest> requests;
  for (int i = 0; i < count; ++i) {
    SequenceRequest request =
        request_of(seed * 1000 + static_cast<uint64_t>(i),
                   1 + static_cast<int64_t>(random() % static_cast<uint64_t>(max_prompt)),
                   1 + static_cast<int64_t>(random() % 60));
    for (int32_t id = 0; id < 10; ++id) request.end_token_ids.push_back(id);  // 1 token in 100
    request.sampling.min_tokens = static_cast<int64_t>(random() % 20);
    request.sampling.num_prompt_logprobs = random() % 4 == 0 ? 0 : -1;
    requests.push_back(request);
  }
  return requests;
}

class AnyLoad : public ::testing::TestWithParam<Load> {};

TEST_P(AnyLoad, EverySequenceGetsTheTextThatItWouldGetAlone) {
  const Load load = GetParam();
  const int64_t max_prompt = std::min<int64_t>(300, load.num_blocks * 8 - 1);
  uint64_t preemptions = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const std::vector<SequenceRequest> requests = mixed_requests(seed, 64, max_prompt);
    Rig rig({.max_batch_size = load.max_batch_size, .max_num_tokens = load.max_num_tokens},
            load.num_blocks, 8);
    std::mt19937_64 random(seed + 77);
    for (const SequenceRequest& request : requests) {
      rig.scheduler.add(request);
      while (random() % 3 == 0) rig.step();  // some arrive while others run
    }
    rig.run_to_end();
    for (const SequenceRequest& request : requests) {
      const Answer& answer = rig.answers[request.id];
      ASSERT_EQ(answer.token_ids, expected_output(request, rig.scheduler.max_length()));
      ASSERT_EQ(answer.first_scheduled, 1);
      const bool wanted = request.sampling.num_prompt_logprobs >= 0;
      ASSERT_EQ(answer.prompt_logprobs_emissions, wanted ? 1 : 0);
      for (size_t i = 1; wanted && i < request.prompt_ids.size(); ++i) {
        ASSERT_EQ(answer.prompt_logprobs[i][0].logprob, static_cast<float>(i));
      }
    }
    preemptions += rig.scheduler.stats().preemptions;
    ASSERT_LE(rig.executor.num_started(), 64u);
  }
  EXPECT_EQ(preemptions > 0, load.preempts) << preemptions;
}

INSTANTIATE_TEST_SUITE_P(Loads, AnyLoad,
                         ::testing::Values(Load{2048, 64, 4096, false}, Load{16, 64, 4096, false},
                                           Load{100, 7, 4096, false}, Load{1, 64, 4096, false},
                                           Load{2048, 1, 4096, false}, Load{2048, 64, 60, true},
                                           Load{16, 64, 45, true}, Load{64, 64, 12, true},
                                           Load{2048, 64, 5, true}));

TEST(Scheduler, TheSameCallsGiveTheSamePlans) {
  const auto trace = [] {
    Rig rig({.max_num_tokens = 40}, 40, 8);
    for (const SequenceRequest& request : mixed_requests(3, 30, 200)) rig.scheduler.add(request);
    std::vector<std::tuple<SequenceId, int64_t, size_t, std::vector<int32_t>>> steps;
    while (rig.scheduler.has_work()) {
      for (const SequenceStep& step : rig.step().sequences) {
        steps.emplace_back(step.id, step.start_position, step.token_ids.size(), step.block_table);
      }
    }
    return steps;
  };
  EXPECT_EQ(trace(), trace());
}

TEST(Scheduler, CancellationAtAnyMomentLeavesTheOthersUntouched) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    Rig rig({.max_batch_size = 16, .max_num_tokens = 50}, 24, 8);
    const std::vector<SequenceRequest> requests = mixed_requests(seed, 40, 150);
    for (const SequenceRequest& request : requests) rig.scheduler.add(request);
    std::set<SequenceId> cancelled;
    std::map<SequenceId, size_t> length_at_cancel;
    const auto cancel_some = [&] {
      if (random() % 8 != 0) return;
      const SequenceId id = requests[random() % requests.size()].id;
      if (!rig.scheduler.cancel(id)) return;
      cancelled.insert(id);
      length_at_cancel[id] = rig.answers[id].token_ids.size();
    };
    while (rig.scheduler.has_work()) {
      cancel_some();
      const StepPlan plan = rig.scheduler.plan();
      rig.check_plan(plan);
      if (plan.empty()) continue;
      cancel_some();
      rig.take(rig.scheduler.apply(rig.executor.run(plan)));
      rig.blocks.check();
    }
    EXPECT_EQ(rig.blocks.num_free(), 24);
    EXPECT_FALSE(cancelled.empty());
    for (const SequenceRequest& request : requests) {
      const Answer& answer = rig.answers[request.id];
      if (cancelled.contains(request.id)) {
        EXPECT_EQ(answer.finish_reason, FinishReason::kNone);
        EXPECT_EQ(answer.token_ids.size(), length_at_cancel[request.id]);
      } else {
        ASSERT_EQ(answer.token_ids, expected_output(request, rig.scheduler.max_length()));
      }
    }
  }
}

// Printed, never asserted: the time of plan and apply, without an executor.
TEST(Scheduler, PlansAndAppliesThousandsOfSequencesQuickly) {
  for (const int64_t batch : {64, 4096}) {
    FakeClock clock;
    BlockManager blocks(100000, 16);
    Scheduler scheduler({.max_batch_size = batch, .max_num_tokens = 8192}, blocks, clock);
    for (SequenceId id = 0; id < 4096; ++id) scheduler.add(request_of(id, 100, 1000));
    double total_us = 0.0;
    int counted = 0;
    for (int i = 0; i < 200; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      const StepPlan plan = scheduler.plan();
      const auto middle = std::chrono::steady_clock::now();
      StepResult result{.step_id = plan.step_id, .sequences = {}};
      for (const SequenceStep& step : plan.sequences) {
        result.sequences.emplace_back();
        result.sequences.back().id = step.id;
        result.sequences.back().sampled = step.sample;
      }
      const auto resumed = std::chrono::steady_clock::now();
      const std::vector<Emission> emissions = scheduler.apply(std::move(result));
      const auto end = std::chrono::steady_clock::now();
      ASSERT_LE(emissions.size(), plan.sequences.size());
      if (i < 100) continue;  // the prefills
      total_us += std::chrono::duration<double, std::micro>(middle - begin + end - resumed).count();
      ++counted;
    }
    EXPECT_EQ(scheduler.stats().num_running, batch);
    std::cout << "4096 sequences, " << batch << " in the batch: plan + apply " << total_us / counted
              << " us a step\n";
  }
}

}  // namespace
}  // namespace glmoe
