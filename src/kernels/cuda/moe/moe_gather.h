// Rows of tokens in expert order: out[position_of[t * K' + j]] = x[t] for every slot j of t.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// Device memory; x and out 16-byte aligned, rows dense.
struct MoeGatherParams {
  const void* x = nullptr;                // [T, H] of type
  const int32_t* position_of = nullptr;   // [T * K'] of moe_sort.h; -1: no row for that slot
  void* out = nullptr;                    // [T * K', H] of type; rows without a slot stay as is
  ElementType type = ElementType::kBf16;  // kBf16 or kF16
  int64_t num_rows = 0;                   // T: 0 to 2^20
  int slots_per_row = 0;                  // K': 1 to 40
  int hidden_size = 0;                    // H: a multiple of 8
};

// Reads a row of x once and writes it K' times. Throws Error{kInvalidArgument} for parameters
// outside the above.
void launch_moe_gather(const MoeGatherParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
