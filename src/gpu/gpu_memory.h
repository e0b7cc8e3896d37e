// What a model takes of a GPU's memory, known before any of it is taken, and what is said where it
// is not there: every part, what is free, and what would fit.
#pragma once

#include <cstdint>

#include "device/gpu_info.h"
#include "glmoe/config.h"
#include "gpu/gpu_backend.h"
#include "tensor/dtype.h"

namespace glmoe {

// `options` without its blocks: the KV cache is what is left. On a GPU of `num_sms` SMs.
GpuMemoryNeed gpu_memory_need(const Glm4MoeConfig& config, DType dtype,
                              const GpuExecutorOptions& options, int num_sms);

// Both throw kOutOfMemory. `free_bytes`: before the weights are there, and then beside them.
void check_weights_fit(const Glm4MoeConfig& config, DType dtype, const GpuInfo& gpu,
                       int64_t free_bytes);
void check_workspace_fits(const Glm4MoeConfig& config, DType dtype,
                          const GpuExecutorOptions& options, const GpuInfo& gpu,
                          int64_t free_bytes);

}  // namespace glmoe
