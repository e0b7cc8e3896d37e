// What has to hold before anything runs on the GPU.
#pragma once

#include "glmoe/config.h"
#include "kernels/cuda/common/element_type.h"
#include "tensor/dtype.h"

namespace glmoe {

// Throws kUnavailable with the reason where the first GPU cannot run the engine.
void require_gpu();
// That, and kUnsupported for types and shapes that the kernels do not take; `dtype` as theirs.
cuda::ElementType check_gpu_runs(const Glm4MoeConfig& config, DType dtype);

}  // namespace glmoe
