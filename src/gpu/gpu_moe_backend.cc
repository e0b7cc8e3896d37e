#include "gpu/gpu_moe_backend.h"

#include "base/error.h"
#include "kernels/cuda/gemm/stream_gemm.h"
#include "kernels/cuda/moe/grouped_gemm.h"
#include "kernels/cuda/moe/moe_combine.h"
#include "kernels/cuda/moe/moe_gather.h"

namespace glmoe {
namespace {

class Base : public GpuMoeBackend {
 public:
  Base(const Glm4MoeConfig& config, cuda::ElementType type, int num_sms)
      : config_(config), type_(type), num_sms_(num_sms) {}

 protected:
  int hidden() const { return static_cast<int>(config_.hidden_size); }
  int inner() const {
    return static_cast<int>(GpuWeights::padded(config_.moe.moe_intermediate_size));
  }
  int num_slots(const GpuMoeCall& call) const { return call.num_rows * call.routing.slots_per_row; }

  // The experts [first, first + count) by the weight-streaming kernel.
  void stream_experts(const GpuMoeCall& call, const GpuMoe& weights, int first, int count,
                      cudaStream_t stream) const {
    const auto at = [&](const GpuMatrix& stack) {
      const int64_t expert_values = stack.rows / weights.num_experts * stack.cols;
      return static_cast<const std::byte*>(stack.data) +
             static_cast<size_t>(first * expert_values) * cuda::element_size(type_);
    };
    cuda::StreamGemmParams p;
    p.x = call.x;
    p.w = at(weights.gate_up);
    p.out = call.scratch.inner;
    p.type = type_;
    p.epilogue = cuda::StreamEpilogue::kSwiglu;
    p.num_rows = num_slots(call);
    p.out_size = 2 * inner();
    p.in_size = hidden();
    p.x_stride = hidden();
    p.out_stride = inner();
    p.num_experts = count;
    p.expert_offsets = call.routing.expert_offsets + first;
    p.source_slots = call.routing.sorted_slot;
    p.slots_per_row = call.routing.slots_per_row;
    cuda::launch_stream_gemm(p, num_sms_, stream);
    p.x = call.scratch.inner;
    p.w = at(weights.down);
    p.out = call.scratch.outer;
    p.epilogue = cuda::StreamEpilogue::kStoreF32;
    p.out_size = hidden();
    p.in_size = inner();
    p.x_stride = inner();
    p.out_stride = hidden();
    p.source_slots = nullptr;
    cuda::launch_stream_gemm(p, num_sms_, stream);
  }

  void combine(const GpuMoeCall& call, cuda::ElementType y_type, cudaStream_t stream) const {
    cuda::MoeCombineParams p;
    p.residual = call.residual;
    p.y = call.scratch.outer;
    p.weights = call.routing.weights;
    p.position_of = call.routing.position_of;
    p.num_valid = call.num_valid;
    p.y_type = y_type;
    p.num_rows = call.num_rows;
    p.slots_per_row = call.routing.slots_per_row;
    p.hidden_size = hidden();
    cuda::launch_moe_combine(p, stream);
  }

  Glm4MoeConfig config_;
  cuda::ElementType type_;
  int num_sms_;
};

class GroupedGpuBackend final : public Base {
 public:
  using Base::Base;
  std::string_view name() const override { return "CUTLASS"; }
  std::string_view implementation() const override {
    return "weight-streaming kernel for few rows an expert, CUTLASS grouped GEMM for many";
  }
  void forward(const GpuMoeCall& call, const GpuMoe& weights, cudaStream_t stream) const override {
    const int64_t slots = num_slots(call);
    if (slots <= kMaxStreamedRowsPerExpert * weights.num_experts) {
      stream_experts(call, weights, 0, static_cast<int>(weights.num_experts), stream);
      combine(call, cuda::ElementType::kF32, stream);
      return;
    }
    cuda::MoeGatherParams gather;
    gather.x = call.x;
    gather.position_of = call.routing.position_of;
    gather.out = call.scratch.gathered;
    gather.type = type_;
    gather.num_rows = call.num_rows;
    gather.slots_per_row = call.routing.slots_per_row;
    gather.hidden_size = hidden();
    cuda::launch_moe_gather(gather, stream);
    cuda::GroupedGemmParams p;
    p.x = call.scratch.gathered;
    p.weight = weights.gate_up.data;
    p.y = call.scratch.inner;
    p.expert_offsets = call.routing.expert_offsets;
    p.type = type_;
    p.y_type = type_;
    p.epilogue = cuda::GroupedGemmEpilogue::kSiluMul;
    p.max_rows = slots;
    p.counters = call.scratch.counters;
    p.num_experts = static_cast<int>(weights.num_experts);
    p.n = 2 * inner();
    p.k = hidden();
    cuda::launch_grouped_gemm(p, stream);
    p.x = call.scratch.inner;
    p.weight = weights.down.data;
    p.y = call.scratch.outer;
    p.epilogue = cuda::GroupedGemmEpilogue::kStore;
    p.n = hidden();
    p.k = inner();
    cuda::launch_grouped_gemm(p, stream);
    combine(call, type_, stream);
  }
};

// One expert after the other, each with its own launches.
class VanillaGpuBackend final : public Base {
 public:
  using Base::Base;
  std::string_view name() const override { return "VANILLA"; }
  std::string_view implementation() const override { return "a plain loop over the experts"; }
  void forward(const GpuMoeCall& call, const GpuMoe& weights, cudaStream_t stream) const override {
    for (int64_t e = 0; e < weights.num_experts; ++e) {
      stream_experts(call, weights, static_cast<int>(e), 1, stream);
    }
    combine(call, cuda::ElementType::kF32, stream);
  }
};

}  // namespace

std::unique_ptr<GpuMoeBackend> make_gpu_moe_backend(MoeBackendKind kind,
                                                    const Glm4MoeConfig& config,
                                                    cuda::ElementType type, int num_sms) {
  can_implement_on_gpu(kind, config).require(kind);
  if (kind == MoeBackendKind::kVanilla) {
    return std::make_unique<VanillaGpuBackend>(config, type, num_sms);
  }
  return std::make_unique<GroupedGpuBackend>(config, type, num_sms);
}

}  // namespace glmoe
