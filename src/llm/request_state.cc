#include "llm/request_state.h"

#include <chrono>
#include <utility>

namespace glmoe {
namespace {

// So many places of deltas that were taken may be left in a queue that is never empty.
constexpr size_t kTakenDeltasKept = 64;

}  // namespace

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
  delta.skip_special_tokens = sampling_.skip_special_tokens;
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

void RequestState::push(OutputDelta delta, double now_ms) {
  if (push_untold(std::move(delta), now_ms)) tell();
}

bool RequestState::push_untold(OutputDelta delta, double now_ms) {
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    delta.request_id = id;
    metrics_.total_ms = now_ms - submitted_ms;
    if (!has_token_ && !delta.token_ids.empty()) metrics_.first_token_ms = metrics_.total_ms;
    has_token_ |= !delta.token_ids.empty();
    if (delta.finish_reason != FinishReason::kNone) --unfinished_;
    delta.request_finished = unfinished_ == 0;
    first = deltas_.empty();
    deltas_.push_back(std::move(delta));
  }
  ready_.notify_one();
  return first;
}

void RequestState::tell() {
  std::lock_guard lock(notify_mutex_);
  if (notify_) notify_();
}

bool RequestState::take(OutputDelta& delta) {
  if (deltas_.empty()) return false;
  delta = std::move(deltas_[next_delta_++]);
  if (next_delta_ == deltas_.size()) {
    deltas_.clear();
    next_delta_ = 0;
  } else if (2 * next_delta_ > deltas_.size() && next_delta_ >= kTakenDeltasKept) {
    deltas_.erase(deltas_.begin(), deltas_.begin() + static_cast<ptrdiff_t>(next_delta_));
    next_delta_ = 0;
  }
  drained_ = delta.request_finished;
  return true;
}

bool RequestState::next(OutputDelta& delta) {
  std::unique_lock lock(mutex_);
  if (drained_) return false;
  ready_.wait(lock, [this] { return !deltas_.empty(); });
  return take(delta);
}

bool RequestState::try_next(OutputDelta& delta) {
  std::lock_guard lock(mutex_);
  return take(delta);
}

bool RequestState::wait(double timeout_ms) {
  std::unique_lock lock(mutex_);
  return ready_.wait_for(lock, std::chrono::duration<double, std::milli>(timeout_ms),
                         [this] { return drained_ || !deltas_.empty(); });
}

bool RequestState::wait_finished(double timeout_ms) {
  std::unique_lock lock(mutex_);
  return ready_.wait_for(lock, std::chrono::duration<double, std::milli>(timeout_ms),
                         [this] { return unfinished_ == 0; });
}

bool RequestState::done() const {
  std::lock_guard lock(mutex_);
  return drained_;
}

void RequestState::notify(std::function<void()> ready) {
  std::lock_guard lock(notify_mutex_);
  notify_.swap(ready);
  if (!notify_) return;
  bool waiting = false;
  {
    std::lock_guard state_lock(mutex_);
    waiting = !deltas_.empty();
  }
  if (waiting) notify_();
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

void RequestState::mark_scheduled(double now_ms, int64_t num_cached_tokens) {
  std::lock_guard lock(mutex_);
  if (scheduled_) return;
  scheduled_ = true;
  metrics_.queue_ms = now_ms - submitted_ms;
  metrics_.num_cached_tokens = num_cached_tokens;
}

}  // namespace glmoe
