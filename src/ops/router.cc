#include "ops/router.h"

#include "kernels/cpu/router/router.h"
#include "ops/checks.h"
#include "ops/linear.h"

namespace glmoe {
namespace {

using ops_internal::check_matrix;

kernels::RouterMode kernel_mode(ExpertScaleNormalizationMode mode) {
  switch (mode) {
    case ExpertScaleNormalizationMode::kNone: return kernels::RouterMode::kNone;
    case ExpertScaleNormalizationMode::kRenormalize: return kernels::RouterMode::kRenormalize;
    case ExpertScaleNormalizationMode::kSparseMixer: return kernels::RouterMode::kSparseMixer;
    case ExpertScaleNormalizationMode::kDeviceLimited: return kernels::RouterMode::kDeviceLimited;
    case ExpertScaleNormalizationMode::kDeviceLimitedRenorm:
      return kernels::RouterMode::kDeviceLimitedRenorm;
    case ExpertScaleNormalizationMode::kSigmoidBiasRenorm: return kernels::RouterMode::kSigmoidBias;
  }
  GLMOE_CHECK(false, "select_experts: unknown mode {}", static_cast<int>(mode));
  return {};
}

kernels::RouterParams kernel_params(const MoeConfig& config, std::span<const float> bias) {
  return {.mode = kernel_mode(config.normalization_mode),
          .num_experts = config.num_experts,
          .top_k = config.top_k,
          .n_group = config.n_group,
          .topk_group = config.topk_group,
          .epsilon = static_cast<float>(config.sparse_mixer_epsilon),
          .scaling_factor = static_cast<float>(config.routed_scaling_factor),
          .normalize = config.norm_topk_prob,
          .bias = bias.empty() ? nullptr : bias.data()};
}

}  // namespace

void route(const OpContext& ctx, const TensorView& x, const QuantView& weight,
           std::span<const float> selection_bias, const MoeConfig& config, const Routing& routing) {
  GLMOE_CHECK(x.shape.rank() == 2, "route: x: wanted a matrix, found the shape {}",
              x.shape.to_string());
  const Workspace::Scope scope(*ctx.workspace);
  const int64_t num_tokens = x.shape[0];
  const TensorView logits{.data = ctx.workspace->allocate<float>(num_tokens * config.num_experts),
                          .dtype = DType::kF32,
                          .shape = Shape{num_tokens, config.num_experts}};
  OpContext exact = ctx;
  exact.compute_dtype = DType::kF32;
  linear(exact, x, weight, {}, logits);
  select_experts(ctx, logits, selection_bias, config, routing);
}

void select_experts(const OpContext& ctx, const TensorView& logits,
                    std::span<const float> selection_bias, const MoeConfig& config,
                    const Routing& routing) {
  constexpr const char* kOp = "select_experts";
  const int64_t num_tokens = logits.shape.rank() == 2 ? logits.shape[0] : 0;
  const int64_t num_experts = config.num_experts, top_k = config.top_k;
  check_matrix(kOp, "logits", logits, DType::kF32, num_tokens, num_experts);
  check_matrix(kOp, "expert_ids", routing.expert_ids, DType::kI32, num_tokens, top_k);
  check_matrix(kOp, "weights", routing.weights, DType::kF32, num_tokens, top_k);
  ops_internal::check_optional(kOp, "selection_bias", selection_bias, num_experts);
  GLMOE_CHECK(top_k >= 1 && top_k <= num_experts, "{}: top_k: wanted 1 to {}, found {}", kOp,
              num_experts, top_k);
  GLMOE_CHECK(config.n_group >= 1 && num_experts % config.n_group == 0 && config.topk_group >= 1 &&
                  config.topk_group <= config.n_group,
              "{}: groups: wanted a divisor of {} and at most as many chosen, found {} and {}", kOp,
              num_experts, config.n_group, config.topk_group);

  const kernels::RouterParams params = kernel_params(config, selection_bias);
  const Workspace::Scope scope(*ctx.workspace);
  const int64_t scratch_floats = kernels::router_scratch_floats(params);
  float* scratch = ctx.workspace->allocate<float>(scratch_floats * ctx.team->size());
  // A token takes well under a microsecond.
  ctx.team->parallel_for(num_tokens, 16, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t t = begin; t < end; ++t) {
      kernels::select_token(
          params, logits.as<const float>() + t * num_experts, scratch + thread * scratch_floats,
          routing.expert_ids.as<int32_t>() + t * top_k, routing.weights.as<float>() + t * top_k);
    }
  });
}

void count_experts(const Routing& routing, std::span<uint64_t> counts) {
  const int64_t num_slots = routing.expert_ids.num_elements();
  for (int64_t i = 0; i < num_slots; ++i) {
    const int32_t expert = routing.expert_ids.as<const int32_t>()[i];
    GLMOE_CHECK(expert >= 0 && static_cast<size_t>(expert) < counts.size(),
                "count_experts: expert of slot {}: wanted 0 to {}, found {}", i,
                static_cast<int64_t>(counts.size()) - 1, expert);
    ++counts[static_cast<size_t>(expert)];
  }
}

}  // namespace glmoe
