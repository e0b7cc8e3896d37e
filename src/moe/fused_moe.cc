// The public functions of glmoe/moe.h: checks, and the CPU's way.
#include "glmoe/moe.h"

#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_team.h"
#include "gpu/gpu_fused_moe.h"
#include "ops/moe.h"
#include "ops/router.h"
#include "tensor/element_kind.h"
#include "tensor/tensor.h"

namespace glmoe {
namespace {

void check_positive(const char* name, int64_t value, int64_t most) {
  if (value < 1 || value > most) {
    fail_argument("fused_moe: {} is {}, wanted 1 to {}", name, value, most);
  }
}

void check_shapes(const FusedMoeCall& call) {
  constexpr int64_t kMostTokens = int64_t{1} << 20;
  constexpr int64_t kMostWidth = int64_t{1} << 20;
  const ExpertWeights& experts = call.experts;
  if (call.num_tokens < 0 || call.num_tokens > kMostTokens) {
    fail_argument("fused_moe: num_tokens is {}, wanted 0 to {}", call.num_tokens, kMostTokens);
  }
  check_positive("num_experts", experts.num_experts, 1024);
  check_positive("hidden_size", experts.hidden_size, kMostWidth);
  check_positive("intermediate_size", experts.intermediate_size, kMostWidth);
  if (call.router == nullptr) {
    check_positive("top_k", call.chosen.top_k, 32);
    return;
  }
  MoeConfig config = call.router->config;
  config.moe_intermediate_size = experts.intermediate_size;  // a call says it once
  config.validate();
  if (config.num_experts != experts.num_experts) {
    fail_argument("fused_moe: the router has {} experts, the weights {}", config.num_experts,
                  experts.num_experts);
  }
}

void check_pointers(const FusedMoeCall& call) {
  const auto check = [](const char* name, const void* pointer) {
    if (pointer == nullptr) fail_argument("fused_moe: {} is null", name);
  };
  check("x", call.x);
  check("out", call.out);
  check("gate_up", call.experts.gate_up);
  check("down", call.experts.down);
  if (call.router != nullptr) {
    check("the router's weight", call.router->weight);
  } else {
    check("expert ids", call.chosen.ids);
    check("expert weights", call.chosen.weights);
  }
}

TensorView borrowed(const void* data, DType dtype, Shape shape) {
  return {const_cast<void*>(data), dtype, std::move(shape)};  // nobody writes to it
}

// F32 values of memory of any kind; the memory itself where it is F32.
TensorView widened(const OpContext& ctx, const void* data, DType dtype, Shape shape) {
  if (dtype == DType::kF32) return borrowed(data, dtype, std::move(shape));
  const int64_t count = shape.num_elements();
  auto* to = ctx.workspace->allocate<float>(count);
  constexpr int64_t kGrain = 1 << 15;
  ctx.team->parallel_for(count, kGrain, [&](int64_t begin, int64_t end, int) {
    convert_elements(
        static_cast<const std::byte*>(data) + static_cast<size_t>(begin) * dtype_size(dtype), dtype,
        reinterpret_cast<std::byte*>(to + begin), DType::kF32, static_cast<size_t>(end - begin));
  });
  return {to, DType::kF32, std::move(shape)};
}

// The chosen experts as the ops read them. One that is none becomes the first with weight 0.
void import_chosen(const OpContext& ctx, const FusedMoeCall& call, const Routing& routing) {
  const ChosenExperts& chosen = call.chosen;
  const int64_t num_slots = call.num_tokens * chosen.top_k;
  const TensorView weights =
      widened(ctx, chosen.weights, dtype_of(chosen.weights_kind, "fused_moe"), Shape{num_slots});
  for (int64_t i = 0; i < num_slots; ++i) {
    const int64_t id = chosen.ids_64_bit ? static_cast<const int64_t*>(chosen.ids)[i]
                                         : static_cast<const int32_t*>(chosen.ids)[i];
    const bool valid = id >= 0 && id < call.experts.num_experts;
    routing.expert_ids.as<int32_t>()[i] = valid ? static_cast<int32_t>(id) : 0;
    routing.weights.as<float>()[i] = valid ? weights.as<const float>()[i] : 0.0f;
  }
}

}  // namespace

struct FusedMoe::Impl {
  explicit Impl(int64_t num_threads) : team(static_cast<int>(num_threads)) {}
  void run(const FusedMoeCall& call);

  std::mutex one_at_a_time;
  ThreadTeam team;
  Workspace workspace;
};

void FusedMoe::Impl::run(const FusedMoeCall& call) {
  const ExpertWeights& experts = call.experts;
  const DType dtype = dtype_of(experts.kind, "fused_moe");
  const OpContext ctx{.team = &team,
                      .workspace = &workspace,
                      .compute_dtype = dtype == DType::kBF16 ? DType::kBF16 : DType::kF32};
  workspace.reset();
  const Shape rows{call.num_tokens, experts.hidden_size};
  const TensorView x = widened(ctx, call.x, dtype, rows);
  const Shape slots{call.num_tokens,
                    call.router != nullptr ? call.router->config.top_k : call.chosen.top_k};
  const Routing routing{
      .expert_ids = {workspace.allocate<int32_t>(slots.num_elements()), DType::kI32, slots},
      .weights = {workspace.allocate<float>(slots.num_elements()), DType::kF32, slots}};
  if (call.router != nullptr) {
    const RouterWeights& router = *call.router;
    const TensorView weight = widened(ctx, router.weight, dtype_of(router.kind, "fused_moe"),
                                      Shape{experts.num_experts, experts.hidden_size});
    std::span<const float> bias;
    if (router.selection_bias != nullptr) {
      bias = {router.selection_bias, static_cast<size_t>(experts.num_experts)};
    }
    route(ctx, x, {.codes = weight}, bias, router.config, routing);
  } else {
    import_chosen(ctx, call, routing);
  }
  const int64_t inner = experts.intermediate_size;
  const ExpertsView view{
      .gate_up = {.codes = borrowed(experts.gate_up, dtype,
                                    Shape{experts.num_experts, 2 * inner, experts.hidden_size})},
      .down = {.codes = borrowed(experts.down, dtype,
                                 Shape{experts.num_experts, experts.hidden_size, inner})}};
  TensorView out{call.out, DType::kF32, rows};
  if (dtype != DType::kF32) out.data = workspace.allocate<float>(rows.num_elements());
  grouped_experts(ctx, x, routing, view, out);
  if (dtype == DType::kF32) return;
  team.parallel_for(call.num_tokens, 1, [&](int64_t begin, int64_t end, int) {
    const auto width = static_cast<size_t>(experts.hidden_size);
    convert_elements(
        reinterpret_cast<const std::byte*>(out.as<const float>() +
                                           static_cast<size_t>(begin) * width),
        DType::kF32,
        static_cast<std::byte*>(call.out) + static_cast<size_t>(begin) * width * dtype_size(dtype),
        dtype, static_cast<size_t>(end - begin) * width);
  });
}

FusedMoe::FusedMoe(int64_t num_threads) {
  if (num_threads < 0 || num_threads > 4096) {
    fail_argument("fused_moe: num_threads is {}, wanted 0 to 4096", num_threads);
  }
  impl_ = std::make_unique<Impl>(num_threads);
}
FusedMoe::FusedMoe(FusedMoe&&) noexcept = default;
FusedMoe& FusedMoe::operator=(FusedMoe&&) noexcept = default;
FusedMoe::~FusedMoe() = default;

void FusedMoe::run(const FusedMoeCall& call) {
  check_shapes(call);
  if (call.num_tokens == 0) return;
  check_pointers(call);
  const std::lock_guard lock(impl_->one_at_a_time);
  impl_->run(call);
}

size_t gpu_fused_moe_bytes(const FusedMoeCall& call) {
  check_shapes(call);
  return gpu_fused_moe_workspace(call);
}

void gpu_fused_moe(const FusedMoeCall& call, void* workspace, size_t workspace_bytes,
                   void* stream) {
  check_shapes(call);
  const std::string reason = why_no_gpu_moe(call.experts);
  if (!reason.empty()) fail(ErrorCode::kUnsupported, "fused_moe on a GPU: {}", reason);
  if (call.num_tokens == 0) return;
  check_pointers(call);
  enqueue_gpu_fused_moe(call, workspace, workspace_bytes, stream);
}

std::string why_no_gpu_moe(const ExpertWeights& experts) {
  std::string reason;
  const auto add = [&](const std::string& text) { reason += (reason.empty() ? "" : "; ") + text; };
  if (experts.kind == ElementKind::kFloat32) {
    add("the weights are float32, the kernels take bfloat16 and float16");
  }
  if (experts.hidden_size % 64 != 0) {
    add(fmt::format("hidden_size {} is not a multiple of 64", experts.hidden_size));
  }
  if (experts.intermediate_size % 64 != 0) {
    add(fmt::format("intermediate_size {} is not a multiple of 64", experts.intermediate_size));
  }
  return reason;
}

}  // namespace glmoe
