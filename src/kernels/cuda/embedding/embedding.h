// Rows of the embedding table, widened to the F32 residual stream. Numbers:
// docs/kernels/cuda-embedding.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// All pointers are device memory; table and out 16-byte aligned, rows dense.
struct EmbeddingParams {
  const int32_t* token_ids = nullptr;           // [T]; a row of zeros where one is outside [0, V)
  const void* table = nullptr;                  // [V, H] of table_type
  float* out = nullptr;                         // [T, H]
  ElementType table_type = ElementType::kBf16;  // kBf16 or kF16
  int64_t num_tokens = 0;                       // T; 0 does nothing
  int hidden_size = 0;                          // H: a multiple of 8, at most 32768
  int vocab_size = 0;                           // V
};

// Enqueues one kernel. Throws Error{kInvalidArgument} for parameters outside the above, or what
// cuda_check.h says where the launch is refused.
void launch_embedding(const EmbeddingParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
