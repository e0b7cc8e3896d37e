// Products with few rows of activations, where the time is that of reading the weights: one matrix,
// or one matrix an expert. Each block streams its share of the weights through shared memory by
// bulk copies, many stages deep; the tensor cores multiply with the weights as the 16-row side.
// A row's result depends on that row and the matrix alone, to the bit, whatever stands beside it.
// Numbers: docs/kernels/cuda-stream-gemm.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

enum class StreamEpilogue {
  kStore,     // out [M, N] of `type`
  kStoreF32,  // out [M, N] F32
  kAddF32,    // out [M, N] F32 += product
  // out [M, N / 2] of `type`: silu(gate) * up. Rows of the matrix as gate_up_halves says.
  kSwiglu,
};

// x: rows [.., K] of `type`; w: [E, N, K] of `type`, dense. All device memory, 16-byte aligned.
struct StreamGemmParams {
  const void* x = nullptr;
  const void* w = nullptr;
  void* out = nullptr;
  const float* bias = nullptr;  // [N] or nullptr; kStore and kStoreF32
  ElementType type = ElementType::kBf16;
  StreamEpilogue epilogue = StreamEpilogue::kStore;
  // kSwiglu alone. false: rows 16b .. 16b+7 of the matrix are rows 8b .. 8b+7 of the gate
  // projection and rows 16b+8 .. 16b+15 those of the up projection. true: N/2 rows of gate, then
  // N/2 of up, as checkpoints have them; the copy engine brings them together.
  bool gate_up_halves = false;
  int num_rows = 0;        // M of one matrix; for experts an upper bound of all rows
  int out_size = 0;        // N; a multiple of 16 for kSwiglu
  int in_size = 0;         // K, a multiple of 64
  int64_t x_stride = 0;    // elements from one row of x to the next, a multiple of 8
  int64_t out_stride = 0;  // elements from one row of out to the next
  // Experts: rows offsets[e] .. offsets[e+1]-1 of out belong to matrix e; row p of out comes from
  // row source_slots[p] / slots_per_row of x (row p where source_slots is nullptr).
  int num_experts = 1;
  const int32_t* expert_offsets = nullptr;  // [E + 1]; nullptr: one matrix
  const int32_t* source_slots = nullptr;
  int slots_per_row = 1;
};

// How the work is divided; a pure function of the shapes.
struct StreamGemmConfig {
  int row_tiles = 1;    // 16-row tiles of the matrix in a unit of work: 1 or 2
  int token_tiles = 1;  // 8-row tiles of x in a unit at most: 1, 2, 4 or 8
  int stage_k = 1024;   // columns in a stage, a multiple of 256 for bit-equal divisions
  int num_stages = 4;
  int shared_bytes = 0;
};
StreamGemmConfig stream_gemm_config(const StreamGemmParams& params);

// Enqueues one kernel. Throws Error{kInvalidArgument} for parameters outside the above.
void launch_stream_gemm(const StreamGemmParams& params, int num_sms, cudaStream_t stream);
// The same with a given division, for measuring.
void launch_stream_gemm(const StreamGemmParams& params, const StreamGemmConfig& config, int num_sms,
                        cudaStream_t stream);

}  // namespace glmoe::cuda
