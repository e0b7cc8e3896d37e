// What others hand over becomes what the MoE kernels read: experts chosen elsewhere (64-bit
// numbers, weights of any type) as 32-bit numbers and F32, and 16-bit rows as F32 ones.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// Device memory, dense.
struct MoeImportParams {
  const void* expert_ids = nullptr;  // [num_slots] int64, or int32 where !ids_64_bit
  bool ids_64_bit = true;
  const void* weights = nullptr;  // [num_slots] of weights_type
  ElementType weights_type = ElementType::kF32;
  int32_t* to_ids = nullptr;    // [num_slots]; -1 where a number is not one of an expert
  float* to_weights = nullptr;  // [num_slots]
  int64_t num_slots = 0;        // 0 to 2^25
  int num_experts = 0;          // E
};
void launch_moe_import(const MoeImportParams& params, cudaStream_t stream);

// to[i] = from[i] for `count` values, a multiple of 8; both 16-byte aligned, `type` kBf16 or kF16.
void launch_widen(const void* from, ElementType type, float* to, int64_t count,
                  cudaStream_t stream);

}  // namespace glmoe::cuda
