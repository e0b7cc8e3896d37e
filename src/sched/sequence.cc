#include "sched/sequence.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace glmoe {

void Emission::reset(SequenceId sequence) {
  id = sequence;
  token_ids.clear();
  logprobs.clear();
  prompt_logprobs.clear();
  first_scheduled = false;
  first_scheduled_ms = 0.0;
  num_cached_tokens = 0;
  finish_reason = FinishReason::kNone;
  stop_reason.clear();
  error.clear();
}

Sequence::Sequence(SequenceRequest request, int64_t max_length, uint64_t arrival)
    : id_(request.id),
      token_ids_(std::move(request.prompt_ids)),
      num_prompt_(static_cast<int64_t>(token_ids_.size())),
      max_tokens_(request.max_tokens),
      max_length_(max_length),
      has_logprobs_(request.sampling.num_logprobs >= 0),
      prompt_logprobs_open_(request.sampling.num_prompt_logprobs >= 0),
      last_token_(token_ids_.back()),
      num_end_ids_(static_cast<int32_t>(request.end_token_ids.size())),
      table(request.cache_salt),
      end_token_ids_(std::move(request.end_token_ids)),
      sampling_(std::move(request.sampling)),
      priority_(request.priority),
      arrival_(arrival),
      deadline_ms_(request.deadline_ms) {
  std::copy_n(end_token_ids_.begin(), std::min(end_token_ids_.size(), first_end_ids_.size()),
              first_end_ids_.begin());
  if (prompt_logprobs_open_) prompt_logprobs_.emplace_back();
}

SequenceStart Sequence::start() const {
  const auto output = token_ids_.begin() + num_prompt_;
  return {.id = id_,
          .sampling = sampling_,
          .prompt_ids = {token_ids_.begin(), output},
          .output_ids = {output, token_ids_.end()}};
}

void Sequence::plan_step(int64_t count, SequenceStep& step, PlannedStep& planned) {
  GLMOE_CHECK(count >= 1 && count <= num_unplanned(), "{} of {} tokens", count, num_unplanned());
  planned.start_position = num_planned_;
  planned.num_tokens = count;
  planned.sample = count == num_unplanned();
  const int64_t end = num_planned_ + count;
  step.id = id_;
  step.start_position = num_planned_;
  step.sample = planned.sample;
  step.next_token_id = -1;
  step.input_from_previous = num_planned_ >= num_tokens();
  if (count == 1 && end >= num_tokens()) {
    step.token_ids.resize(1);
    step.token_ids[0] = step.input_from_previous ? 0 : last_token_;
  } else {
    step.token_ids.assign(token_ids_.begin() + num_planned_, token_ids_.begin() + end);
  }
  // The logits of position p tell about token p + 1. After a pre-emption some are there already.
  planned.prompt_logprobs =
      prompt_logprobs_open_ && next_prompt_logprob_ < num_prompt_ && end >= next_prompt_logprob_;
  step.prompt_logprobs = planned.prompt_logprobs;
  if (planned.prompt_logprobs) {
    next_prompt_logprob_ = std::min(end + 1, num_prompt_);
    if (!planned.sample) step.next_token_id = token_ids_[static_cast<size_t>(end)];
  }
  num_planned_ = end;
  if (planned.sample) ++num_pending_;
}

void Sequence::restart() {
  GLMOE_CHECK(num_in_flight == 0 && num_pending_ == 0, "sequence {} is in flight", id_);
  num_computed_ = num_planned_ = 0;
  if (prompt_logprobs_open_) {
    next_prompt_logprob_ = static_cast<int64_t>(prompt_logprobs_.size());
  }
}

void Sequence::check_result(const PlannedStep& planned, const SequenceResult& result) const {
  GLMOE_CHECK_EQ(result.id, id_);
  if (!result.error.empty()) return;
  GLMOE_CHECK_EQ(result.sampled, planned.sample, "sequence {}", id_);
  if (!planned.prompt_logprobs) return;
  const int64_t end = planned.start_position + planned.num_tokens;
  const auto wanted =
      static_cast<size_t>(std::min(end + 1, num_prompt_) - planned.start_position - 1);
  GLMOE_CHECK_GE(result.prompt_logprobs.size(), wanted, "prompt logprobs of sequence {}", id_);
}

void Sequence::collect_prompt_logprobs(const PlannedStep& planned, SequenceResult& result,
                                       Emission& emission) {
  if (planned.prompt_logprobs) {
    const int64_t last = std::min(planned.start_position + planned.num_tokens, num_prompt_ - 1);
    for (auto token = static_cast<int64_t>(prompt_logprobs_.size()); token <= last; ++token) {
      const auto entry = static_cast<size_t>(token - planned.start_position - 1);
      prompt_logprobs_.push_back(std::move(result.prompt_logprobs[entry]));
    }
  }
  if (static_cast<int64_t>(prompt_logprobs_.size()) < num_prompt_) return;
  emission.prompt_logprobs = std::exchange(prompt_logprobs_, {});
  prompt_logprobs_open_ = false;
}

void Sequence::advance(const PlannedStep& planned, SequenceResult& result, Emission& emission) {
  if (prompt_logprobs_open_) collect_prompt_logprobs(planned, result, emission);
  num_computed_ = planned.start_position + planned.num_tokens;
  if (!planned.sample) return;
  --num_pending_;
  last_token_ = result.token_id;
  token_ids_.push_back(last_token_);
  emission.token_ids.push_back(result.token_id);
  if (has_logprobs_) emission.logprobs.push_back(std::move(result.logprobs));
  finish(emission);
}

bool Sequence::is_end_token(int32_t token) const {
  const auto num_first = std::min<size_t>(static_cast<size_t>(num_end_ids_), first_end_ids_.size());
  for (size_t i = 0; i < num_first; ++i) {
    if (first_end_ids_[i] == token) return true;
  }
  if (num_first == static_cast<size_t>(num_end_ids_)) return false;
  return std::ranges::find(end_token_ids_, token) != end_token_ids_.end();
}

void Sequence::finish(Emission& emission) const {
  // The first min_tokens tokens never end the answer; the sampler does not draw end tokens there.
  if (is_end_token(last_token_) && num_generated() > sampling_.min_tokens) {
    emission.finish_reason = FinishReason::kStop;
    emission.stop_reason = std::to_string(last_token_);
  } else if (num_generated() >= max_tokens_ || num_tokens() >= max_length_) {
    emission.finish_reason = FinishReason::kLength;
  }
}

}  // namespace glmoe
