// What has to hold before anything runs on the GPU.
#pragma once

#include "device/gpu_info.h"
#include "glmoe/config.h"
#include "kernels/cuda/common/element_type.h"
#include "tensor/dtype.h"

namespace glmoe {

// Makes the first GPU the calling thread's. Throws kUnavailable with the reason where it cannot run
// the engine.
GpuInfo use_gpu();
// Throws kUnsupported for types and shapes that the kernels do not take; `dtype` as theirs.
cuda::ElementType check_gpu_runs(const Glm4MoeConfig& config, DType dtype);

}  // namespace glmoe
