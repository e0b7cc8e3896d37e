// One timed batch through the public API: what `glmoe bench latency` and bench/baselines measure.
#pragma once

#include <cstdint>
#include <vector>

#include "glmoe/llm.h"

namespace glmoe::apps {

struct LatencyBatch {
  int64_t batch_size = 1;
  int64_t prompt_len = 512;
  int64_t output_len = 64;  // 1: prefill alone

  // Steps by which the first sequence of the batch is ahead of the last, where prefill goes in
  // chunks: it has so many more tokens to give, so that the batch stays whole.
  int64_t lead = 0;

  int64_t context() const { return prompt_len + output_len + lead; }
};

struct LatencyTiming {
  double prefill_s = 0.0;  // submitted until the first token, per batch
  double decode_s = 0.0;   // one step: the time between two tokens; 0 with output_len 1
};

double seconds_now();
// Of at least one value, the upper of two middle ones.
double median(std::vector<double> values);

// Room for the batch in the KV cache and in a step, where `options` does not say it.
void make_room(const LatencyBatch& batch, LlmOptions& options);

// Random prompts, greedy, to the end of the answers; other prompts in each round. Of all times
// between two tokens decode_s is the median.
LatencyTiming time_batch(LLM& llm, const LatencyBatch& batch, uint64_t round);

// Sets `lead` for a step of at most `max_num_tokens`.
void set_lead(LatencyBatch& batch, int64_t max_num_tokens);

struct DecodeTiming {
  double step_s = 0.0;
  double context = 0.0;  // positions of a sequence in the middle of the measurement, on average
};
// As time_batch, but of steps alone in which every sequence of the batch takes part.
DecodeTiming time_decode(LLM& llm, const LatencyBatch& batch, uint64_t round);

// Experts that a step of such a batch reads, summed over the layers: the counters are read between
// steps, and readings one step apart give that step's experts exactly; the mean of those. The
// prompts and answers are those that time_decode has with the same round. 0: no step was caught.
double experts_of_decode(LLM& llm, const LatencyBatch& batch, uint64_t round);
// The same of the prefill of a batch; 0 where it took more than one step.
double experts_of_prefill(LLM& llm, const LatencyBatch& batch, uint64_t round);

}  // namespace glmoe::apps
