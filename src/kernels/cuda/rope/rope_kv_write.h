// QK norm, rotary embedding and the write of K and V into the paged cache, in one pass over qkv.
// Numbers: docs/kernels/cuda-rope-kv-write.md.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention/attention_params.h"

namespace glmoe::cuda {

// Enqueues one kernel. Throws Error{kInvalidArgument} for parameters outside attention_params.h, or
// what cuda_check.h says where the launch is refused.
void launch_rope_kv_write(const RopeKvWriteParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
