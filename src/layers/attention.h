// Self-attention of one layer: QKV projection, QK norm, rotary embedding, paged attention, output.
#pragma once

#include "glmoe/config.h"
#include "layers/batch_input.h"
#include "ops/attention.h"
#include "ops/op_context.h"
#include "weights/glm4_moe_weights.h"

namespace glmoe {

class Glm4MoeAttention {
 public:
  Glm4MoeAttention(const Glm4MoeConfig& config, const LayerWeights& weights,
                   int64_t tokens_per_block);

  // x: [T, H] F32, normalised; out: [T, H] F32, overwritten.
  void forward(const OpContext& ctx, const TensorView& x, const BatchInput& batch,
               const RopeTable& rope, const KvLayerView& kv, const TensorView& out) const;

 private:
  const LayerWeights& weights_;
  AttentionShape shape_;
  float norm_eps_;
};

}  // namespace glmoe
