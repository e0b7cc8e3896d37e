// The weight-streaming GEMM at the models' shapes: time, GB/s of weights and the share of the read
// bandwidth measured in the same run. For experts the floor counts those that the routing touched.
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/gemm/stream_gemm.h"
#include "timing.h"

namespace glmoe::cuda {
namespace {

struct Shape {
  const char* name;
  int out_size, in_size, num_experts, top_k;
  StreamEpilogue epilogue;
};

constexpr Shape kShapes[] = {
    {"air qkv", 14336, 4096, 1, 0, StreamEpilogue::kStore},
    {"air o", 4096, 12288, 1, 0, StreamEpilogue::kAddF32},
    {"air dense gate_up", 21888, 4096, 1, 0, StreamEpilogue::kSwiglu},
    {"air dense down", 4096, 10944, 1, 0, StreamEpilogue::kAddF32},
    {"air head", 151552, 4096, 1, 0, StreamEpilogue::kStoreF32},
    {"air experts gate_up", 2816, 4096, 128, 8, StreamEpilogue::kSwiglu},
    {"air experts down", 4096, 1408, 128, 8, StreamEpilogue::kStoreF32},
};

// Slots of `tokens` tokens, each to top_k different experts and the shared one, sorted by expert.
struct Routed {
  std::vector<int32_t> offsets, slots;
  int touched = 0;
};
Routed route(int tokens, int num_experts, int top_k) {
  std::mt19937 generator(7);
  std::vector<std::vector<int32_t>> by_expert(static_cast<size_t>(num_experts) + 1);
  for (int t = 0; t < tokens; ++t) {
    std::vector<int> order(static_cast<size_t>(num_experts));
    for (int e = 0; e < num_experts; ++e) order[static_cast<size_t>(e)] = e;
    std::shuffle(order.begin(), order.end(), generator);
    order[static_cast<size_t>(top_k)] = num_experts;
    for (int j = 0; j <= top_k; ++j) {
      by_expert[static_cast<size_t>(order[static_cast<size_t>(j)])].push_back(t * (top_k + 1) + j);
    }
  }
  Routed routed;
  routed.offsets.push_back(0);
  for (const auto& slots : by_expert) {
    routed.slots.insert(routed.slots.end(), slots.begin(), slots.end());
    routed.offsets.push_back(static_cast<int32_t>(routed.slots.size()));
    routed.touched += slots.empty() ? 0 : 1;
  }
  return routed;
}

void bench(const Shape& shape, int tokens, double bandwidth, int num_sms, cudaStream_t stream) {
  const bool experts = shape.num_experts > 1;
  const int matrices = experts ? shape.num_experts + 1 : 1;
  const size_t matrix = static_cast<size_t>(shape.out_size) * shape.in_size;
  // Cold every time: enough copies that the L2 holds none when its turn comes again.
  const int copies =
      experts ? 1 : static_cast<int>(std::max<size_t>(1, (size_t{1} << 28) / matrix));
  const DeviceArray<__nv_bfloat16> w(matrix * static_cast<size_t>(matrices) * copies);
  std::vector<__nv_bfloat16> noise(size_t{1} << 22);
  std::mt19937 generator(3);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (auto& value : noise) value = __float2bfloat16_rn(normal(generator));
  for (size_t at = 0; at < w.size(); at += noise.size()) {
    GLMOE_CUDA(cudaMemcpy(w.data() + at, noise.data(),
                          std::min(noise.size(), w.size() - at) * sizeof(noise[0]),
                          cudaMemcpyHostToDevice));
  }
  const Routed routed = experts ? route(tokens, shape.num_experts, shape.top_k) : Routed{};
  const int rows = experts ? static_cast<int>(routed.slots.size()) : tokens;
  const DeviceArray<__nv_bfloat16> x(std::vector<__nv_bfloat16>(
      noise.begin(), noise.begin() + std::max(tokens, rows) * shape.in_size));
  const DeviceArray<float> out(static_cast<size_t>(rows) * shape.out_size);
  const DeviceArray<int32_t> offsets(experts ? routed.offsets : std::vector<int32_t>(1));
  const DeviceArray<int32_t> slots(experts ? routed.slots : std::vector<int32_t>(1));
  StreamGemmParams p;
  p.x = x.data();
  p.out = out.data();
  p.epilogue = shape.epilogue;
  p.num_rows = rows;
  p.out_size = shape.out_size;
  p.in_size = shape.in_size;
  p.x_stride = shape.in_size;
  p.out_stride = shape.epilogue == StreamEpilogue::kSwiglu ? shape.out_size / 2 : shape.out_size;
  if (experts) {
    p.num_experts = matrices;
    p.expert_offsets = offsets.data();
    if (shape.epilogue == StreamEpilogue::kSwiglu) {
      p.source_slots = slots.data();
      p.slots_per_row = shape.top_k + 1;
    }
  }
  const double us = median_us(stream, [&](int i) {
    p.w = w.data() + matrix * static_cast<size_t>(i % copies);
    launch_stream_gemm(p, num_sms, stream);
  });
  const double bytes = 2.0 * static_cast<double>(matrix) * (experts ? routed.touched : 1);
  const double floor_us = bytes / bandwidth * 1e-3;
  const StreamGemmConfig config = stream_gemm_config(p);
  std::printf("%-22s %5d %8.1f us  floor %7.1f  %7.0f GB/s  %5.1f %%  (%dx%d, %d stages of %d)\n",
              shape.name, tokens, us, floor_us, bytes / us * 1e-3, 100.0 * floor_us / us,
              config.row_tiles, config.token_tiles, config.num_stages, config.stage_k);
}

void run(const GpuInfo& gpu, cudaStream_t stream) {
  const double bandwidth = read_bandwidth(gpu, stream);
  std::printf("%s, reads %.0f GB/s\n", gpu.name.c_str(), bandwidth);
  for (const Shape& shape : kShapes) {
    for (const int tokens : {1, 8, 16, 32, 128}) {
      if (shape.num_experts == 1 && tokens > 64) continue;
      bench(shape, tokens, bandwidth, gpu.sm_count, stream);
    }
  }
}

}  // namespace
}  // namespace glmoe::cuda

int main() { return glmoe::cuda::bench_main(glmoe::cuda::run); }
