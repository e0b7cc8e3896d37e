#include "sched/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "glmoe/error.h"
#include "sched/rig.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace testing;
using ::testing::SizeIs;

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
  Rig rig({}, 4, 4, false);
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

TEST(Deadlines, EndQueuedRunningAndInFlightSequences) {
  Rig rig({.max_batch_size = 2}, 64, 4);
  EXPECT_TRUE(std::isinf(rig.scheduler.next_deadline_ms()));
  for (const auto& [id, deadline_ms] : {std::pair{1, 30.0}, {2, 0.0}, {3, 20.0}, {4, 10.0}}) {
    SequenceRequest request = request_of(static_cast<SequenceId>(id), 5, 8);
    request.deadline_ms = deadline_ms;
    rig.scheduler.add(request);
  }
  EXPECT_EQ(rig.scheduler.next_deadline_ms(), 10.0);
  std::vector<Emission> expired;
  rig.scheduler.expire(expired);
  EXPECT_THAT(expired, IsEmpty());
  rig.step();
  rig.clock.time_ms = 25.0;
  rig.scheduler.expire(expired);
  ASSERT_THAT(expired, SizeIs(2));
  EXPECT_EQ(expired[0].id, 4u);
  EXPECT_EQ(expired[1].id, 3u);
  EXPECT_EQ(expired[1].finish_reason, FinishReason::kTimeout);
  const StepPlan plan = rig.scheduler.plan();
  ASSERT_THAT(plan.sequences, SizeIs(2));
  rig.clock.time_ms = 30.0;
  expired.clear();
  rig.scheduler.expire(expired);
  ASSERT_THAT(expired, SizeIs(1));
  EXPECT_EQ(expired[0].id, 1u);
  rig.scheduler.check();
  rig.take(rig.scheduler.apply(rig.executor.run(plan)));
  EXPECT_EQ(rig.answers[1].finish_reason, FinishReason::kNone) << "nothing after the end";
  rig.run_to_end();
  EXPECT_EQ(rig.scheduler.stats().timeouts, 3u);
  EXPECT_EQ(rig.answers[2].token_ids, expected_output(request_of(2, 5, 8), 1000));
  EXPECT_TRUE(std::isinf(rig.scheduler.next_deadline_ms()));
}

}  // namespace
}  // namespace glmoe
