// The MoE block's kernels beside its matrix products, at the models' shapes: router, sort, gather,
// SwiGLU's middle and combination. Time, and the share of the floor: bytes over the bandwidth of a
// copy measured in the same run (every input read once, every output written once), or for the
// router's products at many tokens flops over the BF16 rate.
#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "copy_bandwidth.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/moe/moe_combine.h"
#include "kernels/cuda/moe/moe_gather.h"
#include "kernels/cuda/moe/moe_router.h"
#include "kernels/cuda/moe/moe_sort.h"
#include "kernels/cuda/moe/silu_mul.h"
#include "timing.h"

namespace glmoe::cuda {
namespace {

using Bf16 = __nv_bfloat16;
constexpr int kCalls = 20;  // of a graph

struct Model {
  const char* name;
  int hidden_size, width, num_experts, top_k;
};
constexpr Model kAir{"Air", 4096, 1408, 128, 8};
constexpr Model k355B{"355B", 5120, 1536, 160, 8};
constexpr int kShared = 1;

// All buffers of one model at one number of tokens. Routers' weights are several sets, as layers
// have them, so that they do not stay in the L2.
struct Problem {
  Problem(const Model& m, int64_t rows, cudaStream_t stream)
      : model(m),
        num_rows(rows),
        slots_per_row(m.top_k + kShared),
        num_slots(static_cast<size_t>(rows) * static_cast<size_t>(slots_per_row)),
        wide_x(static_cast<size_t>(rows) * static_cast<size_t>(m.hidden_size)),
        x(static_cast<size_t>(rows) * static_cast<size_t>(m.hidden_size)),
        weights(kLayers * static_cast<size_t>(m.num_experts) * static_cast<size_t>(m.hidden_size)),
        bias(static_cast<size_t>(m.num_experts)),
        slot_weights(num_slots),
        residual(x.size()),
        counts(static_cast<size_t>(m.num_experts)),
        ids(num_slots),
        offsets(static_cast<size_t>(m.num_experts) + kShared + 1),
        slots(num_slots),
        positions(num_slots),
        rows_h(num_slots * static_cast<size_t>(m.hidden_size)),
        rows_2i(num_slots * 2 * static_cast<size_t>(m.width)),
        rows_i(num_slots * static_cast<size_t>(m.width)),
        workspace(router_bytes()),
        sort_workspace(moe_sort_workspace_bytes(rows, slots_per_row, m.num_experts + kShared) +
                       16) {
    std::mt19937 generator(1);
    std::normal_distribution<float> normal;
    std::vector<Bf16> x_values(x.size());
    for (Bf16& value : x_values) value = __float2bfloat16_rn(normal(generator));
    x.upload(x_values);
    std::vector<float> wide_values(wide_x.size());
    for (float& value : wide_values) value = normal(generator);
    wide_x.upload(wide_values);
    std::vector<float> weight_values(weights.size());
    const float scale = 1.0f / std::sqrt(static_cast<float>(m.hidden_size));
    for (float& value : weight_values) value = scale * normal(generator);
    weights.upload(weight_values);
    for (auto* zeros : {&bias, &slot_weights, &residual}) {
      GLMOE_CUDA(cudaMemset(zeros->data(), 0, zeros->num_bytes()));
    }
    GLMOE_CUDA(cudaMemset(workspace.data(), 0, workspace.num_bytes()));
    GLMOE_CUDA(cudaMemset(sort_workspace.data(), 0, sort_workspace.num_bytes()));
    GLMOE_CUDA(cudaMemset(rows_h.data(), 0, rows_h.num_bytes()));
    GLMOE_CUDA(cudaMemset(rows_2i.data(), 0, rows_2i.num_bytes()));
    launch_moe_router(router(0, true), stream);
  }
  size_t router_bytes() const { return moe_router_workspace_bytes(num_rows, router_shape()); }
  MoeRouterParams router_shape() const {
    return {.num_rows = num_rows,
            .hidden_size = model.hidden_size,
            .mode = MoeRouterMode::kSigmoidBias,
            .num_experts = model.num_experts,
            .top_k = model.top_k,
            .num_shared = kShared,
            .normalize = true};
  }
  MoeRouterParams router(int i, bool sort) const {
    MoeRouterParams p = router_shape();
    p.x = wide_x.data();
    p.weight = weights.data() + static_cast<size_t>(i % kLayers) * weights.size() / kLayers;
    p.selection_bias = bias.data();
    p.expert_ids = ids.data();
    p.weights = slot_weights.data();
    p.expert_counts = counts.data();
    if (sort) {
      p.expert_offsets = offsets.data();
      p.sorted_slot = slots.data();
      p.position_of = positions.data();
    }
    p.workspace = workspace.data();
    p.workspace_bytes = workspace.size();
    return p;
  }
  MoeSortParams sort() const {
    return {.expert_ids = ids.data(),
            .expert_offsets = offsets.data(),
            .sorted_slot = slots.data(),
            .position_of = positions.data(),
            .workspace = sort_workspace.data(),
            .workspace_bytes = sort_workspace.size(),
            .num_rows = num_rows,
            .slots_per_row = slots_per_row,
            .num_experts = model.num_experts + kShared};
  }

  static constexpr int kLayers = kCalls;
  Model model;
  int64_t num_rows;
  int slots_per_row;
  size_t num_slots;
  DeviceArray<float> wide_x;
  DeviceArray<Bf16> x;
  DeviceArray<float> weights, bias, slot_weights, residual;
  DeviceArray<unsigned long long> counts;
  DeviceArray<int32_t> ids, offsets, slots, positions;
  DeviceArray<Bf16> rows_h, rows_2i, rows_i;
  DeviceArray<char> workspace, sort_workspace;
};

void print(const Problem& p, const char* op, double us, double floor_us) {
  std::printf("%-5s %6lld tokens  %-14s %9.2f us  floor %8.2f us  %5.1f%%\n", p.model.name,
              static_cast<long long>(p.num_rows), op, us, floor_us, 100.0 * floor_us / us);
}

void measure(const Model& model, int64_t num_rows, double copy, cudaStream_t stream) {
  const Problem p(model, num_rows, stream);
  // GB/s are 1e3 bytes a microsecond.
  const auto floor_us = [&](double bytes) { return bytes / copy * 1e-3; };
  const double rows = static_cast<double>(num_rows), slots = static_cast<double>(p.num_slots);
  const double h = model.hidden_size, i = model.width, e = model.num_experts;
  constexpr double kBf16FlopsPerUs = 989e6;
  const double product = 6 * 2 * rows * e * h / kBf16FlopsPerUs;
  const double router = std::max(floor_us(4 * e * h + 4 * rows * h + 8 * slots), product);
  print(p, "router",
        median_us(stream, [&](int n) { launch_moe_router(p.router(n, false), stream); }), router);
  print(p, "router + sort",
        median_us(stream, [&](int n) { launch_moe_router(p.router(n, true), stream); }), router);
  print(p, "sort", median_us(stream, [&](int) { launch_moe_sort(p.sort(), stream); }),
        floor_us(12 * slots));
  const MoeGatherParams gather{.x = p.x.data(),
                               .position_of = p.positions.data(),
                               .out = p.rows_h.data(),
                               .num_rows = num_rows,
                               .slots_per_row = p.slots_per_row,
                               .hidden_size = model.hidden_size};
  print(p, "gather", median_us(stream, [&](int) { launch_moe_gather(gather, stream); }),
        floor_us(2 * h * (rows + slots)));
  const SiluMulParams silu{.gate_up = p.rows_2i.data(),
                           .out = p.rows_i.data(),
                           .num_rows = static_cast<int64_t>(p.num_slots),
                           .width = model.width,
                           .interleave = kGateUpBy8};
  print(p, "silu_mul", median_us(stream, [&](int) { launch_silu_mul(silu, stream); }),
        floor_us(6 * i * slots));
  const MoeCombineParams combine{.residual = p.residual.data(),
                                 .y = p.rows_h.data(),
                                 .weights = p.slot_weights.data(),
                                 .position_of = p.positions.data(),
                                 .y_type = ElementType::kBf16,
                                 .num_rows = num_rows,
                                 .slots_per_row = p.slots_per_row,
                                 .hidden_size = model.hidden_size};
  print(p, "combine", median_us(stream, [&](int) { launch_moe_combine(combine, stream); }),
        floor_us(h * (2 * slots + 8 * rows)));
}

void run(const GpuInfo& gpu, cudaStream_t stream) {
  const double copy = copy_bandwidth(stream);
  std::printf("%s, copy %.0f GB/s\n", gpu.name.c_str(), copy);
  for (const Model& model : {kAir, k355B}) {
    for (const int64_t rows : {1, 8, 64, 256, 512, 2048, 8192}) measure(model, rows, copy, stream);
  }
}

}  // namespace
}  // namespace glmoe::cuda

int main() { return glmoe::cuda::bench_main(glmoe::cuda::run); }
