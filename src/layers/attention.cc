#include "layers/attention.h"

#include "layers/scratch.h"
#include "ops/linear.h"

namespace glmoe {

Glm4MoeAttention::Glm4MoeAttention(const Glm4MoeConfig& config, const LayerWeights& weights,
                                   int64_t tokens_per_block)
    : weights_(weights),
      shape_{.num_heads = config.num_attention_heads,
             .num_kv_heads = config.num_key_value_heads,
             .head_dim = config.head_dim,
             .tokens_per_block = tokens_per_block},
      norm_eps_(static_cast<float>(config.rms_norm_eps)) {}

void Glm4MoeAttention::forward(const OpContext& ctx, const TensorView& x, const BatchInput& batch,
                               const RopeTable& rope, const KvLayerView& kv,
                               const TensorView& out) const {
  const Workspace::Scope scope(*ctx.workspace);
  const int64_t num_tokens = batch.num_tokens();
  const TensorView qkv = scratch_f32(ctx, {num_tokens, weights_.qkv.rows()});
  const TensorView attended = scratch_f32(ctx, {num_tokens, shape_.num_heads * shape_.head_dim});

  linear(ctx, x, weights_.qkv, weights_.qkv_bias, qkv);
  rope_and_write_kv(ctx, qkv, shape_, batch.sequences, rope, weights_.q_norm, weights_.k_norm,
                    norm_eps_, kv);
  paged_attention(ctx, qkv, shape_, batch.sequences, kv, attended);
  linear(ctx, attended, weights_.o, {}, out);
}

}  // namespace glmoe
