// Rotation, cache write and attention for any head size up to 256: plain kernels, a warp a head.
// They serve models whose heads the fast kernels do not take, and check those kernels.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention/attention_params.h"

namespace glmoe::cuda {

inline constexpr int kMaxGenericHeadDim = 256;

// The contract of launch_rope_kv_write for any even rotary_dim and any head_dim up to 256.
void launch_rope_kv_write_generic(const RopeKvWriteParams& params, cudaStream_t stream);

// The contract of launch_attention_prefill for any head_dim up to 256 and any block size; out rows
// are out_stride elements apart. Sequences of one row are served too.
void launch_attention_generic(const AttentionPrefillParams& params, int64_t out_stride,
                              cudaStream_t stream);

}  // namespace glmoe::cuda
