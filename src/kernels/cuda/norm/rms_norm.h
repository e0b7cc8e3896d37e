// RMSNorm on the GPU: y = gamma * x * rsqrt(mean(x^2) + eps), with the residual's addition in the
// same pass. Mathematics in F32 whatever the types in memory. Numbers:
// docs/kernels/cuda-rms-norm.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// All pointers are device memory, 16-byte aligned; rows are dense.
struct RmsNormParams {
  const void* x = nullptr;      // [T, H] of x_type; the residual stream where `delta` is given
  const void* delta = nullptr;  // [T, H] of x_type; may be nullptr: nothing is added
  void* sum = nullptr;  // [T, H] of x_type, x + delta; may be x; nullptr just where delta is
  const void* gamma = nullptr;   // [H] of gamma_type
  void* out = nullptr;           // [T, H] of out_type; may be x or delta where the types agree
  float* row_factors = nullptr;  // [T] or nullptr: gets rsqrt(mean(x^2) + eps) of each row
  ElementType x_type = ElementType::kBf16;
  ElementType gamma_type = ElementType::kBf16;
  ElementType out_type = ElementType::kBf16;
  int64_t num_rows = 0;  // T; 0 does nothing
  int hidden_size = 0;   // H: a multiple of 8, at most 32768
  float eps = 0.0f;
};

// How the work of a row is divided; a function of H alone, so that a row's result is too.
struct RmsNormConfig {
  int chunks_per_thread = 1;  // 1, 2 or 4 chunks of 8 values
  int threads = 32;           // a block and a row
};

RmsNormConfig rms_norm_config(int hidden_size);

// Enqueues one kernel. With `delta` the norm is that of `sum` as stored (rounded to x_type), so the
// next layer's residual and this norm see the same numbers. Throws Error{kInvalidArgument} for
// parameters outside the above, or what cuda_check.h says where the launch is refused.
void launch_rms_norm(const RmsNormParams& params, cudaStream_t stream);

// The same with a given division, for measuring: config.threads * chunks_per_thread * 8 >= H.
void launch_rms_norm(const RmsNormParams& params, const RmsNormConfig& config, cudaStream_t stream);

}  // namespace glmoe::cuda
