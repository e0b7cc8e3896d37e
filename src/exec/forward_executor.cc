#include "exec/forward_executor.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace glmoe {
namespace {

// Of the texts of logits(), which are no sequence of a plan.
constexpr SequenceId kTextId = UINT64_MAX;

int64_t num_rows(const ForwardBatch& batch) {
  int64_t rows = 0;
  for (const ForwardSequence& sequence : batch.sequences) rows += sequence.num_logit_rows;
  return rows;
}

}  // namespace

ForwardExecutor::ForwardExecutor(const Glm4MoeConfig& config, ForwardFunction forward,
                                 std::string name, int64_t num_valid_tokens)
    : config_(config),
      forward_(std::move(forward)),
      name_(std::move(name)),
      sampler_(config.vocab_size, num_valid_tokens > 0
                                      ? std::min(num_valid_tokens, config.vocab_size)
                                      : config.vocab_size) {}

std::span<float> ForwardExecutor::run(const ForwardBatch& batch) {
  const auto size = static_cast<size_t>(num_rows(batch) * config_.vocab_size);
  if (logits_.size() < size) logits_.resize(size);
  const std::span<float> wanted(logits_.data(), size);
  forward_(batch, wanted);
  return wanted;
}

std::span<float> ForwardExecutor::row(int64_t index) const {
  const auto width = static_cast<size_t>(config_.vocab_size);
  return {const_cast<float*>(logits_.data()) + static_cast<size_t>(index) * width, width};
}

StepResult ForwardExecutor::execute(const StepPlan& plan) {
  for (const SequenceId id : plan.released) {
    sampler_.release(id);
    released_.push_back(id);
  }
  for (const SequenceStart& start : plan.started) sampler_.start(start);
  StepResult result;
  result.step_id = plan.step_id;
  if (plan.empty()) return result;
  GLMOE_CHECK(plan.copies.empty(), "a caller's forward pass has no blocks to copy");

  ForwardBatch batch;
  batch.released = std::exchange(released_, {});
  for (const SequenceStep& step : plan.sequences) {
    ForwardSequence& sequence = batch.sequences.emplace_back();
    sequence.id = step.id;
    sequence.token_ids.assign(step.token_ids.begin(), step.token_ids.end());
    sequence.start_position = step.start_position;
    if (step.sample) sequence.num_logit_rows = 1;
    if (step.prompt_logprobs) {
      sequence.num_logit_rows = static_cast<int64_t>(step.token_ids.size());
    }
  }
  run(batch);
  int64_t next_row = 0;
  for (const SequenceStep& step : plan.sequences) {
    std::vector<PositionLogprobs> prompt_logprobs;
    if (step.prompt_logprobs) {
      // Row i predicts token i + 1 of the chunk; the last row predicts the token to come.
      for (size_t i = 1; i < step.token_ids.size(); ++i) {
        prompt_logprobs.push_back(
            sampler_.prompt_logprob(step.id, row(next_row++), step.token_ids[i]));
      }
      if (!step.sample) {
        prompt_logprobs.push_back(
            sampler_.prompt_logprob(step.id, row(next_row++), step.next_token_id));
      }
    }
    SequenceResult& one = result.sequences.emplace_back();
    if (step.sample) one = sampler_.sample(step.id, row(next_row++));
    one.id = step.id;
    one.prompt_logprobs = std::move(prompt_logprobs);
  }
  return result;
}

std::vector<float> ForwardExecutor::logits(std::span<const int32_t> token_ids, int64_t chunk) {
  const auto num_tokens = static_cast<int64_t>(token_ids.size());
  std::vector<float> all;
  for (int64_t begin = 0; begin < num_tokens; begin += chunk) {
    const int64_t count = std::min(chunk, num_tokens - begin);
    ForwardBatch batch;
    if (begin == 0) batch.released = std::exchange(released_, {});
    ForwardSequence& sequence = batch.sequences.emplace_back();
    sequence.id = kTextId;
    sequence.token_ids.assign(token_ids.begin() + begin, token_ids.begin() + begin + count);
    sequence.start_position = begin;
    sequence.num_logit_rows = count;
    const std::span<float> rows = run(batch);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  released_.push_back(kTextId);
  return all;
}

std::vector<std::vector<uint64_t>> ForwardExecutor::expert_counts() const {
  return std::vector<std::vector<uint64_t>>(static_cast<size_t>(config_.num_hidden_layers));
}

}  // namespace glmoe
