// The experts' outputs back into the residual stream, or alone:
// residual[t] += sum over j of weights[t, j] * y[position_of[t, j]], j ascending, in F32.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// Device memory; residual and y 16-byte aligned, rows dense.
struct MoeCombineParams {
  float* residual = nullptr;               // [T, H]; nullptr: the sum goes to `out`
  void* out = nullptr;                     // [T, H] of out_type, where there is no residual
  const void* y = nullptr;                 // [T * K', H] of y_type, in expert order
  const float* weights = nullptr;          // [T, K']
  const int32_t* position_of = nullptr;    // [T * K'] of moe_sort.h; -1: that slot adds nothing
  const int* num_valid = nullptr;          // one number or nullptr: rows from it on are left alone
  ElementType y_type = ElementType::kF32;  // any; for `out` F32 or out_type
  ElementType out_type = ElementType::kBf16;  // kBf16 or kF16
  int64_t num_rows = 0;                       // T
  int slots_per_row = 0;                      // K': 1 to 40
  int hidden_size = 0;                        // H: a multiple of 8
};

// The sum over j is made first and added to the residual once, so it does not depend on its size.
void launch_moe_combine(const MoeCombineParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
