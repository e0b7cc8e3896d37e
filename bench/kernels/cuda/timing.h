// What the benches of GPU kernels share: the median time of a call, and the card's own
// bandwidth.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/cuda/common/cuda_check.h"
#include "kernels/cuda/common/device_array.h"

namespace glmoe::cuda {

// The median time of one call of `work(i)`: graphs of `calls` calls, so that the gaps between
// launches are a GPU's and not the host's.
inline double median_us(cudaStream_t stream, const std::function<void(int)>& work, int calls = 20,
                        int samples = 15) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  GLMOE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < calls; ++i) work(i);
  GLMOE_CUDA(cudaStreamEndCapture(stream, &graph));
  GLMOE_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t start, stop;
  GLMOE_CUDA(cudaEventCreate(&start));
  GLMOE_CUDA(cudaEventCreate(&stop));
  std::vector<double> times;
  constexpr int kWarmUps = 3;
  for (int sample = -kWarmUps; sample < samples; ++sample) {
    GLMOE_CUDA(cudaEventRecord(start, stream));
    GLMOE_CUDA(cudaGraphLaunch(exec, stream));
    GLMOE_CUDA(cudaEventRecord(stop, stream));
    GLMOE_CUDA(cudaEventSynchronize(stop));
    float ms = 0.0f;
    GLMOE_CUDA(cudaEventElapsedTime(&ms, start, stop));
    if (sample >= 0) times.push_back(1e3 * ms / calls);
  }
  GLMOE_CUDA(cudaEventDestroy(start));
  GLMOE_CUDA(cudaEventDestroy(stop));
  GLMOE_CUDA(cudaGraphExecDestroy(exec));
  GLMOE_CUDA(cudaGraphDestroy(graph));
  std::nth_element(times.begin(), times.begin() + samples / 2, times.end());
  return times[static_cast<size_t>(samples) / 2];
}

static __global__ void read_kernel(const uint4* from, size_t count, uint32_t* sink) {
  const size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
  uint32_t sum = 0;
  for (size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += 4 * step) {
    uint4 values[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      values[j] = i + j * step < count ? from[i + j * step] : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) sum ^= values[j].x ^ values[j].y ^ values[j].z ^ values[j].w;
  }
  if (sum == 0x12345678u) *sink = sum;  // never so for zeros: the loads are kept
}

// Bytes a second of reading 4 GiB once, in GB/s: the ceiling of work that streams weights.
inline double read_bandwidth(cudaStream_t stream) {
  constexpr size_t kBytes = size_t{4} << 30;
  const DeviceArray<char> from(kBytes);
  GLMOE_CUDA(cudaMemsetAsync(from.data(), 0, kBytes, stream));
  const DeviceArray<uint32_t> sink(1);
  const double us = median_us(
      stream,
      [&](int) {
        read_kernel<<<132 * 16, 512, 0, stream>>>(reinterpret_cast<const uint4*>(from.data()),
                                                  kBytes / sizeof(uint4), sink.data());
      },
      2);
  return kBytes / us * 1e-3;
}

}  // namespace glmoe::cuda
