// Causal attention of sequences of many rows over the paged cache, on the tensor cores. A row's
// result is the same bits in any batch and any chunking. Numbers:
// docs/kernels/cuda-attention-prefill.md.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention/attention_params.h"

namespace glmoe::cuda {

inline constexpr int kMaxPrefillSequences = 512;

// Enqueues one kernel on a grid that only the device fixes. Sequences with the longest contexts are
// best put first: they are begun in the order given. Throws Error{kInvalidArgument} for parameters
// outside attention_params.h, or what cuda_check.h says where the launch is refused.
void launch_attention_prefill(const AttentionPrefillParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
