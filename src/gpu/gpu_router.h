// The router's kernel for a model: what its configuration and a layer's weights say of the call.
#pragma once

#include "glmoe/config.h"
#include "gpu/gpu_moe_backend.h"
#include "gpu/gpu_weights.h"
#include "kernels/cuda/moe/moe_router.h"

namespace glmoe {

// The problem's shape, without its pointers.
cuda::MoeRouterParams moe_router_shape(const Glm4MoeConfig& config);
// That, with a layer's weights and the places of the result; input, counts and workspace are left.
cuda::MoeRouterParams moe_router_params(const Glm4MoeConfig& config, const GpuMoe& weights,
                                        const GpuRouting& routing);

}  // namespace glmoe
