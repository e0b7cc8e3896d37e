// Which kernel the engine takes on the GPU for which shapes: constants and pure functions, without
// CUDA, so that they can be asked and tested anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "glmoe/config.h"
#include "layers/kernel_choice.h"
#include "layers/moe_backend.h"

namespace glmoe {

// Rows up to which a dense product takes the weight-streaming kernel; beyond, cuBLASLt is the
// faster one (`glmoe bench gemm` measures both; docs/benchmarks.md).
inline constexpr int kMaxStreamedRows = 32;

// Rows up to which a product whose result is rounded again further on hands it over as F32: so many
// stay in the L2. Beyond, F32 would cost the time of its bytes (docs/kernels/cuda-rounding.md).
inline constexpr int kMaxWideRows = 512;

// Rows an expert gets on average up to which CUTLASS streams the weights: beyond, the tensor cores'
// rate counts (docs/kernels/cuda-stream-gemm.md).
inline constexpr int64_t kMaxStreamedRowsPerExpert = 16;

// Whether the fast attention kernels take these heads (kernels/cuda/attention/attention_params.h);
// the others run on the generic ones.
bool has_fast_heads(const Glm4MoeConfig& config, int64_t tokens_per_block);

// Whether `kind` runs a model like `config` on one GPU.
BackendVerdict can_implement_on_gpu(MoeBackendKind kind, const Glm4MoeConfig& config);

// What the GPU runs. Throws kUnsupported where it does not run `moe_backend`.
std::vector<KernelChoice> explain_on_gpu(const Glm4MoeConfig& config, MoeBackendKind moe_backend,
                                         int64_t tokens_per_block);

}  // namespace glmoe
