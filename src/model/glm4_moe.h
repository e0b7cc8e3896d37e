// GLM-4 MoE's forward pass, written out (model_spec 2; Hugging Face modeling_glm4_moe.py).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "cache/kv_pool.h"
#include "glmoe/config.h"
#include "layers/attention.h"
#include "layers/batch_input.h"
#include "layers/moe_backend.h"
#include "layers/moe_block.h"
#include "ops/attention.h"
#include "ops/op_context.h"
#include "weights/glm4_moe_weights.h"

namespace glmoe {

// Called with [T, H] F32: the embedding (layer -1), what each layer adds to the residual stream in
// its second half, and the final norm's output (layer L). For finding where two runs part.
using LayerProbe = std::function<void(int64_t layer, const TensorView& hidden)>;

// One layer: attention, then a dense MLP or the MoE block, each behind its norm and a residual.
class Glm4MoeDecoderLayer {
 public:
  Glm4MoeDecoderLayer(const Glm4MoeConfig& config, const LayerWeights& weights,
                      const MoeBackend& backend, int64_t tokens_per_block);

  // Both: residual [T, H] F32, in and out; delta [T, H] is what the block before computed, not yet
  // added to residual (sum and norm are one pass over memory); on return it is this block's output.
  void attend(const OpContext& ctx, const TensorView& residual, const TensorView& delta, bool first,
              const BatchInput& batch, const RopeTable& rope, const KvLayerView& kv) const;
  void feed_forward(const OpContext& ctx, const TensorView& residual, const TensorView& delta,
                    std::span<uint64_t> expert_counts) const;

 private:
  const LayerWeights& weights_;
  float norm_eps_;
  Glm4MoeAttention attention_;
  std::optional<Glm4MoeBlock> moe_;
};

// Embedding, layers, final norm.
class Glm4MoeModel {
 public:
  Glm4MoeModel(const Glm4MoeConfig& config, const Glm4MoeWeights& weights,
               const MoeBackend& backend, int64_t tokens_per_block);

  // Normalised output of the last layer for batch.logit_rows: [rows, H] F32 in the workspace. The
  // other rows end with the last layer's attention, where their KV is written.
  TensorView forward(const OpContext& ctx, const BatchInput& batch, const KvPool& kv);

  void set_probe(LayerProbe probe) { probe_ = std::move(probe); }
  // Tokens routed to each expert since the start: [L][E], empty for dense layers.
  const std::vector<std::vector<uint64_t>>& expert_counts() const { return expert_counts_; }

 private:
  const Glm4MoeConfig& config_;
  const Glm4MoeWeights& weights_;
  RopeTable rope_;
  std::vector<Glm4MoeDecoderLayer> layers_;
  std::vector<std::vector<uint64_t>> expert_counts_;
  LayerProbe probe_;
};

// The model with its language-modelling head. Keeps references: config and weights outlive it.
class Glm4MoeForCausalLM {
 public:
  Glm4MoeForCausalLM(const Glm4MoeConfig& config, const Glm4MoeWeights& weights,
                     MoeBackendKind moe_backend, int64_t tokens_per_block);

  // Logits of batch.logit_rows: [rows, V] F32 in the step's workspace, valid until it is reset.
  TensorView forward(const OpContext& ctx, const BatchInput& batch, const KvPool& kv);

  Glm4MoeModel& model() { return model_; }
  const Glm4MoeModel& model() const { return model_; }
  const MoeBackend& moe_backend() const { return *backend_; }

 private:
  const Glm4MoeWeights& weights_;
  std::unique_ptr<MoeBackend> backend_;
  Glm4MoeModel model_;
};

}  // namespace glmoe
