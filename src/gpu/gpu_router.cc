#include "gpu/gpu_router.h"

namespace glmoe {
namespace {

cuda::MoeRouterMode router_mode(ExpertScaleNormalizationMode mode) {
  switch (mode) {
    case ExpertScaleNormalizationMode::kNone: return cuda::MoeRouterMode::kNone;
    case ExpertScaleNormalizationMode::kRenormalize: return cuda::MoeRouterMode::kRenormalize;
    case ExpertScaleNormalizationMode::kSparseMixer: return cuda::MoeRouterMode::kSparseMixer;
    case ExpertScaleNormalizationMode::kDeviceLimited: return cuda::MoeRouterMode::kDeviceLimited;
    case ExpertScaleNormalizationMode::kDeviceLimitedRenorm:
      return cuda::MoeRouterMode::kDeviceLimitedRenorm;
    case ExpertScaleNormalizationMode::kSigmoidBiasRenorm: return cuda::MoeRouterMode::kSigmoidBias;
  }
  return cuda::MoeRouterMode::kNone;
}

}  // namespace

cuda::MoeRouterParams moe_router_shape(const Glm4MoeConfig& config) {
  const MoeConfig& moe = config.moe;
  cuda::MoeRouterParams p;
  p.hidden_size = static_cast<int>(config.hidden_size);
  p.mode = router_mode(moe.normalization_mode);
  p.num_experts = static_cast<int>(moe.num_experts);
  p.top_k = static_cast<int>(moe.top_k);
  p.num_shared = static_cast<int>(moe.num_shared_experts);
  p.n_group = static_cast<int>(moe.n_group);
  p.topk_group = static_cast<int>(moe.topk_group);
  p.epsilon = static_cast<float>(moe.sparse_mixer_epsilon);
  p.scaling_factor = static_cast<float>(moe.routed_scaling_factor);
  p.normalize = moe.norm_topk_prob;
  return p;
}

cuda::MoeRouterParams moe_router_params(const Glm4MoeConfig& config, const GpuMoe& weights,
                                        const GpuRouting& routing) {
  cuda::MoeRouterParams p = moe_router_shape(config);
  p.weight = weights.router;
  p.selection_bias = weights.selection_bias;
  p.expert_ids = routing.expert_ids;
  p.weights = routing.weights;
  p.expert_offsets = routing.expert_offsets;
  p.sorted_slot = routing.sorted_slot;
  p.position_of = routing.position_of;
  return p;
}

}  // namespace glmoe
