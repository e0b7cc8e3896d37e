#include "weights/loaded_weights.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "spec/weight_plan.h"

namespace glmoe {
namespace {

class Binder {
 public:
  explicit Binder(const BlobSet& blobs) : blobs_(blobs), config_(blobs.config) {}

  // Everything that the plan wants, before any view is made.
  void check() const {
    std::vector<std::string> reasons;
    for (const LogicalTensor& tensor : make_weight_plan(config_, has_mtp()).tensors) {
      const auto it = blobs_.tensors.find(tensor.name);
      if (it == blobs_.tensors.end()) {
        if (!is_mtp_copy(tensor)) reasons.push_back(tensor.name + " is missing");
        continue;
      }
      const TensorView& view = it->second;
      const DType wanted = stored_dtype(tensor, blobs_.dtype);
      if (!(view.shape == tensor.shape) || view.dtype != wanted) {
        reasons.push_back(fmt::format("{}: {} {} was wanted, found {} {}", tensor.name,
                                      dtype_name(wanted), tensor.shape.to_string(),
                                      dtype_name(view.dtype), view.shape.to_string()));
      }
    }
    fail_with_reasons(ErrorCode::kCorrupt,
                      blobs_.folder + ": the weights do not fit the configuration", reasons);
  }

  Glm4MoeWeights bind() const {
    Glm4MoeWeights weights;
    weights.embedding = matrix("transformer.vocab_embedding.weight");
    for (int64_t l = 0; l < config_.num_hidden_layers; ++l) {
      weights.layers.push_back(
          layer(fmt::format("transformer.layers.{}.", l), config_.is_moe_layer(l)));
    }
    weights.final_norm = vector("transformer.ln_f.weight");
    weights.lm_head = config_.tie_word_embeddings ? weights.embedding : matrix("lm_head.weight");
    for (int64_t j = 0; j < config_.num_nextn_predict_layers; ++j) {
      weights.mtp.push_back(mtp(fmt::format("transformer.mtp.{}.", j), weights));
    }
    return weights;
  }

 private:
  bool has_mtp() const { return config_.num_nextn_predict_layers > 0; }
  static bool is_mtp_copy(const LogicalTensor& tensor) {
    return tensor.optional && (tensor.name.ends_with(".vocab_embedding.weight") ||
                               tensor.name.ends_with(".lm_head.weight"));
  }
  bool has(const std::string& name) const { return blobs_.tensors.count(name) != 0; }

  QuantView matrix(const std::string& name) const { return {blobs_.tensors.at(name), {}}; }
  QuantView matrix_or(const std::string& name, const QuantView& fallback) const {
    return has(name) ? matrix(name) : fallback;
  }
  // Empty where the model has none; check() has seen to those that it must have.
  std::span<const float> vector(const std::string& name) const {
    const auto it = blobs_.tensors.find(name);
    if (it == blobs_.tensors.end()) return {};
    return {it->second.as<const float>(), static_cast<size_t>(it->second.num_elements())};
  }

  MlpWeights mlp(const std::string& name) const {
    return {matrix(name + "gate_up.weight"), matrix(name + "down.weight")};
  }

  MoeWeights moe(const std::string& name) const {
    MoeWeights moe;
    moe.router = matrix(name + "router.weight");
    moe.selection_bias = vector(name + "router.selection_bias");
    moe.experts_gate_up = matrix(name + "experts.gate_up.weight");
    moe.experts_down = matrix(name + "experts.down.weight");
    if (config_.moe.num_shared_experts > 0) moe.shared = mlp(name + "shared_experts.");
    return moe;
  }

  LayerWeights layer(const std::string& name, bool is_moe) const {
    LayerWeights layer;
    layer.input_norm = vector(name + "input_layernorm.weight");
    layer.qkv = matrix(name + "attention.qkv.weight");
    layer.qkv_bias = vector(name + "attention.qkv.bias");
    layer.q_norm = vector(name + "attention.q_norm.weight");
    layer.k_norm = vector(name + "attention.k_norm.weight");
    layer.o = matrix(name + "attention.dense.weight");
    layer.post_attention_norm = vector(name + "post_layernorm.weight");
    if (is_moe) {
      layer.moe = moe(name + "mlp.");
    } else {
      layer.mlp = mlp(name + "mlp.");
    }
    return layer;
  }

  MtpWeights mtp(const std::string& name, const Glm4MoeWeights& trunk) const {
    MtpWeights mtp;
    mtp.enorm = vector(name + "enorm.weight");
    mtp.hnorm = vector(name + "hnorm.weight");
    mtp.eh_proj = matrix(name + "eh_proj.weight");
    mtp.layer = layer(name, config_.moe.has_moe());
    mtp.final_norm = vector(name + "shared_head.norm.weight");
    mtp.embedding = matrix_or(name + "vocab_embedding.weight", trunk.embedding);
    mtp.head = matrix_or(name + "lm_head.weight", trunk.lm_head);
    return mtp;
  }

  const BlobSet& blobs_;
  const Glm4MoeConfig& config_;
};

}  // namespace

LoadedWeights::LoadedWeights(BlobSet blobs) : blobs_(std::move(blobs)) {
  const Binder binder(blobs_);
  binder.check();
  weights_ = binder.bind();
}

}  // namespace glmoe
