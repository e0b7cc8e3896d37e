// Greedy sampling: the first of the highest logits of each row, and rows without one found out.
// The same token and status as the host's sampler gives. Numbers: docs/kernels/cuda-sampling.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/sample/sample_outcome.h"

namespace glmoe::cuda {

// All pointers are device memory, logits 16-byte aligned.
struct ArgmaxParams {
  const float* logits = nullptr;  // [R, row_stride]
  int64_t row_stride = 0;         // floats; a multiple of 4, at least num_tokens
  int num_rows = 0;               // R, at most kMaxArgmaxRows; 0 does nothing
  int num_tokens = 0;             // the row's first ones; the rest (padding of V) is not looked at
  SampleOutcome* outcomes = nullptr;  // [R]
  // Both or neither: row r's token also goes to next_token_ids[next_row[r]], unless that is -1, so
  // that the next step can be queued before the host has seen the token.
  const int32_t* next_row = nullptr;  // [R]
  int32_t* next_token_ids = nullptr;
};

inline constexpr int kMaxArgmaxRows = 1 << 20;

// How a row is divided. A maximum does not depend on it, so it may depend on the number of rows.
struct ArgmaxConfig {
  int blocks;   // a row: 8, 4, 2 or 1
  int threads;  // a block: 512, with 1 block 1024
};

ArgmaxConfig argmax_config(int num_rows);

// Enqueues one kernel. Throws Error{kInvalidArgument} for parameters outside the above, or what
// cuda_check.h says where the launch is refused.
void launch_argmax(const ArgmaxParams& params, cudaStream_t stream);

// The same with a given division, for measuring.
void launch_argmax(const ArgmaxParams& params, const ArgmaxConfig& config, cudaStream_t stream);

}  // namespace glmoe::cuda
