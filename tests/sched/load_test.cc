// Whole loads and random traces of calls: every sequence keeps its text, nothing leaks, and
// equal calls give equal plans.
// Mirrors: src/sched/scheduler.cc, src/sched/plan.cc
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>
#include <tuple>

#include "sched/rig.h"
#include "sched/scheduler.h"

namespace glmoe {
namespace {

using namespace testing;

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

TEST_P(AnyLoad, PlansMadeAheadChangeNoText) {
  const Load load = GetParam();
  const int64_t max_prompt = std::min<int64_t>(300, load.num_blocks * 8 - 1);
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const std::vector<SequenceRequest> requests = mixed_requests(seed, 64, max_prompt);
    Rig rig({.max_batch_size = load.max_batch_size, .max_num_tokens = load.max_num_tokens},
            load.num_blocks, 8);
    std::mt19937_64 random(seed + 77);
    for (const SequenceRequest& request : requests) {
      rig.scheduler.add(request);
      while (random() % 3 == 0) rig.step_ahead();
      if (!rig.outstanding.empty()) {
        rig.scheduler.extend(rig.outstanding.back());
        rig.check_plan(rig.outstanding.back());
      }
    }
    rig.run_to_end_ahead();
    for (const SequenceRequest& request : requests) {
      ASSERT_EQ(rig.answers[request.id].token_ids,
                expected_output(request, rig.scheduler.max_length()));
      const bool wanted = request.sampling.num_prompt_logprobs >= 0;
      ASSERT_EQ(rig.answers[request.id].prompt_logprobs_emissions, wanted ? 1 : 0);
    }
  }
}

// Thousands of calls in random order: what comes out is a function of the calls alone.
class Trace {
 public:
  explicit Trace(uint64_t seed)
      : random_(seed), rig_({.max_batch_size = 12, .max_num_tokens = 48}, 40, 8) {}

  std::vector<std::string> run(int num_events) {
    for (int event = 0; event < num_events; ++event) {
      rig_.clock.time_ms += 1.0;
      switch (random_() % 8) {
        case 0: add(); break;
        case 1: rig_.scheduler.cancel(1 + random_() % (last_id_ + 1)); break;
        case 2: expire(); break;
        case 3: extend(); break;
        case 4:
        case 5: plan(); break;
        default: apply();
      }
      rig_.scheduler.check();
    }
    while (rig_.scheduler.has_work()) {
      plan();
      apply();
      rig_.scheduler.check();
    }
    EXPECT_EQ(rig_.blocks.num_free(), 40);
    return log_;
  }
  const Rig& rig() const { return rig_; }
  const std::map<SequenceId, SequenceRequest>& requests() const { return requests_; }

 private:
  void add() {
    // Few different beginnings, so that prefixes are shared.
    SequenceRequest request =
        request_of(1 + random_() % 4, 1 + random_() % 150, 1 + random_() % 60);
    request.id = ++last_id_;
    request.prompt_ids.push_back(static_cast<int32_t>(random_() % 3));
    request.priority = static_cast<int32_t>(random_() % 3);
    if (random_() % 4 == 0) {
      request.deadline_ms = rig_.clock.time_ms + static_cast<double>(random_() % 400);
    }
    if (random_() % 5 == 0) request.cache_salt = "salt";
    for (int32_t id = 0; id < 10; ++id) request.end_token_ids.push_back(id);
    requests_[request.id] = request;
    rig_.scheduler.add(request);
  }
  void expire() {
    std::vector<Emission> expired;
    rig_.scheduler.expire(expired);
    for (const Emission& e : expired) log_.push_back(fmt::format("timeout {}", e.id));
  }
  void note(const StepPlan& plan) {
    std::string line = fmt::format("step {}:", plan.step_id);
    for (const BlockCopy& copy : plan.copies) line += fmt::format(" {}>{}", copy.from, copy.to);
    for (const SequenceStep& step : plan.sequences) {
      line += fmt::format(" {}@{}+{}[{}]", step.id, step.start_position, step.token_ids.size(),
                          fmt::join(step.block_table, ","));
    }
    log_.push_back(line);
  }
  void plan() {
    if (plans_.size() == 2) return;
    StepPlan plan;
    if (!rig_.scheduler.plan(plan)) return;
    rig_.check_plan(plan);
    note(plan);
    plans_.push_back(std::move(plan));
  }
  void extend() {
    if (plans_.empty() || !rig_.scheduler.extend(plans_.back())) return;
    rig_.check_plan(plans_.back());
    note(plans_.back());
  }
  void apply() {
    if (plans_.empty()) return;
    if (random_() % 40 == 0) rig_.executor.failing[plans_.front().sequences[0].id] = "failed";
    rig_.take(rig_.scheduler.apply(rig_.executor.run(plans_.front())));
    plans_.pop_front();
  }

  std::mt19937_64 random_;
  Rig rig_;
  std::map<SequenceId, SequenceRequest> requests_;
  std::deque<StepPlan> plans_;
  std::vector<std::string> log_;
  SequenceId last_id_ = 0;
};

TEST(Scheduler, ARandomTraceOfCallsReplaysToTheSamePlans) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Trace trace(seed), again(seed);
    const std::vector<std::string> plans = trace.run(4000);
    ASSERT_EQ(plans, again.run(4000)) << "seed " << seed;
    EXPECT_GT(plans.size(), 500u);
    const SchedulerStats stats = trace.rig().scheduler.stats();
    EXPECT_GT(stats.prefix_hits, 100u);
    EXPECT_GT(stats.prefix_evictions, 100u);
    EXPECT_GT(stats.preemptions, 0u);
    EXPECT_GT(stats.timeouts, 0u);
    // Whoever was not cut short got the text that it gets alone.
    int64_t complete = 0;
    for (const auto& [id, answer] : trace.rig().answers) {
      if (answer.finish_reason == FinishReason::kNone) continue;
      if (answer.finish_reason == FinishReason::kError) continue;
      ASSERT_EQ(answer.token_ids,
                expected_output(trace.requests().at(id), trace.rig().scheduler.max_length()));
      ++complete;
    }
    EXPECT_GT(complete, 50);
  }
}

TEST(Scheduler, TheSameCallsGiveTheSamePlans) {
  const auto trace = [] {
    Rig rig({.max_num_tokens = 40}, 40, 8);
    for (const SequenceRequest& request : mixed_requests(3, 30, 200)) rig.scheduler.add(request);
    std::vector<std::tuple<SequenceId, int64_t, size_t, IdList>> steps;
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
      rig.scheduler.check();
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

}  // namespace
}  // namespace glmoe
