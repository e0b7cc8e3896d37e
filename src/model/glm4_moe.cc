#include "model/glm4_moe.h"

#include <cstring>

#include "base/check.h"
#include "layers/scratch.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/norm.h"

namespace glmoe {
namespace {

// The given rows of x [T, H], in the workspace; x itself where they are all of them.
TensorView gather_rows(const OpContext& ctx, const TensorView& x,
                       const std::vector<int64_t>& rows) {
  const int64_t width = x.shape[1];
  const auto num_rows = static_cast<int64_t>(rows.size());
  if (num_rows == x.shape[0]) return x;
  const TensorView out = scratch_f32(ctx, {num_rows, width});
  for (int64_t i = 0; i < num_rows; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    GLMOE_CHECK_LT(row, x.shape[0]);
    std::memcpy(out.as<float>() + i * width, x.as<float>() + row * width,
                static_cast<size_t>(width) * sizeof(float));
  }
  return out;
}

}  // namespace

Glm4MoeDecoderLayer::Glm4MoeDecoderLayer(const Glm4MoeConfig& config, const LayerWeights& weights,
                                         const MoeBackend& backend, int64_t tokens_per_block)
    : weights_(weights),
      norm_eps_(static_cast<float>(config.rms_norm_eps)),
      attention_(config, weights, tokens_per_block) {
  GLMOE_CHECK(weights.mlp.has_value() != weights.moe.has_value());
  if (weights.moe) moe_.emplace(config, *weights.moe, backend);
}

void Glm4MoeDecoderLayer::attend(const OpContext& ctx, const TensorView& residual,
                                 const TensorView& delta, bool first, const BatchInput& batch,
                                 const RopeTable& rope, const KvLayerView& kv) const {
  const Workspace::Scope scope(*ctx.workspace);
  const TensorView normed = scratch_f32(ctx, residual.shape);
  if (first) {
    rms_norm(ctx, residual, weights_.input_norm, norm_eps_, normed);
  } else {
    add_rms_norm(ctx, residual, delta, weights_.input_norm, norm_eps_, normed);
  }
  attention_.forward(ctx, normed, batch, rope, kv, delta);
}

void Glm4MoeDecoderLayer::feed_forward(const OpContext& ctx, const TensorView& residual,
                                       const TensorView& delta,
                                       std::span<uint64_t> expert_counts) const {
  const Workspace::Scope scope(*ctx.workspace);
  const TensorView normed = scratch_f32(ctx, residual.shape);
  add_rms_norm(ctx, residual, delta, weights_.post_attention_norm, norm_eps_, normed);
  if (moe_) {
    moe_->forward(ctx, normed, delta, expert_counts);
  } else {
    swiglu_mlp(ctx, normed, weights_.mlp->gate_up, weights_.mlp->down, delta);
  }
}

Glm4MoeModel::Glm4MoeModel(const Glm4MoeConfig& config, const Glm4MoeWeights& weights,
                           const MoeBackend& backend, int64_t tokens_per_block)
    : config_(config),
      weights_(weights),
      rope_(config.max_position_embeddings, config.rotary_dim(), config.rope_theta) {
  layers_.reserve(weights.layers.size());
  for (const LayerWeights& layer : weights.layers) {
    layers_.emplace_back(config, layer, backend, tokens_per_block);
    const bool is_moe = layer.moe.has_value();
    expert_counts_.emplace_back(is_moe ? static_cast<size_t>(config.moe.num_experts) : 0, 0);
  }
}

TensorView Glm4MoeModel::forward(const OpContext& ctx, const BatchInput& batch, const KvPool& kv) {
  const Shape all_rows{batch.num_tokens(), config_.hidden_size};
  TensorView residual = scratch_f32(ctx, all_rows);
  TensorView delta = scratch_f32(ctx, all_rows);

  embedding(ctx, batch.token_ids, weights_.embedding, residual);
  if (probe_) probe_(-1, residual);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const KvLayerView layer_kv{kv.layer(static_cast<int64_t>(l))};
    layers_[l].attend(ctx, residual, delta, l == 0, batch, rope_, layer_kv);
    if (l + 1 == layers_.size()) {
      residual = gather_rows(ctx, residual, batch.logit_rows);
      delta = gather_rows(ctx, delta, batch.logit_rows);
    }
    layers_[l].feed_forward(ctx, residual, delta, expert_counts_[l]);
    if (probe_) probe_(static_cast<int64_t>(l), delta);
  }
  const TensorView hidden = scratch_f32(ctx, residual.shape);
  add_rms_norm(ctx, residual, delta, weights_.final_norm, static_cast<float>(config_.rms_norm_eps),
               hidden);
  if (probe_) probe_(static_cast<int64_t>(layers_.size()), hidden);
  return hidden;
}

Glm4MoeForCausalLM::Glm4MoeForCausalLM(const Glm4MoeConfig& config, const Glm4MoeWeights& weights,
                                       MoeBackendKind moe_backend, int64_t tokens_per_block)
    : weights_(weights),
      backend_(make_cpu_moe_backend(moe_backend, config)),
      model_(config, weights, *backend_, tokens_per_block) {}

TensorView Glm4MoeForCausalLM::forward(const OpContext& ctx, const BatchInput& batch,
                                       const KvPool& kv) {
  const TensorView hidden = model_.forward(ctx, batch, kv);
  const TensorView logits = scratch_f32(ctx, {hidden.shape[0], weights_.lm_head.rows()});
  linear(ctx, hidden, weights_.lm_head, {}, logits);
  return logits;
}

}  // namespace glmoe
