#include "exec/step_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>

#include "base/error.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Samples for each row its input token plus one; what else it does is up to the test.
class Counter final : public Executor {
 public:
  StepResult execute(const StepPlan& plan) override {
    if (before) before(plan);
    StepResult result{.step_id = plan.step_id, .sequences = {}};
    std::vector<SequenceId> ids;
    for (const SequenceStep& step : plan.sequences) {
      SequenceResult& row = result.sequences.emplace_back();
      row.id = step.id;
      row.sampled = true;
      row.token_id = step.token_ids.front() + 1;
      ids.push_back(step.id);
    }
    if (after) after(result);
    ran.push_back(ids);
    return result;
  }
  std::vector<float> logits(std::span<const int32_t>, int64_t) override { return {}; }
  std::string describe_moe() const override { return ""; }
  std::string failure() const override { return lost; }
  std::vector<std::vector<uint64_t>> expert_counts() const override { return {}; }

  std::function<void(const StepPlan&)> before;
  std::function<void(StepResult&)> after;
  std::vector<std::vector<SequenceId>> ran;
  std::string lost;
};

SequenceStep row(SequenceId id, int32_t token, bool from_previous = false) {
  SequenceStep step;
  step.id = id;
  step.token_ids = {token};
  step.sample = true;
  step.input_from_previous = from_previous;
  return step;
}

StepPlan plan_of(uint64_t step_id, std::vector<SequenceStep> rows) {
  StepPlan plan;
  plan.step_id = step_id;
  plan.sequences = std::move(rows);
  return plan;
}

std::vector<int32_t> tokens(const StepOutcome& outcome) {
  std::vector<int32_t> ids;
  for (const SequenceResult& row : outcome.result.sequences) ids.push_back(row.token_id);
  return ids;
}

struct Rig {
  Rig() : runner(executor, [this] { ++done; }) {}
  StepOutcome take() {
    StepOutcome outcome;
    while (!runner.try_take(outcome)) std::this_thread::yield();
    return outcome;
  }
  Counter executor;
  std::atomic<int> done = 0;
  StepRunner runner;
};

TEST(StepRunner, FillsInTheTokensOfTheStepBefore) {
  Rig rig;
  std::promise<void> open;
  rig.executor.before = [&](const StepPlan& plan) {
    if (plan.step_id == 1) open.get_future().wait();
  };
  StepPlan first = plan_of(1, {row(1, 10), row(2, 20)});
  // In another order, with a newcomer, and without one.
  StepPlan second = plan_of(2, {row(2, 0, true), row(3, 50), row(1, 0, true)});
  StepPlan third = plan_of(3, {row(2, 0, true), row(3, 0, true)});
  rig.runner.submit(first);
  rig.runner.submit(second);
  open.set_value();
  EXPECT_THAT(tokens(rig.take()), ElementsAre(11, 21));
  rig.runner.submit(third);
  EXPECT_THAT(tokens(rig.take()), ElementsAre(22, 51, 12));
  EXPECT_THAT(tokens(rig.take()), ElementsAre(23, 52));
  rig.runner.wait_idle();
  StepOutcome none;
  EXPECT_FALSE(rig.runner.try_take(none));
}

TEST(StepRunner, AStepThatThrowsAnswersAllItsRowsAndTheNextRunsWithoutItsOrphans) {
  Rig rig;
  rig.executor.before = [](const StepPlan& plan) {
    if (plan.step_id == 1) fail(ErrorCode::kInternal, "the device coughed");
  };
  StepPlan first = plan_of(1, {row(1, 10), row(2, 20)});
  StepPlan second = plan_of(2, {row(2, 0, true), row(3, 50), row(1, 0, true)});
  rig.runner.submit(first);
  rig.runner.submit(second);
  const StepOutcome failed = rig.take();
  EXPECT_THAT(failed.error, HasSubstr("coughed"));
  ASSERT_THAT(failed.result.sequences, SizeIs(2));
  EXPECT_EQ(failed.result.step_id, 1u);
  EXPECT_THAT(failed.result.sequences[1].error, HasSubstr("coughed"));
  const StepOutcome next = rig.take();
  EXPECT_THAT(next.error, IsEmpty());
  ASSERT_THAT(next.result.sequences, SizeIs(3));
  EXPECT_THAT(next.result.sequences[0].error, HasSubstr("no token"));
  EXPECT_EQ(next.result.sequences[1].token_id, 51);
  EXPECT_EQ(next.result.sequences[2].id, 1u);
  rig.runner.wait_idle();
  EXPECT_THAT(rig.executor.ran, ElementsAre(ElementsAre(3u)));
}

TEST(StepRunner, ARowThatFailedAloneIsTheOnlyOrphan) {
  Rig rig;
  rig.executor.after = [](StepResult& result) {
    if (result.step_id == 1) result.sequences[0] = {.id = 1, .error = "NaN in logits"};
  };
  StepPlan first = plan_of(1, {row(1, 10), row(2, 20)});
  StepPlan second = plan_of(2, {row(1, 0, true), row(2, 0, true)});
  rig.runner.submit(first);
  rig.runner.submit(second);
  EXPECT_EQ(rig.take().result.sequences[0].error, "NaN in logits");
  const StepOutcome next = rig.take();
  EXPECT_THAT(next.result.sequences[0].error, HasSubstr("no token"));
  EXPECT_EQ(next.result.sequences[1].token_id, 22);
}

TEST(StepRunner, AResultOfTheWrongLengthAndAnOddExceptionAreFailuresOfTheStep) {
  Rig rig;
  rig.executor.after = [](StepResult& result) {
    if (result.step_id == 1) result.sequences.pop_back();
    if (result.step_id == 2) throw 42;  // NOLINT: nobody may bring the process down
  };
  StepPlan first = plan_of(1, {row(1, 10)}), second = plan_of(2, {row(2, 20)});
  rig.runner.submit(first);
  rig.runner.submit(second);
  EXPECT_THAT(rig.take().result.sequences, SizeIs(1));
  EXPECT_THAT(rig.take().error, HasSubstr("unknown"));
}

TEST(StepRunner, TakesBackOnlyWhatHasNotBegun) {
  Rig rig;
  std::promise<void> open, begun;
  rig.executor.before = [&](const StepPlan& plan) {
    if (plan.step_id != 1) return;
    begun.set_value();
    open.get_future().wait();
  };
  StepPlan first = plan_of(1, {row(1, 10)}), second = plan_of(2, {row(1, 0, true)});
  rig.runner.submit(first);
  begun.get_future().wait();
  EXPECT_FALSE(rig.runner.withdraw(first));
  rig.runner.submit(second);
  ASSERT_TRUE(rig.runner.withdraw(second));
  EXPECT_FALSE(rig.runner.withdraw(second));
  second.sequences.push_back(row(2, 70));
  rig.runner.submit(second);
  open.set_value();
  EXPECT_THAT(tokens(rig.take()), ElementsAre(11));
  EXPECT_THAT(tokens(rig.take()), ElementsAre(12, 71));
  rig.runner.wait_idle();
}

TEST(StepRunner, PassesOnThatNothingMoreCanRunAndEndsWithAPlanQueued) {
  StepPlan first = plan_of(1, {row(1, 10)}), second = plan_of(2, {row(1, 0, true)});
  Rig rig;
  rig.executor.lost = "the GPU was lost";
  rig.executor.before = [](const StepPlan&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  rig.runner.submit(first);
  EXPECT_EQ(rig.take().failure, "the GPU was lost");
  rig.runner.submit(first);
  rig.runner.submit(second);
}

}  // namespace
}  // namespace glmoe
