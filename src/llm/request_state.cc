#include "llm/request_state.h"

#include <utility>

namespace glmoe {

AnswerState::AnswerState(const Tokenizer* tokenizer, const SamplingParams& sampling, int64_t index)
    : sampling_(sampling),
      decoder_(tokenizer, sampling.skip_special_tokens),
      matcher_(sampling.stop, sampling.include_stop_str_in_output),
      index_(index) {}

void AnswerState::append_text(std::string piece, OutputDelta& delta) {
  if (num_generated_ < sampling_.min_tokens) {  // stop strings do not count yet
    delta.text += piece;
    return;
  }
  const StopMatcher::Result result = matcher_.feed(piece);
  delta.text += result.text;
  if (result.matched) {
    delta.finish_reason = FinishReason::kStop;
    delta.stop_reason = result.stop_string;
  }
}

OutputDelta AnswerState::consume(const Emission& emission) {
  OutputDelta delta;
  delta.index = index_;
  const bool ended_by_token =
      emission.finish_reason == FinishReason::kStop && !emission.token_ids.empty();
  for (size_t i = 0; i < emission.token_ids.size(); ++i) {
    const int32_t token = emission.token_ids[i];
    delta.token_ids.push_back(token);
    if (i < emission.logprobs.size()) delta.logprobs.push_back(emission.logprobs[i]);
    ++num_generated_;
    const bool is_end_token = ended_by_token && i + 1 == emission.token_ids.size();
    if (!is_end_token) append_text(decoder_.feed(token), delta);
    if (delta.finish_reason != FinishReason::kNone) return delta;
  }
  if (emission.finish_reason == FinishReason::kNone) return delta;

  append_text(decoder_.flush(), delta);
  if (delta.finish_reason != FinishReason::kNone) return delta;
  delta.text += matcher_.flush();
  delta.finish_reason = emission.finish_reason;
  delta.stop_reason = emission.stop_reason;
  delta.error = emission.error;
  return delta;
}

void RequestState::push(OutputDelta delta) {
  {
    std::lock_guard lock(mutex_);
    delta.request_id = id;
    if (delta.finish_reason != FinishReason::kNone) --unfinished_;
    delta.request_finished = unfinished_ == 0;
    deltas_.push_back(std::move(delta));
  }
  ready_.notify_one();
}

bool RequestState::next(OutputDelta& delta) {
  std::unique_lock lock(mutex_);
  if (drained_) return false;
  ready_.wait(lock, [this] { return !deltas_.empty(); });
  delta = std::move(deltas_.front());
  deltas_.pop_front();
  drained_ = delta.request_finished;
  return true;
}

bool RequestState::finished() const {
  std::lock_guard lock(mutex_);
  return unfinished_ == 0;
}

void RequestState::set_prompt_logprobs(std::vector<PositionLogprobs> logprobs) {
  std::lock_guard lock(mutex_);
  prompt_logprobs_ = std::move(logprobs);
}

std::vector<PositionLogprobs> RequestState::prompt_logprobs() const {
  std::lock_guard lock(mutex_);
  return prompt_logprobs_;
}

RequestMetrics RequestState::metrics() const {
  std::lock_guard lock(mutex_);
  return metrics_;
}

void RequestState::mark_scheduled(double elapsed_ms) {
  std::lock_guard lock(mutex_);
  if (metrics_.queue_ms == 0.0) metrics_.queue_ms = elapsed_ms;
}

void RequestState::mark_token(double elapsed_ms) {
  std::lock_guard lock(mutex_);
  if (metrics_.first_token_ms == 0.0) metrics_.first_token_ms = elapsed_ms;
  metrics_.total_ms = elapsed_ms;
}

}  // namespace glmoe
