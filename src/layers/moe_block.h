// The MoE block: router, routed experts by a backend, shared expert (model_spec 2.4, 2.5).
#pragma once

#include <cstdint>
#include <span>

#include "glmoe/config.h"
#include "layers/moe_backend.h"
#include "ops/op_context.h"
#include "weights/glm4_moe_weights.h"

namespace glmoe {

class Glm4MoeBlock {
 public:
  Glm4MoeBlock(const Glm4MoeConfig& config, const MoeWeights& weights, const MoeBackend& backend);

  // out = SharedExpert(x) + sum of routed experts. x, out: [T, H] F32. Adds the number of tokens
  // that each expert got to `expert_counts` [E].
  void forward(const OpContext& ctx, const TensorView& x, const TensorView& out,
               std::span<uint64_t> expert_counts) const;

 private:
  const MoeConfig& config_;
  const MoeWeights& weights_;
  const MoeBackend& backend_;
};

}  // namespace glmoe
