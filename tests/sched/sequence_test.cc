#include "sched/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "sched/rig.h"

namespace glmoe::testing {
namespace {

using ::testing::ElementsAreArray;

// What a step of decoding touches, in front of what it does not: see the class.
TEST(Sequence, ItsStateIsInItsFirstCacheLine) {
  const Sequence sequence(request_of(1, 4, 4), 100, 0);
  const auto offset =
      reinterpret_cast<const char*>(&sequence.table) - reinterpret_cast<const char*>(&sequence);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(&sequence) % 64, 0u);
  EXPECT_LE(offset, 48) << "the table's first 16 bytes belong to it";
}

TEST(Sequence, GivesAllItsTokensWheneverItIsAsked) {
  for (const int64_t prompt : {1, 7, 8, 9, 15, 16, 17, 40}) {
    for (const int64_t ask_every : {1, 3, 8, 50}) {
      Sequence sequence(request_of(1, prompt, 60), 1000, 0);
      std::vector<int32_t> wanted = prompt_of(1, prompt);
      SequenceStep step;
      PlannedStep planned;
      sequence.plan_step(static_cast<int32_t>(prompt), step, planned);
      for (int32_t token = 0; token < 50; ++token) {
        SequenceResult result{.id = 1, .sampled = true, .token_id = 700 + token};
        Emission emission;
        sequence.advance(planned, result, emission);
        wanted.push_back(700 + token);
        ASSERT_EQ(sequence.num_tokens(), static_cast<int32_t>(wanted.size()));
        if (token % ask_every == 0) {
          ASSERT_THAT(sequence.token_ids(), ElementsAreArray(wanted));
        }
        sequence.plan_decode(step, planned);
        ASSERT_EQ(step.token_ids, std::vector<int32_t>{700 + token});
      }
      EXPECT_THAT(sequence.token_ids(), ElementsAreArray(wanted));
    }
  }
}

TEST(Sequence, EndsAtEachOfManyEndTokensWhateverTheirOrder) {
  for (const std::vector<int32_t>& ends :
       {std::vector<int32_t>{900, 3, 500}, {0}, {999, 998, 997, 996, 995, 3}, {3, 3}}) {
    for (int32_t token : {0, 2, 3, 4, 499, 500, 900, 996, 999}) {
      SequenceRequest request = request_of(1, 4, 60);
      request.end_token_ids = ends;
      Sequence sequence(request, 1000, 0);
      SequenceStep step;
      PlannedStep planned;
      sequence.plan_step(4, step, planned);
      SequenceResult result{.id = 1, .sampled = true, .token_id = token};
      Emission emission;
      sequence.advance(planned, result, emission);
      const bool is_end = std::ranges::find(ends, token) != ends.end();
      EXPECT_EQ(emission.finish_reason, is_end ? FinishReason::kStop : FinishReason::kNone);
      EXPECT_EQ(emission.stop_reason, is_end ? std::to_string(token) : "");
    }
  }
}

struct Seen {
  SequenceId id = 0;
  std::vector<int32_t> token_ids;
  size_t num_logprobs = 0, num_prompt_logprobs = 0;
  bool first_scheduled = false;
  double first_scheduled_ms = 0.0;
  int64_t num_cached_tokens = 0;
  FinishReason finish_reason = FinishReason::kNone;
  std::string stop_reason, error;
  bool operator==(const Seen&) const = default;
};

// Every kind of answer, one after the other in places that others have had. The emissions of each
// step, into a list that is new in each step or always the same.
std::vector<Seen> emissions_of_a_load(bool use_again) {
  Rig rig({.max_batch_size = 5, .max_num_tokens = 48}, 200, 8);
  rig.clock.time_ms = 12.0;
  for (SequenceId id = 1; id <= 40; ++id) {
    SequenceRequest request = request_of(id, 3 + static_cast<int64_t>(id * 7 % 23),
                                         1 + static_cast<int64_t>(id * 5 % 19));
    if (id % 3 == 0) request.sampling.num_logprobs = 2;
    if (id % 5 == 0) request.sampling.num_prompt_logprobs = 1;
    if (id % 2 == 0) {
      for (int32_t token = 0; token < 300; ++token) request.end_token_ids.push_back(token);
    }
    if (id % 7 == 0) rig.executor.failing[id] = "it failed";
    rig.scheduler.add(request);
  }
  std::vector<Seen> seen;
  std::vector<Emission> emissions;
  while (rig.scheduler.has_work()) {
    const StepPlan plan = rig.scheduler.plan();
    StepResult result = rig.executor.run(plan);
    if (!use_again) emissions = {};
    rig.scheduler.apply(result, emissions);
    for (const Emission& e : emissions) {
      seen.push_back({e.id,
                      {e.token_ids.begin(), e.token_ids.end()},
                      e.logprobs.size(),
                      e.prompt_logprobs.size(),
                      e.first_scheduled,
                      e.first_scheduled_ms,
                      e.num_cached_tokens,
                      e.finish_reason,
                      e.stop_reason,
                      e.error});
    }
  }
  return seen;
}

TEST(Emission, HoldsNothingOfWhoeverHadItsPlaceBefore) {
  const std::vector<Seen> fresh = emissions_of_a_load(false);
  EXPECT_GT(fresh.size(), 200u);
  EXPECT_EQ(emissions_of_a_load(true), fresh);
  const auto count = [&](auto&& what) { return std::ranges::count_if(fresh, what); };
  EXPECT_EQ(count([](const Seen& s) { return s.first_scheduled; }), 40);
  EXPECT_EQ(count([](const Seen& s) { return s.num_prompt_logprobs > 0; }), 7) << "one fails";
  EXPECT_EQ(count([](const Seen& s) { return !s.error.empty(); }), 5);
  EXPECT_GT(count([](const Seen& s) { return s.num_logprobs > 0; }), 40);
  EXPECT_GT(count([](const Seen& s) { return s.finish_reason == FinishReason::kStop; }), 5);
}

}  // namespace
}  // namespace glmoe::testing
