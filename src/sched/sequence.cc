#include "sched/sequence.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace glmoe {

Sequence::Sequence(SequenceRequest request, int64_t max_length)
    : id_(request.id),
      sampling_(std::move(request.sampling)),
      token_ids_(std::move(request.prompt_ids)),
      num_prompt_(static_cast<int64_t>(token_ids_.size())),
      max_tokens_(request.max_tokens),
      max_length_(max_length),
      end_token_ids_(std::move(request.end_token_ids)),
      prompt_logprobs_open_(sampling_.num_prompt_logprobs >= 0) {
  if (prompt_logprobs_open_) prompt_logprobs_.emplace_back();
}

SequenceStart Sequence::start() const {
  const auto output = token_ids_.begin() + num_prompt_;
  return {.id = id_,
          .sampling = sampling_,
          .prompt_ids = {token_ids_.begin(), output},
          .output_ids = {output, token_ids_.end()}};
}

SequenceStep Sequence::next_step(int64_t count) const {
  GLMOE_CHECK(count >= 1 && count <= num_uncomputed(), "{} of {} tokens", count, num_uncomputed());
  SequenceStep step;
  step.id = id_;
  const auto begin = token_ids_.begin() + num_computed_;
  step.token_ids.assign(begin, begin + count);
  step.start_position = num_computed_;
  step.sample = count == num_uncomputed();
  step.prompt_logprobs = wants_prompt_logprobs(num_computed_ + count);
  if (step.prompt_logprobs && !step.sample) step.next_token_id = *(begin + count);
  return step;
}

// The logits of position p tell about token p + 1, so a step that ends before `end_position` brings
// prompt tokens up to and including `end_position`. After a pre-emption some are there already.
bool Sequence::wants_prompt_logprobs(int64_t end_position) const {
  const auto collected = static_cast<int64_t>(prompt_logprobs_.size());
  return prompt_logprobs_open_ && collected < num_prompt_ && end_position >= collected;
}

void Sequence::check_result(int64_t count, const SequenceResult& result) const {
  GLMOE_CHECK_EQ(result.id, id_);
  if (!result.error.empty()) return;
  GLMOE_CHECK_EQ(result.sampled, count == num_uncomputed(), "sequence {}", id_);
  const int64_t end = num_computed_ + count;
  if (!wants_prompt_logprobs(end)) return;
  const auto wanted = static_cast<size_t>(std::min(end + 1, num_prompt_) - num_computed_ - 1);
  GLMOE_CHECK_GE(result.prompt_logprobs.size(), wanted, "prompt logprobs of sequence {}", id_);
}

void Sequence::collect_prompt_logprobs(int64_t count, SequenceResult& result, Emission& emission) {
  if (!prompt_logprobs_open_) return;
  const int64_t end = num_computed_ + count;
  if (wants_prompt_logprobs(end)) {
    const int64_t last = std::min(end, num_prompt_ - 1);
    for (auto token = static_cast<int64_t>(prompt_logprobs_.size()); token <= last; ++token) {
      const auto entry = static_cast<size_t>(token - num_computed_ - 1);
      prompt_logprobs_.push_back(std::move(result.prompt_logprobs[entry]));
    }
  }
  if (static_cast<int64_t>(prompt_logprobs_.size()) < num_prompt_) return;
  emission.prompt_logprobs = std::exchange(prompt_logprobs_, {});
  prompt_logprobs_open_ = false;
}

void Sequence::advance(int64_t count, SequenceResult& result, Emission& emission) {
  collect_prompt_logprobs(count, result, emission);
  num_computed_ += count;
  if (num_uncomputed() > 0) return;
  token_ids_.push_back(result.token_id);
  emission.token_ids.push_back(result.token_id);
  if (sampling_.num_logprobs >= 0) emission.logprobs.push_back(std::move(result.logprobs));
  finish(emission);
}

void Sequence::finish(Emission& emission) const {
  const int32_t last = token_ids_.back();
  // The first min_tokens tokens never end the answer; the sampler does not draw end tokens there.
  const bool may_stop = num_generated() > sampling_.min_tokens;
  if (may_stop && std::ranges::find(end_token_ids_, last) != end_token_ids_.end()) {
    emission.finish_reason = FinishReason::kStop;
    emission.stop_reason = std::to_string(last);
  } else if (num_generated() >= max_tokens_ || num_tokens() >= max_length_) {
    emission.finish_reason = FinishReason::kLength;
  }
}

}  // namespace glmoe
