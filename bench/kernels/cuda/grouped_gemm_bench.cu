// The experts' matrix products at the models' shapes, rows as a random router deals them: time,
// TFLOP/s of the rows that there are, GB/s of the weights that have rows, and the share of the
// floor, which is the longer of flops over the BF16 rate and bytes over the bandwidth of reading.
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/moe/grouped_gemm.h"
#include "timing.h"

namespace glmoe::cuda {
namespace {

using Bf16 = __nv_bfloat16;
constexpr double kBf16FlopsPerUs = 989e6;
constexpr int kCalls = 4;

struct Model {
  const char* name;
  int hidden_size, width, num_experts, top_k;
};
constexpr Model kModels[] = {{"Air", 4096, 1408, 128, 8}, {"355B", 5120, 1536, 160, 8}};

// Sums of four uniform numbers: near enough to normal, and zeros would need less power.
__global__ void fill_kernel(Bf16* values, size_t size, float scale) {
  const size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
  for (size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += step) {
    uint64_t bits = (i + 1) * 0x9e3779b97f4a7c15ull;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ull;
    bits ^= bits >> 27;
    float sum = -2.0f;
    for (int part = 0; part < 4; ++part)
      sum += static_cast<float>(bits >> 16 * part & 0xffff) / 65536;
    values[i] = __float2bfloat16_rn(sum * scale);
  }
}

void fill(const DeviceArray<Bf16>& array, float scale) {
  fill_kernel<<<1024, 256>>>(array.data(), array.size(), scale);
  GLMOE_CUDA(cudaGetLastError());
}

// Rows of each expert: top_k different ones a token, and the shared one behind them.
std::vector<int> deal_rows(const Model& m, int num_tokens) {
  std::mt19937 generator(3);
  std::vector<int> rows(static_cast<size_t>(m.num_experts) + 1), ids(rows.size() - 1);
  std::iota(ids.begin(), ids.end(), 0);
  for (int t = 0; t < num_tokens; ++t) {
    for (int j = 0; j < m.top_k; ++j) {
      std::swap(ids[static_cast<size_t>(j)],
                ids[static_cast<size_t>(j) + generator() % (ids.size() - static_cast<size_t>(j))]);
      ++rows[static_cast<size_t>(ids[static_cast<size_t>(j)])];
    }
  }
  rows.back() = num_tokens;
  return rows;
}

struct Weights {
  explicit Weights(const Model& m)
      : first(static_cast<size_t>(m.num_experts + 1) * 2 * static_cast<size_t>(m.width) *
              static_cast<size_t>(m.hidden_size)),
        second(first.size() / 2) {
    fill(first, 0.02f);
    fill(second, 0.02f);
  }
  DeviceArray<Bf16> first, second;
};

void measure(const Model& m, const Weights& weights, int num_tokens, double read_gb_per_s,
             cudaStream_t stream) {
  const std::vector<int> rows = deal_rows(m, num_tokens);
  std::vector<int32_t> offsets{0};
  for (const int count : rows) offsets.push_back(offsets.back() + count);
  const double used = static_cast<double>(rows.size()) -
                      static_cast<double>(std::count(rows.begin(), rows.end(), 0));
  const auto all_rows = static_cast<size_t>(offsets.back());
  const DeviceArray<int32_t> offsets_dev(offsets);
  const size_t wide = static_cast<size_t>(std::max(m.hidden_size, 2 * m.width));
  const DeviceArray<Bf16> x(all_rows * wide), y(all_rows * wide);
  fill(x, 1.0f);
  const DeviceArray<unsigned> counters(std::vector<unsigned>(2, 0));
  struct Product {
    const char* name;
    const Bf16* weight;
    int n, k;
    GroupedGemmEpilogue epilogue;
  };
  for (const Product& product : {Product{"gate_up", weights.first.data(), 2 * m.width,
                                         m.hidden_size, GroupedGemmEpilogue::kStore},
                                 Product{"gate_up, silu_mul", weights.first.data(), 2 * m.width,
                                         m.hidden_size, GroupedGemmEpilogue::kSiluMul},
                                 Product{"down", weights.second.data(), m.hidden_size, m.width,
                                         GroupedGemmEpilogue::kStore}}) {
    GroupedGemmParams params{.x = x.data(),
                             .weight = product.weight,
                             .y = y.data(),
                             .expert_offsets = offsets_dev.data(),
                             .epilogue = product.epilogue,
                             .max_rows = static_cast<int64_t>(all_rows),
                             .num_experts = static_cast<int>(rows.size()),
                             .n = product.n,
                             .k = product.k};
    const double size = static_cast<double>(product.n) * product.k;
    const double columns =
        product.epilogue == GroupedGemmEpilogue::kSiluMul ? product.n / 2 : product.n;
    const double row_bytes = 2.0 * static_cast<double>(all_rows) * (product.k + columns);
    const double flops = 2.0 * static_cast<double>(all_rows) * size;
    const double floor =
        std::max(flops / kBf16FlopsPerUs, (2.0 * used * size + row_bytes) / read_gb_per_s * 1e-3);
    for (const bool count : {false, true}) {
      params.counters = count ? counters.data() : nullptr;
      const double us = median_us(
          stream, [&](int) { launch_grouped_gemm(params, stream); }, kCalls, 7);
      std::printf(
          "%-5s %6d tokens  %-17s %-8s %8.1f us %4.0f TFLOP/s  weights %4.0f GB/s  "
          "%5.1f%% of floor %7.1f us\n",
          m.name, num_tokens, product.name, count ? "counted" : "", us, flops / us * 1e-6,
          2.0 * used * size / us * 1e-3, 100.0 * floor / us, floor);
    }
  }
}

void run(const GpuInfo& gpu, cudaStream_t stream) {
  const double read = read_bandwidth(gpu, stream);
  std::printf("%s, reads %.0f GB/s\n", gpu.name.c_str(), read);
  for (const Model& model : kModels) {
    const Weights weights(model);
    for (const int tokens : {64, 512, 1024, 2048, 4096, 8192, 16384}) {
      measure(model, weights, tokens, read, stream);
    }
  }
}

}  // namespace
}  // namespace glmoe::cuda

int main() { return glmoe::cuda::bench_main(glmoe::cuda::run); }
