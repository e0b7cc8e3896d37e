// SwiGLU's middle: h = silu(gate) * up, silu(g) = g / (1 + exp(-g)). F32 mathematics.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// How gate and up share the 2I columns of gate_up (rows of the weight). kGateUpPlain: all gate
// columns, then all up columns. kGateUpBy8: 8 gate columns, their 8 up columns, and so on: column
// 16b + r is gate column 8b + r for r < 8, and up column 8b + r - 8 from there.
inline constexpr int kGateUpPlain = 0;
inline constexpr int kGateUpBy8 = 8;

// Device memory, 16-byte aligned, rows dense.
struct SiluMulParams {
  const void* gate_up = nullptr;   // [R, 2I] of in_type
  void* out = nullptr;             // [R, I] of out_type
  const int* num_valid = nullptr;  // one number or nullptr: rows from it on are left alone
  ElementType in_type = ElementType::kBf16;   // any
  ElementType out_type = ElementType::kBf16;  // kBf16 or kF16
  int64_t num_rows = 0;                       // R
  int width = 0;                              // I: a multiple of 8
  int interleave = kGateUpPlain;              // kGateUpPlain or kGateUpBy8
};

void launch_silu_mul(const SiluMulParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
