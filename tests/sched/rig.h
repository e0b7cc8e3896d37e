// A scheduler with blocks, a clock that stands still and a fake executor, for its tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "sched/fake_executor.h"
#include "sched/scheduler.h"

namespace glmoe::testing {

class FakeClock final : public Clock {
 public:
  double now_ms() const override { return time_ms; }
  double time_ms = 0.0;
};

inline std::vector<int32_t> prompt_of(uint64_t seed, int64_t length) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < length; ++i) {
    ids.push_back(static_cast<int32_t>(random_bits(seed, 0, static_cast<uint64_t>(i)) % 1000));
  }
  return ids;
}

inline SequenceRequest request_of(SequenceId id, int64_t prompt_length, int64_t max_tokens) {
  SequenceRequest request;
  request.id = id;
  request.prompt_ids = prompt_of(id, prompt_length);
  request.max_tokens = max_tokens;
  return request;
}

// What the model says after `request`, without any scheduler.
inline std::vector<int32_t> expected_output(const SequenceRequest& request, int64_t max_length) {
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
  int64_t num_cached_tokens = 0;
  int prompt_logprobs_emissions = 0;
  FinishReason finish_reason = FinishReason::kNone;
  std::string stop_reason;
  std::string error;
};

// Scheduler, blocks and fake executor, with the invariants of every step checked.
struct Rig {
  Rig(const SchedulerConfig& c, int64_t num_blocks, int64_t tokens_per_block, bool reuse = true)
      : config(c),
        blocks(num_blocks, tokens_per_block, reuse),
        scheduler(c, blocks, clock),
        executor(num_blocks, tokens_per_block) {}

  void check_plan(const StepPlan& plan) {
    for (const SequenceStart& start : plan.started) {
      known_tokens[start.id] = static_cast<int64_t>(start.prompt_ids.size()) +
                               static_cast<int64_t>(start.output_ids.size());
    }
    EXPECT_LE(plan.num_tokens(), config.max_num_tokens);
    EXPECT_LE(static_cast<int64_t>(plan.sequences.size()), config.max_batch_size);
    bool prefill_seen = false;
    for (const SequenceStep& step : plan.sequences) {
      const auto end = step.start_position + static_cast<int64_t>(step.token_ids.size());
      EXPECT_GE(static_cast<int64_t>(step.block_table.size()), blocks.blocks_for(end));
      const bool decode = step.start_position >= known_tokens[step.id];
      EXPECT_FALSE(decode && prefill_seen) << "decodes come first";
      EXPECT_FALSE(decode && step.token_ids.size() != 1);
      prefill_seen |= !decode;
    }
  }

  void take(std::vector<Emission> emissions) {
    for (Emission& e : emissions) {
      Answer& answer = answers[e.id];
      EXPECT_EQ(answer.finish_reason, FinishReason::kNone) << "an emission after the last";
      answer.token_ids.insert(answer.token_ids.end(), e.token_ids.begin(), e.token_ids.end());
      answer.first_scheduled += e.first_scheduled ? 1 : 0;
      if (e.first_scheduled) answer.num_cached_tokens = e.num_cached_tokens;
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
    check();
    if (!plan.empty()) take(scheduler.apply(executor.run(plan)));
    check();
    return plan;
  }

  // A large cache is looked at now and then only: each look is at all its blocks.
  void check() {
    if (blocks.num_blocks() <= 100 || ++num_checks % 50 == 0) scheduler.check();
  }

  // The same with a second plan made while the first is out; false where nothing was left to do.
  bool step_ahead() {
    while (outstanding.size() < 2) {
      StepPlan plan;
      const bool planned = scheduler.plan(plan);
      check_plan(plan);
      check();
      if (!planned) break;
      outstanding.push_back(std::move(plan));
    }
    if (outstanding.empty()) return false;
    take(scheduler.apply(executor.run(outstanding.front())));
    outstanding.pop_front();
    check();
    return true;
  }

  void run_to_end_ahead() {
    int64_t steps = 0;
    while (step_ahead()) ASSERT_LT(++steps, 1000000);
    EXPECT_FALSE(scheduler.has_work()) << "work, but nothing planned: a deadlock";
    EXPECT_EQ(blocks.num_free(), blocks.num_blocks());
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
  int num_checks = 0;
  std::deque<StepPlan> outstanding;  // of step_ahead()
  std::map<SequenceId, Answer> answers;
  std::map<SequenceId, int64_t> known_tokens;  // when it was started
};

}  // namespace glmoe::testing
