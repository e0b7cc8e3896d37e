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

  int64_t context() const { return prompt_len + output_len; }
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

}  // namespace glmoe::apps
