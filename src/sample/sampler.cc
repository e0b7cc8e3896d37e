#include "sample/sampler.h"

#include <limits>

#include "base/check.h"
#include "base/rng.h"
#include "sample/logit_row.h"
#include "sample/logprobs.h"
#include "sample/row_weights.h"
#include "sample/truncation.h"

namespace glmoe {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kGreedyBelow = 1e-5f;  // a lower temperature divides logits out of float's range

bool penalises_seen(const ResolvedSampling& s) { return s.repetition_penalty != 1.0f; }
bool penalises_output(const ResolvedSampling& s) {
  return s.presence_penalty != 0.0f || s.frequency_penalty != 0.0f;
}

int32_t choose(const LogitRow& row, const ResolvedSampling& sampling, int64_t position) {
  if (sampling.temperature < kGreedyBelow || row.best().logit == kInfinity) return row.best().id;
  const double u = random_uniform(sampling.seed, sampling.stream, static_cast<uint64_t>(position));
  const Candidate last = last_kept(row, {.temperature = sampling.temperature,
                                         .top_k = sampling.top_k,
                                         .top_p = sampling.top_p,
                                         .min_p = sampling.min_p});
  return RowWeights(row, sampling.temperature, last).draw(u);
}

}  // namespace

Sampler::Sampler(int64_t vocab_size, int64_t num_valid_tokens)
    : vocab_size_(vocab_size), num_valid_tokens_(num_valid_tokens) {
  GLMOE_CHECK_GE(num_valid_tokens, 1);
  GLMOE_CHECK_LE(num_valid_tokens, vocab_size);
  GLMOE_CHECK_LE(vocab_size, std::numeric_limits<int32_t>::max());
}

void Sampler::mark_seen(State& state, int32_t token_id) const {
  if (token_id < 0 || token_id >= num_valid_tokens_) return;
  uint8_t& seen = state.seen[static_cast<size_t>(token_id)];
  if (seen == 0) state.seen_ids.push_back(token_id);
  seen = 1;
}

void Sampler::record_output(State& state, int32_t token_id) const {
  ++state.num_generated;
  state.hook.record(token_id);
  if (penalises_seen(state.sampling)) mark_seen(state, token_id);
  if (penalises_output(state.sampling)) ++state.output_counts[token_id];
}

void Sampler::start(const SequenceStart& start) {
  State state;
  state.sampling = start.sampling;
  state.hook = LogitsHook(start.sampling.logits_processor, start.prompt_ids);
  if (penalises_seen(state.sampling)) {
    state.seen.resize(static_cast<size_t>(num_valid_tokens_));
    for (const int32_t id : start.prompt_ids) mark_seen(state, id);
  }
  for (const int32_t id : start.output_ids) record_output(state, id);
  states_.insert_or_assign(start.id, std::move(state));
}

void Sampler::release(SequenceId id) { states_.erase(id); }

// `logits`: the valid ones. Ids outside are ignored here; requests with such ids were refused.
void Sampler::adjust(const State& state, std::span<float> logits) const {
  const ResolvedSampling& sampling = state.sampling;
  const auto at = [&](int32_t id) -> float* {
    const bool inside = id >= 0 && static_cast<size_t>(id) < logits.size();
    return inside ? &logits[static_cast<size_t>(id)] : nullptr;
  };
  for (const auto& [id, bias] : sampling.logit_bias) {
    if (float* logit = at(id)) *logit += bias;
  }
  if (state.num_generated < sampling.min_tokens) {
    for (const int32_t id : sampling.stop_token_ids) {
      if (float* logit = at(id)) *logit = -kInfinity;
    }
  }
  for (const int32_t id : state.seen_ids) {
    float& logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / sampling.repetition_penalty : logit * sampling.repetition_penalty;
  }
  for (const auto& [id, count] : state.output_counts) {
    if (float* logit = at(id)) {
      *logit -= sampling.presence_penalty + sampling.frequency_penalty * static_cast<float>(count);
    }
  }
}

SequenceResult Sampler::sample(SequenceId id, std::span<float> logits) {
  const auto found = states_.find(id);
  GLMOE_CHECK(found != states_.end(), "sequence {} was not started", id);
  GLMOE_CHECK_EQ(static_cast<int64_t>(logits.size()), vocab_size_);
  State& state = found->second;
  SequenceResult result;
  result.id = id;
  result.error = state.hook.apply(logits);
  if (!result.error.empty()) return result;
  const std::span<float> valid = logits.first(static_cast<size_t>(num_valid_tokens_));
  adjust(state, valid);
  const LogitRow row(valid);
  if (row.has_nan()) {
    result.error =
        fmt::format("NaN in logits, first at token {} of {}", row.first_nan(), num_valid_tokens_);
    return result;
  }
  if (row.best().logit == -kInfinity) {
    result.error = "no token can be sampled: all logits are -infinity";
    return result;
  }
  result.sampled = true;
  result.token_id = choose(row, state.sampling, state.num_generated);
  if (state.sampling.num_logprobs >= 0) {
    result.logprobs = position_logprobs(row, result.token_id, state.sampling.num_logprobs);
  }
  record_output(state, result.token_id);
  return result;
}

PositionLogprobs Sampler::prompt_logprob(SequenceId id, std::span<const float> logits,
                                         int32_t token_id) const {
  const auto found = states_.find(id);
  GLMOE_CHECK(found != states_.end(), "sequence {} was not started", id);
  GLMOE_CHECK_EQ(static_cast<int64_t>(logits.size()), vocab_size_);
  const LogitRow row(logits);
  if (row.has_nan() || row.best().logit == -kInfinity) return {};
  return position_logprobs(row, token_id, found->second.sampling.num_prompt_logprobs);
}

}  // namespace glmoe
