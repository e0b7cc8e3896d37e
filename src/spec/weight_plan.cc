// The list of logical tensors with their homes in a Hugging Face checkpoint (model_spec: Checkpoint
// tensors). How ranks divide them is in weight_slices.cc.
#include "spec/weight_plan.h"

#include <fmt/format.h>

#include <utility>

namespace glmoe {
namespace {

class PlanBuilder {
 public:
  explicit PlanBuilder(const Glm4MoeConfig& config) : config_(config) { plan_.config = config; }

  WeightPlan build(bool include_mtp) {
    const int64_t vocab = config_.vocab_size, hidden = config_.hidden_size;
    matrix("transformer.vocab_embedding.weight", {vocab, hidden}, ShardRule::kVocabRows,
           "model.embed_tokens.weight");
    for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
      layer_ = layer;
      decoder_layer(fmt::format("transformer.layers.{}.", layer), config_.is_moe_layer(layer));
    }
    layer_ = -1;
    vector("transformer.ln_f.weight", hidden, "model.norm.weight");
    if (!config_.tie_word_embeddings) {
      matrix("lm_head.weight", {vocab, hidden}, ShardRule::kVocabRows, "lm_head.weight");
    }
    if (include_mtp) {
      optional_ = true;
      for (int64_t j = 0; j < config_.num_nextn_predict_layers; ++j) mtp_layer(j);
    }
    return std::move(plan_);
  }

 private:
  // Where the current layer's tensors lie in a checkpoint.
  std::string source(std::string_view rest) const {
    return fmt::format("model.layers.{}.{}", layer_, rest);
  }

  LogicalTensor& add(std::string name, WeightRole role, Shape shape, ShardRule shard) {
    LogicalTensor& tensor = plan_.tensors.emplace_back();
    tensor.name = std::move(name);
    tensor.role = role;
    tensor.shape = shape;
    tensor.shard = shard;
    tensor.layer = layer_;
    tensor.optional = optional_;
    return tensor;
  }

  static SourcePart part(std::string name, int64_t row_begin, int64_t rows, int64_t matrix = 0) {
    SourcePart part;
    part.names = {std::move(name)};
    part.matrix = matrix;
    part.row_begin = row_begin;
    part.rows = rows;
    return part;
  }

  void matrix(std::string name, Shape shape, ShardRule shard, std::string from) {
    add(std::move(name), WeightRole::kMatrix, shape, shard).layouts = {
        {part(std::move(from), 0, shape[0])}};
  }
  void vector(std::string name, int64_t size, std::string from) {
    add(std::move(name), WeightRole::kVector, {size}, ShardRule::kReplicated).layouts = {
        {part(std::move(from), 0, size)}};
  }

  // Weight (`suffix` "weight", cols > 0) or bias of q, k and v as one.
  void qkv(const std::string& name, std::string_view suffix, int64_t cols) {
    const int64_t q = config_.q_size(), kv = config_.kv_size();
    const bool weight = cols > 0;
    const Shape shape = weight ? Shape{q + 2 * kv, cols} : Shape{q + 2 * kv};
    LogicalTensor& tensor =
        add(name + "attention.qkv." + std::string(suffix),
            weight ? WeightRole::kMatrix : WeightRole::kVector, shape, ShardRule::kQkvRows);
    tensor.layouts = {{part(source(fmt::format("self_attn.q_proj.{}", suffix)), 0, q),
                       part(source(fmt::format("self_attn.k_proj.{}", suffix)), q, kv),
                       part(source(fmt::format("self_attn.v_proj.{}", suffix)), q + kv, kv)}};
  }

  // SwiGLU MLP of `width` at `name` ("...mlp." or "...mlp.shared_experts.").
  void mlp(const std::string& name, const std::string& from, int64_t width) {
    const int64_t hidden = config_.hidden_size;
    add(name + "gate_up.weight", WeightRole::kMatrix, {2 * width, hidden}, ShardRule::kGateUpRows)
        .layouts = {{part(source(from + "gate_proj.weight"), 0, width),
                     part(source(from + "up_proj.weight"), width, width)}};
    matrix(name + "down.weight", {hidden, width}, ShardRule::kWidthCols,
           source(from + "down_proj.weight"));
  }

  // One stack on disk, [E, rows, cols], with or without ".weight".
  std::vector<SourcePart> fused_layout(std::string_view projection, int64_t rows) const {
    std::vector<SourcePart> parts;
    const std::string name = source(fmt::format("mlp.experts.{}", projection));
    for (int64_t e = 0; e < config_.moe.num_experts; ++e) {
      SourcePart& stack = parts.emplace_back(part(name, 0, rows, e));
      stack.names.push_back(name + ".weight");
      stack.source_matrix = e;
    }
    return parts;
  }

  void experts(const std::string& name) {
    const int64_t num_experts = config_.moe.num_experts, hidden = config_.hidden_size;
    const int64_t width = config_.moe.moe_intermediate_size;
    std::vector<SourcePart> gate_up, down;
    for (int64_t e = 0; e < num_experts; ++e) {
      const std::string expert = source(fmt::format("mlp.experts.{}.", e));
      gate_up.push_back(part(expert + "gate_proj.weight", 0, width, e));
      gate_up.push_back(part(expert + "up_proj.weight", width, width, e));
      down.push_back(part(expert + "down_proj.weight", 0, hidden, e));
    }
    add(name + "experts.gate_up.weight", WeightRole::kMatrix, {num_experts, 2 * width, hidden},
        ShardRule::kExpertsGateUp)
        .layouts = {std::move(gate_up), fused_layout("gate_up_proj", 2 * width)};
    add(name + "experts.down.weight", WeightRole::kMatrix, {num_experts, hidden, width},
        ShardRule::kExpertsDown)
        .layouts = {std::move(down), fused_layout("down_proj", hidden)};
  }

  void moe(const std::string& name) {
    const int64_t num_experts = config_.moe.num_experts;
    add(name + "router.weight", WeightRole::kRouter, {num_experts, config_.hidden_size},
        ShardRule::kReplicated)
        .layouts = {{part(source("mlp.gate.weight"), 0, num_experts)}};
    if (config_.moe.normalization_mode == ExpertScaleNormalizationMode::kSigmoidBiasRenorm) {
      vector(name + "router.selection_bias", num_experts,
             source("mlp.gate.e_score_correction_bias"));
    }
    experts(name);
    if (config_.moe.num_shared_experts > 0) {
      mlp(name + "shared_experts.", "mlp.shared_experts.",
          config_.moe.shared_expert_intermediate_size());
    }
  }

  void decoder_layer(const std::string& name, bool is_moe) {
    const int64_t hidden = config_.hidden_size;
    vector(name + "input_layernorm.weight", hidden, source("input_layernorm.weight"));
    qkv(name, "weight", hidden);
    if (config_.attention_bias) qkv(name, "bias", 0);
    if (config_.use_qk_norm) {
      vector(name + "attention.q_norm.weight", config_.head_dim, source("self_attn.q_norm.weight"));
      vector(name + "attention.k_norm.weight", config_.head_dim, source("self_attn.k_norm.weight"));
    }
    matrix(name + "attention.dense.weight", {hidden, config_.q_size()}, ShardRule::kHeadCols,
           source("self_attn.o_proj.weight"));
    vector(name + "post_layernorm.weight", hidden, source("post_attention_layernorm.weight"));
    if (is_moe) {
      moe(name + "mlp.");
    } else {
      mlp(name + "mlp.", "mlp.", config_.intermediate_size);
    }
  }

  void mtp_layer(int64_t j) {
    const int64_t vocab = config_.vocab_size, hidden = config_.hidden_size;
    layer_ = config_.num_hidden_layers + j;
    const std::string name = fmt::format("transformer.mtp.{}.", j);
    vector(name + "enorm.weight", hidden, source("enorm.weight"));
    vector(name + "hnorm.weight", hidden, source("hnorm.weight"));
    matrix(name + "eh_proj.weight", {hidden, 2 * hidden}, ShardRule::kReplicated,
           source("eh_proj.weight"));
    // Published MTP layers are MoE whatever the interleaving of the trunk says.
    decoder_layer(name, config_.moe.has_moe());
    vector(name + "shared_head.norm.weight", hidden, source("shared_head.norm.weight"));
    matrix(name + "vocab_embedding.weight", {vocab, hidden}, ShardRule::kVocabRows,
           source("embed_tokens.weight"));
    matrix(name + "lm_head.weight", {vocab, hidden}, ShardRule::kVocabRows,
           source("shared_head.head.weight"));
  }

  const Glm4MoeConfig& config_;
  WeightPlan plan_;
  int64_t layer_ = -1;
  bool optional_ = false;
};

}  // namespace

WeightPlan make_weight_plan(const Glm4MoeConfig& config, bool include_mtp) {
  return PlanBuilder(config).build(include_mtp);
}

}  // namespace glmoe
