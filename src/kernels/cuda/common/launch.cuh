// Launches with programmatic dependent launch: the next kernel of a stream may start while this one
// drains. Every kernel launched so calls wait_for_earlier_kernels() before it touches memory that
// an earlier kernel reads or writes, and may do what needs none of it (index arithmetic, barriers,
// prefetching weights) before.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/common/cuda_check.h"

namespace glmoe::cuda {

__device__ inline void wait_for_earlier_kernels() { cudaGridDependencySynchronize(); }
// Lets the next kernel's blocks start as soon as there is room; they still wait for this kernel's
// end before they read its results.
__device__ inline void let_next_kernel_start() { cudaTriggerProgrammaticLaunchCompletion(); }

template <class... Params, class... Args>
void launch_kernel(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, Args&&... args) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  GLMOE_CUDA(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
}

}  // namespace glmoe::cuda
