// Speeds of the engine's parts on the first GPU, each by the launches that the engine itself makes,
// and what the card can do at best. Nothing of CUDA shows here; a build without CUDA has these
// functions too, and they say so. All throw what check_gpu_runs() throws, and kOutOfMemory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "glmoe/config.h"
#include "layers/moe_backend.h"
#include "tensor/dtype.h"

namespace glmoe {

// What the card does at best: the share of the possible is a share of these.
struct GpuRates {
  std::string device;               // "NVIDIA H100 80GB HBM3"
  double read_gb_per_s = 0.0;       // 1e9 bytes a second, of reading up to 4 GiB once
  double matrix_tflop_per_s = 0.0;  // 1e12 operations, of an 8192 x 8192 x 8192 bfloat16 product
};
GpuRates measure_gpu_rates();

// One call: its median time, and what it cannot do without.
struct GpuSpeed {
  double us = 0.0;
  double bytes = 0.0;  // weights and KV cache read; activations are not counted
  double flops = 0.0;
};

struct GpuMoeRow : GpuSpeed {
  std::string backend;
  int64_t num_rows = 0;
  double experts = 0.0;  // that at least one token went to, shared ones not counted
};
// Router, experts and their weighted sum of one MoE layer with random weights, for every backend
// and number of tokens: several sets of random tokens in turn, so that neither weights nor choices
// come from a cache. `experts` is the mean of what those tokens' routing counted.
std::vector<GpuMoeRow> bench_gpu_moe(const Glm4MoeConfig& config, DType dtype,
                                     const std::vector<MoeBackendKind>& backends,
                                     const std::vector<int64_t>& num_tokens);

struct GpuAttentionShape {
  int64_t num_sequences = 1;
  int64_t num_rows = 1;  // of each; 1: decode
  int64_t context = 0;   // positions of each, its rows included
};
// Attention of one layer over a paged cache, blocks in random order; several caches in turn where
// one would stay in the card's own cache.
std::vector<GpuSpeed> bench_gpu_attention(const Glm4MoeConfig& config, DType dtype,
                                          int64_t tokens_per_block,
                                          const std::vector<GpuAttentionShape>& shapes);

struct GpuGemmRow : GpuSpeed {
  std::string matrix;  // "qkv", "o", "gate_up", "down", "lm_head"
  std::string kernel;  // "stream" or "cublaslt"
  bool taken = false;  // whether the engine takes this kernel for so many rows
  int64_t num_rows = 0, out_size = 0, in_size = 0;
};
// The dense products by both kernels; with gate_up goes its SwiGLU. Streaming is measured up to 128
// rows, lm_head up to 512.
std::vector<GpuGemmRow> bench_gpu_gemm(const Glm4MoeConfig& config, DType dtype,
                                       const std::vector<int64_t>& num_rows);

}  // namespace glmoe
