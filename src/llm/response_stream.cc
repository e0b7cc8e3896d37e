// A caller's end of one request: its deltas as they come, or all of them gathered into one output.
#include "llm/response_stream.h"

#include <utility>
#include <vector>

namespace glmoe {

ResponseStream::ResponseStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ResponseStream::ResponseStream(ResponseStream&&) noexcept = default;
ResponseStream& ResponseStream::operator=(ResponseStream&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

ResponseStream::~ResponseStream() {
  if (!impl_) return;
  impl_->state->notify(nullptr);
  if (!impl_->state->finished()) cancel();
}

uint64_t ResponseStream::request_id() const { return impl_->state->id; }

const std::vector<int32_t>& ResponseStream::prompt_token_ids() const {
  return impl_->state->prompt_token_ids;
}

bool ResponseStream::next(OutputDelta& delta) { return impl_->state->next(delta); }

bool ResponseStream::try_next(OutputDelta& delta) { return impl_->state->try_next(delta); }

bool ResponseStream::wait(double timeout_ms) { return impl_->state->wait(timeout_ms); }

bool ResponseStream::wait_finished(double timeout_ms) {
  return impl_->state->wait_finished(timeout_ms);
}

bool ResponseStream::done() const { return impl_->state->done(); }

void ResponseStream::notify(std::function<void()> ready) { impl_->state->notify(std::move(ready)); }

RequestMetrics ResponseStream::metrics() const { return impl_->state->metrics(); }

std::vector<PositionLogprobs> ResponseStream::prompt_logprobs() const {
  return impl_->state->prompt_logprobs();
}

void ResponseStream::cancel() {
  if (const std::shared_ptr<Engine> engine = impl_->engine.lock()) engine->cancel(impl_->state->id);
}

RequestOutput ResponseStream::result() {
  RequestState& state = *impl_->state;
  RequestOutput output;
  output.request_id = state.id;
  output.prompt = state.prompt_text;
  output.prompt_token_ids = state.prompt_token_ids;
  OutputDelta delta;
  while (state.next(delta)) append_delta(output, std::move(delta));
  output.prompt_logprobs = state.prompt_logprobs();
  output.metrics = state.metrics();
  return output;
}

void append_delta(RequestOutput& output, OutputDelta delta) {
  const auto index = static_cast<size_t>(delta.index);
  while (output.outputs.size() <= index) {
    output.outputs.push_back({.index = static_cast<int64_t>(output.outputs.size())});
  }
  CompletionOutput& answer = output.outputs[index];
  answer.text += delta.text;
  answer.token_ids.insert(answer.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
  for (PositionLogprobs& position : delta.logprobs) {
    if (!position.empty()) answer.cumulative_logprob += position.front().logprob;
    answer.logprobs.push_back(std::move(position));
  }
  answer.finish_reason = delta.finish_reason;
  answer.stop_reason = std::move(delta.stop_reason);
  answer.error = std::move(delta.error);
}

}  // namespace glmoe
