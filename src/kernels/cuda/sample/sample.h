// From rows of logits to token ids and log-probabilities, each row with its own parameters: logit
// bias, min_tokens, penalties, temperature, top_k, top_p, min_p, one draw. The same token, to the
// bit of every sum that decides it, as the host's sampler gives for the same logits, parameters,
// history and position. How, and numbers: docs/kernels/cuda-sampling.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <limits>

#include "kernels/cuda/sample/sample_outcome.h"

namespace glmoe::cuda {

inline constexpr int kMaxLogprobs = 20;  // alternatives of a position

// One row's parameters, in device memory, so that one launch (and one captured graph) serves any
// mixture. Ranges are those of the host's resolve_sampling and are not checked again. The defaults
// are a greedy row.
struct SampleRow {
  float temperature = 0.0f;  // below 1e-5: greedy
  float top_p = 1.0f;
  // std::log of min_p as a float, taken on the host so that both samplers have the same; -infinity
  // where min_p is 0.
  float log_min_p = -std::numeric_limits<float>::infinity();
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int32_t top_k = 0;       // 0: all; larger than num_tokens is all too
  int32_t position = 0;    // tokens generated so far: the counter of the random number
  int32_t min_tokens = 0;  // the row's stop ids are not sampled while position is below
  uint64_t seed = 0;
  uint64_t stream = 0;
  // Ranges of the lists in SampleParams. A row's bias ids are distinct; ids outside are ignored.
  int32_t first_bias = 0;
  int32_t num_biases = 0;
  int32_t first_stop = 0;
  int32_t num_stops = 0;
  // The sequence's row of SampleParams::counts; -1: no penalties. Penalties read it, and the
  // sampled token is added to it. No two rows of a launch may share one.
  int32_t count_slot = -1;
  int32_t num_logprobs = -1;  // -1: none; else 0 to kMaxLogprobs alternatives
  // Not -1: nothing is sampled; the token is this one and only its log-probabilities are wanted,
  // over all vocab_size logits and without bias or penalties (as for a token of a prompt).
  int32_t given_token = -1;
  int32_t active = 1;  // 0: the row is passed over and nothing is written for it
};

struct SampleLogprob {
  int32_t token_id;
  float logprob;  // natural, after penalties and before temperature
  int32_t rank;   // 1 is the most likely
};

// All pointers are device memory, logits 16-byte aligned.
struct SampleParams {
  const float* logits = nullptr;    // [R, row_stride]; not changed
  int64_t row_stride = 0;           // floats; a multiple of 4, at least vocab_size
  int num_rows = 0;                 // R; 0 does nothing
  int vocab_size = 0;               // V, at most kMaxSampleVocab
  int num_tokens = 0;               // ids from here on (padding of V) are never sampled; at most V
  const SampleRow* rows = nullptr;  // [R]
  const int32_t* bias_ids = nullptr;
  const float* bias_values = nullptr;
  const int32_t* stop_ids = nullptr;
  // [slots, count_stride] as token_counts.h keeps them; nullptr where no row has a count_slot.
  uint32_t* counts = nullptr;
  int64_t count_stride = 0;           // at least num_tokens
  SampleOutcome* outcomes = nullptr;  // [R]
  // [R, kMaxLogprobs + 1]: the token itself, then the most likely others; outcomes say how many.
  // nullptr where no row asks for any.
  SampleLogprob* logprobs = nullptr;
  // Both or neither: row r's token also goes to next_token_ids[next_row[r]], unless that is -1.
  const int32_t* next_row = nullptr;  // [R]
  int32_t* next_token_ids = nullptr;
};

inline constexpr int kMaxSampleVocab =
    8 * 168 * 256;  // a row lies in the shared memory of 8 blocks

// Enqueues one kernel, whatever the rows ask for. Throws Error{kInvalidArgument} for parameters
// outside the above, or what cuda_check.h says where the launch is refused. Where every row is
// greedy and asks for nothing else, launch_argmax does the same sooner.
void launch_sample(const SampleParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
