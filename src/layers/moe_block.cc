#include "layers/moe_block.h"

#include <cstring>

#include "layers/scratch.h"
#include "ops/linear.h"
#include "ops/router.h"

namespace glmoe {

Glm4MoeBlock::Glm4MoeBlock(const Glm4MoeConfig& config, const MoeWeights& weights,
                           const MoeBackend& backend)
    : config_(config.moe), weights_(weights), backend_(backend) {}

void Glm4MoeBlock::forward(const OpContext& ctx, const TensorView& x, const TensorView& out,
                           std::span<uint64_t> expert_counts) const {
  const Workspace::Scope scope(*ctx.workspace);
  const Shape slots{x.shape[0], config_.top_k};
  const Routing routing{
      .expert_ids = {.data = ctx.workspace->allocate<int32_t>(slots.num_elements()),
                     .dtype = DType::kI32,
                     .shape = slots},
      .weights = scratch_f32(ctx, slots)};
  route(ctx, x, weights_.router, weights_.selection_bias, config_, routing);
  count_experts(routing, expert_counts);

  if (weights_.shared) {
    swiglu_mlp(ctx, x, weights_.shared->gate_up, weights_.shared->down, out);
  } else {
    std::memset(out.data, 0, out.num_bytes());
  }
  backend_.forward(ctx, x, routing, weights_, out);
}

}  // namespace glmoe
