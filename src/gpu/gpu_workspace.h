// Everything that a forward pass needs beside weights and KV cache, as places in one allocation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "glmoe/config.h"
#include "gpu/gpu_moe_backend.h"
#include "kernels/cuda/attention/attention_params.h"
#include "kernels/cuda/common/element_type.h"

namespace glmoe {

struct GpuModelOptions {
  MoeBackendKind moe_backend = MoeBackendKind::kAuto;
  int64_t max_rows = 0;        // T of the largest step
  int64_t max_logit_rows = 0;  // of one call of GpuModel::head()
  int64_t max_positions = 0;
  int64_t tokens_per_block = 16;
  int64_t num_blocks = 0;
  int num_sms = 0;
};

struct GpuWorkspace {
  GpuWorkspace() = default;
  // Places from `base` on, 256-byte aligned; with a null base num_bytes alone means something.
  GpuWorkspace(const Glm4MoeConfig& config, const GpuModelOptions& options, cuda::ElementType type,
               std::byte* base);

  size_t num_bytes = 0;
  float* residual = nullptr;     // [T, H]
  float* tail = nullptr;         // [T, H]: rows that want logits, in the last layer's second half
  void* normed = nullptr;        // [T, H] of the weights' type, as qkv, attended and inner
  float* row_factors = nullptr;  // [T], of the last norm
  void* qkv = nullptr;           // [T, (Hq + 2 Hkv) D]
  float* wide_qkv = nullptr;     // the same in F32, kMaxWideRows at most
  void* attended = nullptr;      // [T, Hq D padded]
  void* gate_up = nullptr;       // [T, 2F padded], F32 to kMaxWideRows
  void* inner = nullptr;         // [T, F padded]
  float* logits = nullptr;       // [max_logit_rows, logits_stride]
  int64_t logits_stride = 0;
  float* rope_table = nullptr;  // [max_positions, R]
  void* attention = nullptr;    // the kernel's own
  size_t attention_bytes = 0;   // 0 where the generic kernels run
  void* router = nullptr;       // the kernel's own
  size_t router_bytes = 0;
  void* gemm = nullptr;  // cuBLASLt's
  size_t gemm_bytes = 0;
  unsigned long long* expert_counts = nullptr;  // [L, E]
  GpuRouting routing;
  GpuMoeScratch moe;
};

cuda::AttentionHeads attention_heads(const Glm4MoeConfig& config);

}  // namespace glmoe
