#include "sched/sequence.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace glmoe {
namespace {

constexpr int32_t kNoEndToken = std::numeric_limits<int32_t>::max();

}  // namespace

void Emission::clear_details() {
  finish_reason = FinishReason::kNone;
  first_scheduled = false;
  has_details = false;
  first_scheduled_ms = 0.0;
  num_cached_tokens = 0;
  logprobs.clear();
  prompt_logprobs.clear();
  stop_reason.clear();
  error.clear();
}

Sequence::Sequence(SequenceRequest request, int32_t max_length, uint64_t arrival)
    : id_(request.id),
      num_tokens_(static_cast<int32_t>(request.prompt_ids.size())),
      num_prompt_(num_tokens_),
      longest_(max_length),
      last_token_(request.prompt_ids.back()),
      table(request.cache_salt),
      token_ids_(std::move(request.prompt_ids)),
      has_logprobs_(request.sampling.num_logprobs >= 0),
      prompt_logprobs_open_(request.sampling.num_prompt_logprobs >= 0),
      end_token_ids_(std::move(request.end_token_ids)),
      sampling_(std::move(request.sampling)),
      priority_(request.priority),
      arrival_(arrival),
      deadline_ms_(request.deadline_ms) {
  if (request.max_tokens < longest_ - num_prompt_) {
    longest_ = num_prompt_ + static_cast<int32_t>(request.max_tokens);
  }
  const auto lowest = std::ranges::min_element(end_token_ids_);
  lowest_end_token_ = lowest == end_token_ids_.end() ? kNoEndToken : *lowest;
  if (prompt_logprobs_open_) prompt_logprobs_.emplace_back();
}

void Sequence::gather_tokens() {
  for (auto token = static_cast<int32_t>(token_ids_.size()); token < num_tokens_; ++token) {
    token_ids_.push_back(newest_[static_cast<size_t>(token % kNumNewest)]);
  }
}

SequenceStart Sequence::start() {
  gather_tokens();
  const auto output = token_ids_.begin() + num_prompt_;
  return {.id = id_,
          .sampling = sampling_,
          .prompt_ids = {token_ids_.begin(), output},
          .output_ids = {output, token_ids_.end()}};
}

void Sequence::plan_step(int32_t count, SequenceStep& step, PlannedStep& planned) {
  GLMOE_CHECK(count >= 1 && num_planned_ + count <= num_tokens(), "{} tokens after {} of {}", count,
              num_planned_, num_tokens());
  planned.start_position = num_planned_;
  planned.num_tokens = count;
  planned.sample = planned.end() == num_tokens();
  // The logits of position p tell about token p + 1. After a pre-emption some are there already.
  planned.prompt_logprobs = prompt_logprobs_open_ && next_prompt_logprob_ < num_prompt_ &&
                            planned.end() >= next_prompt_logprob_;
  step.id = id_;
  step.start_position = num_planned_;
  step.sample = planned.sample;
  step.prompt_logprobs = planned.prompt_logprobs;
  step.input_from_previous = false;
  step.next_token_id = -1;
  step.token_ids.assign(
      token_ids().subspan(static_cast<size_t>(num_planned_), static_cast<size_t>(count)));
  if (planned.prompt_logprobs) {
    next_prompt_logprob_ = std::min(planned.end() + 1, num_prompt_);
    if (!planned.sample) step.next_token_id = token_ids_[static_cast<size_t>(planned.end())];
  }
  num_planned_ = planned.end();
  if (planned.sample) ++num_pending_;
}

void Sequence::restart() {
  GLMOE_CHECK(num_in_flight == 0 && num_pending_ == 0, "sequence {} is in flight", id_);
  num_computed_ = num_planned_ = 0;
  if (prompt_logprobs_open_) {
    next_prompt_logprob_ = static_cast<int32_t>(prompt_logprobs_.size());
  }
}

void Sequence::check_result(const PlannedStep& planned, const SequenceResult& result) const {
  GLMOE_CHECK_EQ(result.id, id_);
  if (!result.error.empty()) return;
  GLMOE_CHECK_EQ(result.sampled, planned.sample, "sequence {}", id_);
  if (!planned.prompt_logprobs) return;
  const auto wanted =
      static_cast<size_t>(std::min(planned.end() + 1, num_prompt_) - planned.start_position - 1);
  GLMOE_CHECK_GE(result.prompt_logprobs.size(), wanted, "prompt logprobs of sequence {}", id_);
}

void Sequence::collect_prompt_logprobs(const PlannedStep& planned, SequenceResult& result,
                                       Emission& emission) {
  if (planned.prompt_logprobs) {
    const int32_t last = std::min(planned.end(), num_prompt_ - 1);
    for (auto token = static_cast<int32_t>(prompt_logprobs_.size()); token <= last; ++token) {
      const auto entry = static_cast<size_t>(token - planned.start_position - 1);
      prompt_logprobs_.push_back(std::move(result.prompt_logprobs[entry]));
    }
  }
  if (static_cast<int32_t>(prompt_logprobs_.size()) < num_prompt_) return;
  emission.prompt_logprobs = std::exchange(prompt_logprobs_, {});
  prompt_logprobs_open_ = false;
}

void Sequence::introduce(Emission& emission) {
  emission.has_details = true;
  if (!emitted_) {
    emission.first_scheduled = true;
    emission.first_scheduled_ms = first_scheduled_ms;
    emission.num_cached_tokens = num_cached_tokens;
    emitted_ = true;
  }
  special_ = has_logprobs_ || prompt_logprobs_open_ || num_generated() == 0;
}

void Sequence::finish(Emission& emission) const {
  // The first min_tokens tokens never end the answer; the sampler does not draw end tokens there.
  const bool is_end_token = std::ranges::find(end_token_ids_, last_token_) != end_token_ids_.end();
  if (is_end_token && num_generated() > sampling_.min_tokens) {
    emission.finish_reason = FinishReason::kStop;
    emission.stop_reason = std::to_string(last_token_);
  } else if (num_tokens() >= longest_) {
    emission.finish_reason = FinishReason::kLength;
  } else {
    return;
  }
  emission.has_details = true;
}

}  // namespace glmoe
