// What the benches of GPU kernels share: the median time of a call, the card's read
// bandwidth, and main().
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <vector>

#include "device/gpu_info.h"
#include "kernels/cuda/bandwidth/read_all.h"
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
  constexpr int kWarmUps = 5;
  constexpr double kWarmUpMs = 30.0;  // a card that was idle takes its time to reach its clock
  double warm_ms = 0.0;
  for (int sample = -kWarmUps; sample < samples; ++sample) {
    GLMOE_CUDA(cudaEventRecord(start, stream));
    GLMOE_CUDA(cudaGraphLaunch(exec, stream));
    GLMOE_CUDA(cudaEventRecord(stop, stream));
    GLMOE_CUDA(cudaEventSynchronize(stop));
    float ms = 0.0f;
    GLMOE_CUDA(cudaEventElapsedTime(&ms, start, stop));
    if (sample >= 0) times.push_back(1e3 * ms / calls);
    warm_ms += static_cast<double>(ms);
    if (sample == -1 && warm_ms < kWarmUpMs) --sample;
  }
  GLMOE_CUDA(cudaEventDestroy(start));
  GLMOE_CUDA(cudaEventDestroy(stop));
  GLMOE_CUDA(cudaGraphExecDestroy(exec));
  GLMOE_CUDA(cudaGraphDestroy(graph));
  std::nth_element(times.begin(), times.begin() + samples / 2, times.end());
  return times[static_cast<size_t>(samples) / 2];
}

// Bytes a second of reading 4 GiB once, in GB/s: the ceiling of work that streams weights.
inline double read_bandwidth(const GpuInfo& gpu, cudaStream_t stream) {
  constexpr size_t kBytes = size_t{4} << 30;
  const DeviceArray<char> from(kBytes);
  const DeviceArray<uint32_t> checksum(1);
  GLMOE_CUDA(cudaMemsetAsync(from.data(), 0, kBytes, stream));
  const double us = median_us(
      stream,
      [&](int) { launch_read_all(from.data(), kBytes, checksum.data(), gpu.sm_count, stream); }, 2);
  return kBytes / us * 1e-3;
}

// What main() of a bench does: `work` with the first GPU and a stream. Exit status 77 without a GPU
// (`./dev bench` says so), 1 for an error.
inline int bench_main(const std::function<void(const GpuInfo&, cudaStream_t)>& work) {
  const GpuQuery query = query_gpus();
  if (query.gpus.empty()) {
    std::printf("skipped: %s\n", query.reason.c_str());
    return 77;
  }
  try {
    cudaStream_t stream;
    GLMOE_CUDA(cudaStreamCreate(&stream));
    work(query.gpus[0], stream);
    GLMOE_CUDA(cudaStreamDestroy(stream));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace glmoe::cuda
