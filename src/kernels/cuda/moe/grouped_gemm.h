// One matrix product an expert, all in one kernel: y[rows of e] = x[rows of e] W[e]^T, rows in
// expert order. Only the device knows how many rows an expert has. Numbers and design:
// docs/kernels/cuda-moe-grouped-gemm.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// What becomes of a product before it is stored.
enum class GroupedGemmEpilogue : uint8_t {
  kStore,    // y [R, N]
  kSiluMul,  // y [R, N / 2] = silu(gate) * up of the F32 sums; W's rows as kGateUpBy8 (silu_mul.h)
};

// Device memory, 16-byte aligned, rows dense.
struct GroupedGemmParams {
  const void* x = nullptr;                  // [R, K] of type
  const void* weight = nullptr;             // [E', N, K] of type
  void* y = nullptr;                        // [R, N] or [R, N / 2] of y_type
  const int32_t* expert_offsets = nullptr;  // [E' + 1]: rows of e are offsets[e]..offsets[e + 1]-1
  ElementType type = ElementType::kBf16;    // kBf16 or kF16
  ElementType y_type = ElementType::kBf16;  // type, or kF32 (kStore only)
  GroupedGemmEpilogue epilogue = GroupedGemmEpilogue::kStore;
  int64_t max_rows = 0;  // R: no expert's rows end behind it; 0 does nothing
  int num_experts = 0;   // E'
  int n = 0;             // N: a multiple of 8 (of 16 for kSiluMul)
  int k = 0;             // K: a multiple of 8
  // Two unsigned numbers, zeros before the first use, one stream's at a time: with them blocks take
  // the next tile when they are ready for it. nullptr: in even steps, which is slower where experts
  // have many rows each.
  unsigned* counters = nullptr;
};

// Enqueues one kernel, which divides the work by the offsets that it finds; rows from
// expert_offsets[E'] on are neither read for a result nor written. A row's result does not depend
// on its neighbours. Throws Error{kInvalidArgument} for parameters outside the above.
void launch_grouped_gemm(const GroupedGemmParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
