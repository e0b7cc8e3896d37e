#include "gpu/gpu_fused_moe.h"

#include <cuda_runtime_api.h>

#include "base/error.h"
#include "gpu/gpu_choices.h"
#include "gpu/gpu_router.h"
#include "kernels/cuda/gemm/stream_gemm.h"
#include "kernels/cuda/moe/grouped_gemm.h"
#include "kernels/cuda/moe/moe_combine.h"
#include "kernels/cuda/moe/moe_gather.h"
#include "kernels/cuda/moe/moe_import.h"
#include "kernels/cuda/moe/moe_sort.h"
#include "kernels/cuda/moe/silu_mul.h"

namespace glmoe {
namespace {

cuda::ElementType element_type(ElementKind kind) {
  switch (kind) {
    case ElementKind::kFloat32: return cuda::ElementType::kF32;
    case ElementKind::kBfloat16: return cuda::ElementType::kBf16;
    case ElementKind::kFloat16: return cuda::ElementType::kF16;
  }
  return cuda::ElementType::kF32;
}

// Where a call's own memory lies, 256-byte aligned; with a null base num_bytes alone means
// something.
struct Places {
  std::byte* base = nullptr;
  size_t num_bytes = 0;
  void* router = nullptr;        // the kernel's own, zeros at its beginning
  unsigned* counters = nullptr;  // two zeros
  void* sort = nullptr;
  float* wide_x = nullptr;       // [T, H]; with a router
  float* wide_router = nullptr;  // [E, H]; with one of 16 bits
  int32_t *ids = nullptr, *offsets = nullptr, *sorted_slot = nullptr, *position_of = nullptr;
  float* weights = nullptr;
  void* gathered = nullptr;  // [T * K, H]; where experts have many rows, as the next
  void* gate_up = nullptr;   // [T * K, 2I]
  void* inner = nullptr;     // [T * K, I]
  void* outer = nullptr;     // [T * K, H], F32 where few
  size_t router_bytes = 0, sort_bytes = 0;

  template <class T>
  void place(T*& pointer, int64_t bytes) {
    pointer = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(base) + num_bytes);
    num_bytes += (static_cast<size_t>(bytes) + 255) / 256 * 256;
  }
};

class Call {
 public:
  Call(const FusedMoeCall& call, std::byte* workspace)
      : call_(call), experts_(call.experts), type_(element_type(call.experts.kind)) {
    lay_out(workspace);
  }
  size_t num_bytes() const { return at_.num_bytes; }

  void enqueue(cudaStream_t stream) const {
    int num_sms = 0;
    GLMOE_CUDA(cudaSetDevice(call_.device));
    GLMOE_CUDA(cudaDeviceGetAttribute(&num_sms, cudaDevAttrMultiProcessorCount, call_.device));
    call_.router != nullptr ? route(stream) : import_routing(stream);
    few() ? stream_weights(num_sms, stream) : multiply_groups(stream);
    combine(stream);
  }

 private:
  int64_t top_k() const {
    return call_.router != nullptr ? call_.router->config.top_k : call_.chosen.top_k;
  }
  int64_t num_slots() const { return call_.num_tokens * top_k(); }
  bool few() const { return num_slots() <= kMaxStreamedRowsPerExpert * experts_.num_experts; }

  cuda::MoeRouterParams router_shape() const {
    Glm4MoeConfig config;
    config.hidden_size = experts_.hidden_size;
    config.moe = call_.router->config;
    config.moe.num_shared_experts = 0;
    return moe_router_shape(config);
  }

  void lay_out(std::byte* workspace) {
    at_.base = workspace;
    const int64_t slots = num_slots();
    const int64_t hidden = experts_.hidden_size;
    const int64_t inner = experts_.intermediate_size;
    const auto experts = static_cast<int>(experts_.num_experts);
    if (call_.router != nullptr) {
      at_.router_bytes = cuda::moe_router_workspace_bytes(call_.num_tokens, router_shape());
      at_.place(at_.router, static_cast<int64_t>(at_.router_bytes));
      at_.place(at_.wide_x, call_.num_tokens * hidden * 4);
      if (call_.router->kind != ElementKind::kFloat32) {
        at_.place(at_.wide_router, experts * hidden * 4);
      }
    } else {
      at_.sort_bytes =
          cuda::moe_sort_workspace_bytes(call_.num_tokens, static_cast<int>(top_k()), experts);
      at_.place(at_.sort, static_cast<int64_t>(at_.sort_bytes));
    }
    at_.place(at_.ids, slots * 4);
    at_.place(at_.weights, slots * 4);
    at_.place(at_.offsets, (experts + 1) * 4);
    at_.place(at_.sorted_slot, slots * 4);
    at_.place(at_.position_of, slots * 4);
    at_.place(at_.inner, slots * inner * 2);
    at_.place(at_.outer, slots * hidden * (few() ? 4 : 2));
    if (few()) return;
    at_.place(at_.counters, 2 * 4);
    at_.place(at_.gathered, slots * hidden * 2);
    at_.place(at_.gate_up, slots * 2 * inner * 2);
  }

  void route(cudaStream_t stream) const {
    const RouterWeights& router = *call_.router;
    const int64_t hidden = experts_.hidden_size;
    GLMOE_CUDA(cudaMemsetAsync(at_.router, 0, cuda::kMoeRouterZeroBytes, stream));
    cuda::launch_widen(call_.x, type_, at_.wide_x, call_.num_tokens * hidden, stream);
    cuda::MoeRouterParams p = router_shape();
    p.x = at_.wide_x;
    p.weight = static_cast<const float*>(router.weight);
    if (router.kind != ElementKind::kFloat32) {
      cuda::launch_widen(router.weight, element_type(router.kind), at_.wide_router,
                         experts_.num_experts * hidden, stream);
      p.weight = at_.wide_router;
    }
    p.selection_bias = router.selection_bias;
    p.expert_ids = at_.ids;
    p.weights = at_.weights;
    p.expert_offsets = at_.offsets;
    p.sorted_slot = at_.sorted_slot;
    p.position_of = at_.position_of;
    p.workspace = at_.router;
    p.workspace_bytes = at_.router_bytes;
    p.num_rows = call_.num_tokens;
    cuda::launch_moe_router(p, stream);
  }

  void import_routing(cudaStream_t stream) const {
    const ChosenExperts& chosen = call_.chosen;
    cuda::launch_moe_import({.expert_ids = chosen.ids,
                             .ids_64_bit = chosen.ids_64_bit,
                             .weights = chosen.weights,
                             .weights_type = element_type(chosen.weights_kind),
                             .to_ids = at_.ids,
                             .to_weights = at_.weights,
                             .num_slots = num_slots(),
                             .num_experts = static_cast<int>(experts_.num_experts)},
                            stream);
    cuda::launch_moe_sort({.expert_ids = at_.ids,
                           .expert_offsets = at_.offsets,
                           .sorted_slot = at_.sorted_slot,
                           .position_of = at_.position_of,
                           .workspace = at_.sort,
                           .workspace_bytes = at_.sort_bytes,
                           .num_rows = call_.num_tokens,
                           .slots_per_row = static_cast<int>(top_k()),
                           .num_experts = static_cast<int>(experts_.num_experts)},
                          stream);
  }

  void stream_weights(int num_sms, cudaStream_t stream) const {
    const auto hidden = static_cast<int>(experts_.hidden_size);
    const auto inner = static_cast<int>(experts_.intermediate_size);
    cuda::StreamGemmParams p;
    p.x = call_.x;
    p.w = experts_.gate_up;
    p.out = at_.inner;
    p.type = type_;
    p.epilogue = cuda::StreamEpilogue::kSwiglu;
    p.gate_up_halves = true;
    p.num_rows = static_cast<int>(num_slots());
    p.out_size = 2 * inner;
    p.in_size = hidden;
    p.x_stride = hidden;
    p.out_stride = inner;
    p.num_experts = static_cast<int>(experts_.num_experts);
    p.expert_offsets = at_.offsets;
    p.source_slots = at_.sorted_slot;
    p.slots_per_row = static_cast<int>(top_k());
    cuda::launch_stream_gemm(p, num_sms, stream);
    p.x = at_.inner;
    p.w = experts_.down;
    p.out = at_.outer;
    p.epilogue = cuda::StreamEpilogue::kStoreF32;
    p.gate_up_halves = false;
    p.out_size = hidden;
    p.in_size = inner;
    p.x_stride = inner;
    p.out_stride = hidden;
    p.source_slots = nullptr;
    cuda::launch_stream_gemm(p, num_sms, stream);
  }

  // The grouped product's own SwiGLU wants gate and up in turns, so a kernel of its own follows.
  void multiply_groups(cudaStream_t stream) const {
    GLMOE_CUDA(cudaMemsetAsync(at_.counters, 0, 2 * sizeof(unsigned), stream));
    cuda::launch_moe_gather({.x = call_.x,
                             .position_of = at_.position_of,
                             .out = at_.gathered,
                             .type = type_,
                             .num_rows = call_.num_tokens,
                             .slots_per_row = static_cast<int>(top_k()),
                             .hidden_size = static_cast<int>(experts_.hidden_size)},
                            stream);
    cuda::GroupedGemmParams p;
    p.x = at_.gathered;
    p.weight = experts_.gate_up;
    p.y = at_.gate_up;
    p.expert_offsets = at_.offsets;
    p.type = type_;
    p.y_type = type_;
    p.max_rows = num_slots();
    p.counters = at_.counters;
    p.num_experts = static_cast<int>(experts_.num_experts);
    p.n = static_cast<int>(2 * experts_.intermediate_size);
    p.k = static_cast<int>(experts_.hidden_size);
    cuda::launch_grouped_gemm(p, stream);
    cuda::launch_silu_mul({.gate_up = at_.gate_up,
                           .out = at_.inner,
                           .in_type = type_,
                           .out_type = type_,
                           .num_rows = num_slots(),
                           .width = static_cast<int>(experts_.intermediate_size),
                           .interleave = cuda::kGateUpPlain},
                          stream);
    p.x = at_.inner;
    p.weight = experts_.down;
    p.y = at_.outer;
    p.n = static_cast<int>(experts_.hidden_size);
    p.k = static_cast<int>(experts_.intermediate_size);
    cuda::launch_grouped_gemm(p, stream);
  }

  void combine(cudaStream_t stream) const {
    cuda::MoeCombineParams p;
    p.out = call_.out;
    p.out_type = type_;
    p.y = at_.outer;
    p.y_type = few() ? cuda::ElementType::kF32 : type_;
    p.weights = at_.weights;
    p.position_of = at_.position_of;
    p.num_rows = call_.num_tokens;
    p.slots_per_row = static_cast<int>(top_k());
    p.hidden_size = static_cast<int>(experts_.hidden_size);
    cuda::launch_moe_combine(p, stream);
  }

  const FusedMoeCall& call_;
  const ExpertWeights& experts_;
  cuda::ElementType type_;
  Places at_;
};

}  // namespace

size_t gpu_fused_moe_workspace(const FusedMoeCall& call) { return Call(call, nullptr).num_bytes(); }

void enqueue_gpu_fused_moe(const FusedMoeCall& call, void* workspace, size_t workspace_bytes,
                           void* stream) {
  constexpr uintptr_t kAlignment = 256;
  const Call placed(call, static_cast<std::byte*>(workspace));
  if (workspace == nullptr || reinterpret_cast<uintptr_t>(workspace) % kAlignment != 0 ||
      workspace_bytes < placed.num_bytes()) {
    fail_argument(
        "fused_moe: the workspace has {} bytes at {}: {} bytes, aligned to {}, were wanted",
        workspace_bytes, fmt::ptr(workspace), placed.num_bytes(), kAlignment);
  }
  placed.enqueue(static_cast<cudaStream_t>(stream));
}

}  // namespace glmoe
