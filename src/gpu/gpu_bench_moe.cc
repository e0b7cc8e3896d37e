// bench_gpu_moe() of gpu_bench.h.
#include <algorithm>
#include <memory>

#include "gpu/bench_timer.h"
#include "gpu/gpu_bench.h"
#include "gpu/gpu_checks.h"
#include "gpu/gpu_router.h"
#include "kernels/cuda/fill/fill.h"

namespace glmoe {
namespace {

constexpr int kSets = 8;  // of tokens, one a call

double real(int64_t count) { return static_cast<double>(count); }

// One MoE layer, with an embedding and a head of next to nothing.
Glm4MoeConfig one_moe_layer(const Glm4MoeConfig& config) {
  if (config.num_moe_layers() == 0) {
    fail(ErrorCode::kUnsupported, "bench moe: the model has no MoE layers");
  }
  Glm4MoeConfig layer = config;
  layer.num_hidden_layers = 1;
  layer.first_k_dense_replace = 0;
  layer.interleave_moe_layer_step = 1;
  layer.vocab_size = 64;
  return layer;
}

class MoeBench {
 public:
  MoeBench(const Glm4MoeConfig& config, cuda::ElementType type, int num_sms, int64_t max_rows)
      : config_(config),
        type_(type),
        num_sms_(num_sms),
        weights_(config, type, /*seed=*/1),
        slots_per_row_(config.moe.top_k + config.moe.num_shared_experts),
        x_(bytes_of(kSets * max_rows * config.hidden_size, 2), "the tokens"),
        wide_x_(bytes_of(kSets * max_rows * config.hidden_size, 4), "the tokens in float32"),
        residual_(bytes_of(max_rows * config.hidden_size, 4), "the residual stream"),
        slots_(bytes_of(4 * max_rows * slots_per_row_ + 2048, 4), "the routing"),
        gathered_(bytes_of(max_rows * slots_per_row_ * config.hidden_size, 2), "gathered rows"),
        inner_(bytes_of(
                   max_rows * slots_per_row_ * GpuWeights::padded(config.moe.moe_intermediate_size),
                   2),
               "inner rows"),
        outer_(bytes_of(max_rows * slots_per_row_ * config.hidden_size, 4), "outer rows"),
        counts_(bytes_of(config.moe.num_experts, 8), "expert counts"),
        workspace_(cuda::moe_router_workspace_bytes(max_rows, moe_router_shape(config)),
                   "the router's workspace") {
    cuda::launch_fill_random(wide_x_.data(), cuda::ElementType::kF32,
                             kSets * max_rows * config.hidden_size, 1.7f, 7, timer_.stream());
    cuda::launch_fill_random(x_.data(), type, kSets * max_rows * config.hidden_size, 1.7f, 7,
                             timer_.stream());
    GLMOE_CUDA(cudaMemsetAsync(residual_.data(), 0, residual_.size(), timer_.stream()));
    GLMOE_CUDA(cudaMemsetAsync(inner_.data(), 0, inner_.size(), timer_.stream()));
    GLMOE_CUDA(cudaMemsetAsync(workspace_.data(), 0, workspace_.size(), timer_.stream()));
  }

  GpuMoeRow run(MoeBackendKind kind, int64_t num_rows) {
    const std::unique_ptr<GpuMoeBackend> backend =
        make_gpu_moe_backend(kind, config_, type_, num_sms_);
    GpuMoeRow row;
    row.backend = backend->name();
    row.num_rows = num_rows;
    for (int set = 0; set < kSets; ++set) row.experts += distinct_experts(*backend, num_rows, set);
    row.experts /= kSets;
    row.us = timer_.call_us(kSets, [&](int set) { enqueue(*backend, num_rows, set); });
    const MoeConfig& moe = config_.moe;
    const double expert = 3.0 * real(config_.hidden_size) * real(moe.moe_intermediate_size);
    const double router = real(moe.num_experts) * real(config_.hidden_size);
    row.bytes = 4.0 * router + 2.0 * expert * (row.experts + real(moe.num_shared_experts));
    row.flops = 2.0 * real(num_rows) * (router + expert * real(slots_per_row_));
    return row;
  }

 private:
  static size_t bytes_of(int64_t count, int64_t size) { return static_cast<size_t>(count * size); }

  void enqueue(const GpuMoeBackend& backend, int64_t num_rows, int set) {
    auto* slots = reinterpret_cast<int32_t*>(slots_.data());
    const int64_t count = num_rows * slots_per_row_;
    GpuRouting routing;
    routing.expert_ids = slots;
    routing.weights = reinterpret_cast<float*>(slots + count);
    routing.sorted_slot = slots + 2 * count;
    routing.position_of = slots + 3 * count;
    routing.expert_offsets = slots + 4 * count;
    routing.slots_per_row = static_cast<int>(slots_per_row_);
    const GpuMoe& moe = *weights_.layers()[0].moe;
    const int64_t first = set * num_rows * config_.hidden_size;
    const std::byte* x = x_.data() + bytes_of(first, 2);
    cuda::MoeRouterParams p = moe_router_params(config_, moe, routing);
    p.x = reinterpret_cast<const float*>(wide_x_.data()) + first;
    p.expert_counts = reinterpret_cast<unsigned long long*>(counts_.data());
    p.workspace = workspace_.data();
    p.workspace_bytes = workspace_.size();
    p.num_rows = num_rows;
    cuda::launch_moe_router(p, timer_.stream());
    backend.forward({.x = x,
                     .residual = reinterpret_cast<float*>(residual_.data()),
                     .num_rows = static_cast<int>(num_rows),
                     .routing = routing,
                     .scratch = {gathered_.data(), inner_.data(), outer_.data()}},
                    moe, timer_.stream());
  }

  double distinct_experts(const GpuMoeBackend& backend, int64_t num_rows, int set) {
    GLMOE_CUDA(cudaMemsetAsync(counts_.data(), 0, counts_.size(), timer_.stream()));
    enqueue(backend, num_rows, set);
    std::vector<uint64_t> counts(counts_.size() / 8);
    GLMOE_CUDA(cudaMemcpyAsync(counts.data(), counts_.data(), counts_.size(),
                               cudaMemcpyDeviceToHost, timer_.stream()));
    GLMOE_CUDA(cudaStreamSynchronize(timer_.stream()));
    return real(std::ranges::count_if(counts, [](uint64_t n) { return n > 0; }));
  }

  Glm4MoeConfig config_;
  cuda::ElementType type_;
  int num_sms_;
  GpuWeights weights_;
  int64_t slots_per_row_;
  BenchTimer timer_;
  DeviceBuffer x_, wide_x_, residual_, slots_, gathered_, inner_, outer_, counts_, workspace_;
};

}  // namespace

std::vector<GpuMoeRow> bench_gpu_moe(const Glm4MoeConfig& config, DType dtype,
                                     const std::vector<MoeBackendKind>& backends,
                                     const std::vector<int64_t>& num_tokens) {
  const GpuInfo gpu = use_gpu();
  const cuda::ElementType type = check_gpu_runs(config, dtype);
  const Glm4MoeConfig layer = one_moe_layer(config);
  for (const MoeBackendKind kind : backends) {  // a refusal before weights are made
    (void)make_gpu_moe_backend(kind, layer, type, 1);
  }
  MoeBench bench(layer, type, gpu.sm_count, std::ranges::max(num_tokens));
  std::vector<GpuMoeRow> rows;
  for (const MoeBackendKind kind : backends) {
    for (const int64_t count : num_tokens) rows.push_back(bench.run(kind, count));
  }
  return rows;
}

}  // namespace glmoe
