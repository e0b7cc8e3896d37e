// What goes into a step: known prefixes, priorities, room for others, and plans made ahead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "glmoe/error.h"
#include "sched/rig.h"
#include "sched/scheduler.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

SequenceRequest request_with(SequenceId id, std::vector<int32_t> prompt, int64_t max_tokens) {
  SequenceRequest request;
  request.id = id;
  request.prompt_ids = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

void expect_right(const Rig& rig, const SequenceRequest& request) {
  const auto answer = rig.answers.find(request.id);
  ASSERT_NE(answer, rig.answers.end()) << request.id;
  ASSERT_EQ(answer->second.token_ids, expected_output(request, rig.scheduler.max_length()))
      << request.id;
}

TEST(PrefixPlan, ComputesOnlyWhatIsNotKnown) {
  Rig rig({}, 64, 4);
  const SequenceRequest first = request_of(1, 10, 3);
  rig.scheduler.add(first);
  rig.run_to_end();
  // The next turn of the conversation: prompt and answer again, and something new.
  std::vector<int32_t> turn = first.prompt_ids;
  const std::vector<int32_t> answer = rig.answers[1].token_ids;
  turn.insert(turn.end(), answer.begin(), answer.end());
  turn.push_back(500);
  const SequenceRequest second = request_with(2, turn, 3);
  rig.scheduler.add(second);
  const StepPlan plan = rig.step();
  // 10 + 3 tokens, of which the last generated one was never computed.
  EXPECT_EQ(plan.sequences[0].start_position, 12);
  EXPECT_THAT(plan.sequences[0].token_ids, ElementsAre(answer[2], 500));
  EXPECT_EQ(rig.answers[2].num_cached_tokens, 12);
  rig.run_to_end();
  expect_right(rig, second);
  const SchedulerStats stats = rig.scheduler.stats();
  EXPECT_EQ(stats.prefix_queries, 24u);
  EXPECT_EQ(stats.prefix_hits, 12u);
}

TEST(PrefixPlan, AlwaysComputesTheLastTokenOfThePrompt) {
  for (const int64_t length : {1, 4, 5, 8, 9}) {
    Rig rig({}, 64, 4);
    rig.scheduler.add(request_of(1, length, 2));
    rig.run_to_end();
    SequenceRequest again = request_of(1, length, 5);
    again.id = 2;
    rig.scheduler.add(again);
    const StepPlan plan = rig.step();
    EXPECT_EQ(plan.sequences[0].start_position, length - 1);
    EXPECT_THAT(plan.sequences[0].token_ids, SizeIs(1));
    rig.run_to_end();
    expect_right(rig, again);
  }
}

TEST(PrefixPlan, CopiesABlockWhereAPromptEndsOrDivergesInsideIt) {
  Rig rig({}, 64, 8);
  rig.scheduler.add(request_of(1, 20, 2));
  rig.run_to_end();
  SequenceRequest diverges = request_of(1, 20, 4);
  diverges.id = 2;
  diverges.prompt_ids[13] = 1;
  rig.scheduler.add(diverges);
  const StepPlan plan = rig.step();
  ASSERT_THAT(plan.copies, SizeIs(1));
  EXPECT_EQ(plan.copies[0].to, plan.sequences[0].block_table[1]);
  EXPECT_EQ(plan.sequences[0].start_position, 13);
  rig.run_to_end();
  expect_right(rig, diverges);
}

TEST(PrefixPlan, OthersWithTheSameBeginningWaitForItToBeComputedOnce) {
  Rig rig({}, 64, 4);
  std::vector<SequenceRequest> requests;
  for (SequenceId id = 1; id <= 4; ++id) {
    requests.push_back(request_with(id, prompt_of(7, 17), 3));
    rig.scheduler.add(requests.back());
  }
  EXPECT_THAT(rig.step().sequences, SizeIs(1));
  const StepPlan second = rig.step();
  ASSERT_THAT(second.sequences, SizeIs(4));
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(second.sequences[i].start_position, 16);
  rig.run_to_end();
  for (const SequenceRequest& request : requests) expect_right(rig, request);
}

TEST(PrefixPlan, SaltsAndPromptLogprobsKeepPrefixesApart) {
  Rig rig({}, 64, 4);
  rig.scheduler.add(request_with(1, prompt_of(7, 17), 1));
  rig.run_to_end();
  SequenceRequest salted = request_with(2, prompt_of(7, 17), 1);
  salted.cache_salt = "tenant";
  rig.scheduler.add(salted);
  EXPECT_EQ(rig.step().sequences[0].start_position, 0);
  SequenceRequest scored = request_with(3, prompt_of(7, 17), 1);
  scored.sampling.num_prompt_logprobs = 0;
  rig.scheduler.add(scored);
  EXPECT_EQ(rig.step().sequences[0].start_position, 0);
  EXPECT_THAT(rig.answers[3].prompt_logprobs, SizeIs(17));
  EXPECT_EQ(rig.scheduler.stats().prefix_hits, 0u);
}

TEST(PrefixPlan, APreemptedSequenceFindsWhatIsLeftOfItsBlocks) {
  Rig rig({.max_num_tokens = 100}, 12, 4);
  const SequenceRequest first = request_of(1, 16, 18), second = request_of(2, 16, 12);
  rig.scheduler.add(first);
  rig.scheduler.add(second);
  int64_t restarted_at = -1;
  while (rig.scheduler.has_work()) {
    const StepPlan plan = rig.step();
    for (const SequenceStart& start : plan.started) {
      if (!start.output_ids.empty()) restarted_at = plan.sequences.back().start_position;
    }
  }
  EXPECT_GE(rig.scheduler.stats().preemptions, 1u);
  EXPECT_GT(restarted_at, 0);
  expect_right(rig, first);
  expect_right(rig, second);
}

TEST(PrefixPlan, WhatAFailedSequenceComputedIsNotReused) {
  Rig rig({.max_num_tokens = 8}, 64, 4);
  rig.scheduler.add(request_of(1, 16, 4));
  rig.step();
  rig.executor.failing[1] = "NaN in logits";
  rig.run_to_end();
  EXPECT_EQ(rig.scheduler.stats().kv_blocks_cached, 0);
}

TEST(Priorities, LowerOnesAreAdmittedFirstAndEqualOnesInOrder) {
  Rig rig({.max_batch_size = 1}, 64, 4);
  std::vector<SequenceId> order;
  for (const auto& [id, priority] : {std::pair{1, 0}, {2, 5}, {3, 1}, {4, 5}, {5, -2}}) {
    SequenceRequest request = request_of(static_cast<SequenceId>(id), 3, 2);
    request.priority = priority;
    rig.scheduler.add(request);
  }
  while (rig.scheduler.has_work()) {
    for (const SequenceStart& start : rig.step().started) order.push_back(start.id);
  }
  EXPECT_THAT(order, ElementsAre(5, 1, 3, 2, 4));
}

TEST(Priorities, AFullBatchGivesWayToAHigherOneOnly) {
  Rig rig({.max_batch_size = 2}, 64, 4);
  std::vector<SequenceRequest> requests;
  for (const auto& [id, priority] : {std::pair{1, 3}, {2, 3}}) {
    requests.push_back(request_of(static_cast<SequenceId>(id), 5, 10));
    requests.back().priority = priority;
    rig.scheduler.add(requests.back());
  }
  rig.step();
  requests.push_back(request_of(3, 5, 4));
  requests.back().priority = 3;
  rig.scheduler.add(requests.back());
  EXPECT_THAT(rig.step().started, IsEmpty()) << "an equal one waits";
  requests.push_back(request_of(4, 5, 4));
  requests.back().priority = 1;
  rig.scheduler.add(requests.back());
  const StepPlan plan = rig.step();
  ASSERT_THAT(plan.started, SizeIs(1));
  EXPECT_EQ(plan.started[0].id, 4u);
  EXPECT_THAT(plan.released, ElementsAre(2u)) << "of the lowest priority the latest arrival";
  rig.run_to_end();
  for (const SequenceRequest& request : requests) expect_right(rig, request);
}

TEST(Priorities, BlocksAreTakenFromTheLowestPriorityAndOnlyWhereThatHelps) {
  Rig rig({}, 8, 4);
  std::vector<SequenceRequest> requests = {request_of(1, 12, 3), request_of(2, 11, 3),
                                           request_of(3, 11, 3), request_of(4, 30, 1)};
  requests[0].priority = 1;
  requests[1].priority = 9;
  requests[2].priority = 5;
  requests[3].priority = 0;
  rig.scheduler.add(requests[0]);
  rig.scheduler.add(requests[1]);
  rig.step();
  SequenceRequest too_long = request_of(5, 15, 1);  // would not fit even in the place of 2
  too_long.priority = 5;
  rig.scheduler.add(too_long);
  EXPECT_THAT(rig.step().released, IsEmpty());
  rig.scheduler.cancel(5);
  rig.scheduler.add(requests[2]);
  const StepPlan plan = rig.step();
  EXPECT_THAT(plan.released, ElementsAre(2u));
  ASSERT_THAT(plan.started, SizeIs(1));
  EXPECT_EQ(plan.started[0].id, 3u);
  rig.scheduler.add(requests[3]);  // all blocks: everything gives way
  EXPECT_EQ(rig.step().started.at(0).id, 4u);
  rig.run_to_end();
  for (const SequenceRequest& request : requests) expect_right(rig, request);
}

TEST(Priorities, ALongPrefillLetsAHigherOnePass) {
  Rig rig({.max_num_tokens = 8}, 64, 4);
  SequenceRequest low = request_of(1, 60, 2), high = request_of(2, 10, 2);
  low.priority = 1;
  rig.scheduler.add(low);
  rig.step();
  rig.scheduler.add(high);
  const StepPlan plan = rig.step();
  ASSERT_THAT(plan.sequences, SizeIs(1));
  EXPECT_EQ(plan.sequences[0].id, 2u);
  rig.run_to_end();
  expect_right(rig, low);
  expect_right(rig, high);
}

TEST(PlanAhead, ContinuesATokenThatIsNotKnownYet) {
  Rig rig({}, 64, 4);
  const SequenceRequest request = request_of(1, 5, 4);
  rig.scheduler.add(request);
  StepPlan first = rig.scheduler.plan(), second;
  ASSERT_TRUE(rig.scheduler.plan(second));
  EXPECT_TRUE(second.sequences[0].input_from_previous);
  EXPECT_EQ(second.sequences[0].start_position, 5);
  EXPECT_THAT(second.sequences[0].token_ids, SizeIs(1));
  EXPECT_THROW(rig.scheduler.plan(), Error) << "two are out";
  rig.take(rig.scheduler.apply(rig.executor.run(first)));
  rig.take(rig.scheduler.apply(rig.executor.run(second)));
  rig.run_to_end_ahead();
  expect_right(rig, request);
}

TEST(PlanAhead, PlansNothingBeyondMaxTokensOrTheContext) {
  Rig rig({.max_seq_len = 7}, 64, 4);
  rig.scheduler.add(request_of(1, 5, 1));
  rig.scheduler.add(request_of(2, 6, 100));
  const StepPlan first = rig.scheduler.plan();
  StepPlan second;
  EXPECT_FALSE(rig.scheduler.plan(second));
  rig.take(rig.scheduler.apply(rig.executor.run(first)));
  EXPECT_FALSE(rig.scheduler.has_work());
}

TEST(PlanAhead, DiscardsTheRowOfAnAnswerThatHasEnded) {
  Rig rig({}, 64, 4);
  SequenceRequest request = request_of(1, 5, 40);
  request.end_token_ids = {expected_output(request, 1000)[0]};
  rig.scheduler.add(request);
  const StepPlan first = rig.scheduler.plan(), second = rig.scheduler.plan();
  rig.take(rig.scheduler.apply(rig.executor.run(first)));
  EXPECT_EQ(rig.answers[1].finish_reason, FinishReason::kStop);
  EXPECT_TRUE(rig.scheduler.has_work()) << "its row is still under way";
  EXPECT_LT(rig.blocks.num_free(), 64);
  EXPECT_THAT(rig.scheduler.apply(rig.executor.run(second)), IsEmpty());
  EXPECT_FALSE(rig.scheduler.has_work());
  EXPECT_EQ(rig.blocks.num_free(), 64);
}

TEST(PlanAhead, NewcomersStillGetIntoThePlanThatHasNotBegun) {
  Rig rig({.max_num_tokens = 20}, 64, 4);
  rig.scheduler.add(request_of(1, 5, 6));
  StepPlan first = rig.scheduler.plan(), second = rig.scheduler.plan();
  const uint64_t step_id = second.step_id;
  EXPECT_FALSE(rig.scheduler.extend(second));
  rig.scheduler.add(request_of(2, 30, 3));
  EXPECT_TRUE(rig.scheduler.extend(second));
  EXPECT_EQ(second.step_id, step_id);
  ASSERT_THAT(second.sequences, SizeIs(2));
  EXPECT_THAT(second.started, SizeIs(1));
  EXPECT_THAT(second.sequences[1].token_ids, SizeIs(19));
  EXPECT_THROW(rig.scheduler.extend(first), Error);
  rig.check_plan(second);
  rig.take(rig.scheduler.apply(rig.executor.run(first)));
  rig.take(rig.scheduler.apply(rig.executor.run(second)));
  rig.run_to_end_ahead();
  expect_right(rig, request_of(1, 5, 6));
  expect_right(rig, request_of(2, 30, 3));
}

TEST(PlanAhead, WaitsForTheStepUnderWayBeforeItPreempts) {
  Rig rig({}, 4, 4, false);
  const SequenceRequest first = request_of(1, 4, 9), second = request_of(2, 3, 9);
  rig.scheduler.add(first);
  rig.scheduler.add(second);
  rig.run_to_end_ahead();
  EXPECT_GE(rig.scheduler.stats().preemptions, 1u);
  expect_right(rig, first);
  expect_right(rig, second);
}

TEST(PlanAhead, AFailureEndsTheRowsThatHangOnIt) {
  Rig rig({}, 64, 4);
  rig.scheduler.add(request_of(1, 5, 6));
  rig.scheduler.add(request_of(2, 5, 6));
  const StepPlan first = rig.scheduler.plan(), second = rig.scheduler.plan();
  rig.executor.failing[1] = "NaN in logits";
  rig.take(rig.scheduler.apply(rig.executor.run(first)));
  EXPECT_EQ(rig.answers[1].error, "NaN in logits");
  rig.take(rig.scheduler.apply(rig.executor.run(second)));
  rig.run_to_end_ahead();
  EXPECT_THAT(rig.answers[1].token_ids, IsEmpty());
  expect_right(rig, request_of(2, 5, 6));
}

}  // namespace
}  // namespace glmoe
