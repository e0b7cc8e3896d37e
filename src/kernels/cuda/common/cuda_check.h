// Checked calls of the CUDA runtime: a failure becomes a glmoe::Error that names the call. Standard
// library and CUDA only, so that kernels and their tests build with nothing but nvcc.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "glmoe/error.h"

namespace glmoe::cuda {

// Throws kOutOfMemory or kUnavailable (kInternal for a launch we described wrongly) where `status`
// is not success: "cudaMalloc(&p, n) at file:line failed: cudaErrorMemoryAllocation (out of
// memory)".
inline void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  ErrorCode code = ErrorCode::kUnavailable;
  if (status == cudaErrorMemoryAllocation) code = ErrorCode::kOutOfMemory;
  if (status == cudaErrorInvalidConfiguration || status == cudaErrorInvalidValue ||
      status == cudaErrorLaunchOutOfResources) {
    code = ErrorCode::kInternal;
  }
  if (status == cudaErrorNoKernelImageForDevice) code = ErrorCode::kUnsupported;
  // Take the error off the thread where it can be taken off: the next call is not to blame for it.
  (void)cudaGetLastError();
  throw Error(code, std::string(call) + " at " + file + ":" + std::to_string(line) + " failed: " +
                        cudaGetErrorName(status) + " (" + cudaGetErrorString(status) + ")");
}

}  // namespace glmoe::cuda

// GLMOE_CUDA(cudaMemcpyAsync(...)); after a launch: GLMOE_CUDA(cudaGetLastError()).
#define GLMOE_CUDA(call) ::glmoe::cuda::check((call), #call, __FILE__, __LINE__)
