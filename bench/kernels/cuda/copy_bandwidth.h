// What copies can do on this card: the ceiling of work that reads as much as it writes.
#pragma once

#include <algorithm>
#include <cstdio>

#include "timing.h"

namespace glmoe::cuda {

inline constexpr int kCopyThreads = 1024;

static __global__ void copy_kernel(const float4* from, float4* to) {
  const size_t at = static_cast<size_t>(blockIdx.x) * kCopyThreads + threadIdx.x;
  to[at] = from[at];
}

// The better of the runtime's copy and a plain kernel's: what this GPU's memory can do. The
// runtime's alone is not a ceiling, since the kernels here go beyond it.
inline double copy_bandwidth(cudaStream_t stream) {
  const DeviceArray<float4> from((size_t{1} << 30) / sizeof(float4));
  const DeviceArray<float4> to(from.size());
  GLMOE_CUDA(cudaMemset(from.data(), 0x5a, from.num_bytes()));
  const double runtime_us = median_us(stream, [&](int) {
    GLMOE_CUDA(cudaMemcpyAsync(to.data(), from.data(), from.num_bytes(), cudaMemcpyDeviceToDevice,
                               stream));
  });
  const double kernel_us = median_us(stream, [&](int) {
    copy_kernel<<<static_cast<unsigned>(from.size() / kCopyThreads), kCopyThreads, 0, stream>>>(
        from.data(), to.data());
    GLMOE_CUDA(cudaGetLastError());
  });
  const double gigabytes = 2.0 * static_cast<double>(from.num_bytes()) * 1e-3;
  std::printf(
      "copy of 1 GiB, bytes read and written: %.0f GB/s cudaMemcpyAsync, %.0f GB/s kernel\n",
      gigabytes / runtime_us, gigabytes / kernel_us);
  return gigabytes / std::min(runtime_us, kernel_us);
}

}  // namespace glmoe::cuda
