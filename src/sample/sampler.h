// From a sequence's logits to its next token: logits processor, bias, bans, penalties, temperature,
// truncation, draw, in the order that include/glmoe/request.h documents.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "sample/logits_hook.h"
#include "step/step.h"

namespace glmoe {

// sample() and prompt_logprob() may run at the same time for different sequences; start() and
// release() may not run beside anything. A draw depends on (seed, stream, number of tokens
// generated so far) and the logits alone: not on neighbours, batches or pre-emption.
class Sampler {
 public:
  // `vocab_size`: length V of the logits. Ids from `num_valid_tokens` on (padding of the
  // vocabulary) are never sampled and take no part in the probabilities of sampled tokens.
  Sampler(int64_t vocab_size, int64_t num_valid_tokens);

  // Begins a sequence, or replaces its state (after a pre-emption `output_ids` is not empty).
  void start(const SequenceStart& start);
  // An unknown id is no error.
  void release(SequenceId id);

  // logits: [V] of the sequence's last position; overwritten. The sampled token is recorded for
  // penalties and the random numbers of the next. Where no token can be drawn (NaN, everything
  // -infinity), `error` says why and nothing is recorded.
  SequenceResult sample(SequenceId id, std::span<float> logits);
  // logits: [V] that precede the prompt's token `token_id`. Log-probabilities over all of V,
  // without bias or penalties. Empty where the logits hold NaN or nothing above -infinity.
  PositionLogprobs prompt_logprob(SequenceId id, std::span<const float> logits,
                                  int32_t token_id) const;

 private:
  struct State {
    ResolvedSampling sampling;
    int64_t num_generated = 0;
    std::vector<uint8_t> seen;      // [valid tokens] in prompt or output; with repetition penalty
    std::vector<int32_t> seen_ids;  // the same, each once
    std::unordered_map<int32_t, int32_t> output_counts;  // with presence or frequency penalty
    LogitsHook hook;
  };
  void mark_seen(State& state, int32_t token_id) const;
  void record_output(State& state, int32_t token_id) const;
  void adjust(const State& state, std::span<float> logits) const;

  int64_t vocab_size_;
  int64_t num_valid_tokens_;
  std::unordered_map<SequenceId, State> states_;
};

}  // namespace glmoe
