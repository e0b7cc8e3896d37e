// An executor that "generates" a hash of all tokens before, as a real model would: what it computes
// depends only on what it was given, block by block, so every scheduling mistake changes the text.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "step/step.h"

namespace glmoe::testing {

inline int32_t next_token(const std::vector<int32_t>& tokens) {
  uint64_t hash = 1;
  for (const int32_t token : tokens) hash = mix64(hash + static_cast<uint64_t>(token) + 1);
  return static_cast<int32_t>(hash % 1000);
}

class FakeExecutor {
 public:
  FakeExecutor(int64_t num_blocks, int64_t tokens_per_block)
      : tokens_per_block_(tokens_per_block),
        cache_(static_cast<size_t>(num_blocks * tokens_per_block), -1) {}

  StepResult run(const StepPlan& plan) {
    for (const SequenceId id : plan.released) {
      EXPECT_EQ(started_.erase(id), 1u) << "released, but never started: " << id;
    }
    for (const SequenceStart& start : plan.started) {
      EXPECT_TRUE(started_.emplace(start.id, start).second) << "started twice: " << start.id;
    }
    for (const BlockCopy& copy : plan.copies) {
      std::copy_n(cache_.begin() + copy.from * tokens_per_block_, tokens_per_block_,
                  cache_.begin() + copy.to * tokens_per_block_);
    }
    check_sharing(plan);
    StepResult result{.step_id = plan.step_id, .sequences = {}};
    for (const SequenceStep& step : plan.sequences) result.sequences.push_back(run(step));
    last_tokens_.clear();
    for (const SequenceResult& sequence : result.sequences) {
      if (sequence.sampled) last_tokens_[sequence.id] = sequence.token_id;
    }
    return result;
  }

  // Sequences whose state is held.
  size_t num_started() const { return started_.size(); }
  std::map<SequenceId, std::string> failing;  // id -> error of its next step

 private:
  // Tables may share blocks, but nobody writes to a block that another table has.
  void check_sharing(const StepPlan& plan) const {
    std::map<int32_t, int> holders;
    for (const SequenceStep& step : plan.sequences) {
      for (const int32_t block : step.block_table) ++holders[block];
    }
    for (const SequenceStep& step : plan.sequences) {
      const auto count = static_cast<int64_t>(step.token_ids.size());
      const int64_t last = (step.start_position + count - 1) / tokens_per_block_;
      for (int64_t b = step.start_position / tokens_per_block_; b <= last; ++b) {
        const int32_t block = step.block_table.at(static_cast<size_t>(b));
        EXPECT_EQ(holders[block], 1) << "sequence " << step.id << " writes to a shared block";
      }
    }
  }

  int32_t& slot(const SequenceStep& step, int64_t position) {
    const int32_t block = step.block_table.at(static_cast<size_t>(position / tokens_per_block_));
    return cache_.at(static_cast<size_t>(block * tokens_per_block_ + position % tokens_per_block_));
  }

  SequenceResult run(const SequenceStep& step) {
    EXPECT_TRUE(started_.contains(step.id)) << "not started: " << step.id;
    SequenceResult result;
    result.id = step.id;
    const auto failure = failing.find(step.id);
    if (failure != failing.end()) {
      result.error = failure->second;
      return result;
    }
    const auto count = static_cast<int64_t>(step.token_ids.size());
    if (step.prompt_logprobs && !step.sample) {
      const auto next = static_cast<size_t>(step.start_position + count);
      EXPECT_EQ(step.next_token_id, started_[step.id].prompt_ids.at(next));
    }
    IdList tokens = step.token_ids;
    if (step.input_from_previous) {
      const auto last = last_tokens_.find(step.id);
      if (last == last_tokens_.end()) {
        result.error = "the step before brought no token";
        return result;
      }
      tokens = {last->second};
    }
    std::vector<int32_t> context;  // read back from the cache, as attention does
    for (int64_t i = 0; i < count; ++i) {
      slot(step, step.start_position + i) = tokens[static_cast<size_t>(i)];
    }
    for (int64_t p = 0; p < step.start_position + count; ++p) {
      context.push_back(slot(step, p));
      if (step.prompt_logprobs && p >= step.start_position) {
        result.prompt_logprobs.push_back({{next_token(context), static_cast<float>(p + 1), 1}});
      }
    }
    if (!step.sample) return result;
    result.sampled = true;
    result.token_id = next_token(context);
    result.logprobs = {{result.token_id, -1.0f, 1}};
    return result;
  }

  int64_t tokens_per_block_;
  std::vector<int32_t> cache_;
  std::map<SequenceId, SequenceStart> started_;
  std::map<SequenceId, int32_t> last_tokens_;  // of the step before
};

}  // namespace glmoe::testing
