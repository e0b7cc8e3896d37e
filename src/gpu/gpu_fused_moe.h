// One MoE call on weights as Hugging Face lays them out (glmoe/moe.h), by the kernels that the
// engine runs on weights of its own layout.
#pragma once

#include <cstddef>

#include "glmoe/moe.h"

namespace glmoe {

// Calls are checked already, but for the alignment of their memory.
size_t gpu_fused_moe_workspace(const FusedMoeCall& call);
void enqueue_gpu_fused_moe(const FusedMoeCall& call, void* workspace, size_t workspace_bytes,
                           void* stream);

}  // namespace glmoe
