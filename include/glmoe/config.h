// The model's configuration: what config.json says, in one struct, with every default written out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "glmoe/mapping.h"
#include "glmoe/quantization.h"

namespace glmoe {

// How router logits become the weights of the chosen experts (TensorRT-LLM's names and meaning).
enum class ExpertScaleNormalizationMode {
  kNone = 0,                 // softmax over all experts; the top k keep their probability
  kRenormalize = 1,          // the same, divided by their sum
  kSparseMixer = 2,          // SparseMixer (arXiv 2310.00811), top_k 2, with sparse_mixer_epsilon
  kDeviceLimited = 3,        // softmax, group-limited choice (group score = its maximum), scaled
  kDeviceLimitedRenorm = 4,  // the same, divided by the sum of the chosen: a factor cancels
  kSigmoidBiasRenorm = 5,  // GLM-4 MoE: sigmoid; bias only to choose; group score = its two largest
};

std::string_view normalization_mode_name(ExpertScaleNormalizationMode mode);  // "RENORMALIZE", ...
ExpertScaleNormalizationMode normalization_mode_from_name(std::string_view name);

struct MoeConfig {
  using ExpertScaleNormalizationMode = glmoe::ExpertScaleNormalizationMode;

  int64_t num_experts = 8;
  int64_t top_k = 2;
  ExpertScaleNormalizationMode normalization_mode = ExpertScaleNormalizationMode::kRenormalize;
  double sparse_mixer_epsilon = 0.01;
  int64_t n_group = 1;                 // groups of experts; num_experts is divisible by it
  int64_t topk_group = 1;              // groups that may be chosen from
  double routed_scaling_factor = 1.0;  // DEVICE_LIMITED and SIGMOID_BIAS_RENORM only
  bool norm_topk_prob = true;          // SIGMOID_BIAS_RENORM only: divide by the sum of the chosen
  int64_t moe_intermediate_size = 0;   // I: inner width of one expert
  int64_t num_shared_experts = 0;      // always-on experts, fused into one MLP of width I * this

  bool has_moe() const { return num_experts > 1; }
  int64_t shared_expert_intermediate_size() const {
    return num_shared_experts * moe_intermediate_size;
  }
  // num_experts and top_k both zero or both positive, top_k <= num_experts, groups divide, ...
  // Throws kInvalidArgument naming the field.
  void validate() const;
  bool operator==(const MoeConfig&) const = default;
};

// Field names are Hugging Face's. Shapes below: H hidden_size, V vocab_size, D head_dim.
struct Glm4MoeConfig {
  std::string architecture = "Glm4MoeForCausalLM";
  std::string chatglm_version = "glm4_moe";
  std::string dtype = "bfloat16";  // of the checkpoint's matrices: float32, bfloat16 or float16

  int64_t vocab_size = 151552;        // V
  int64_t hidden_size = 4096;         // H
  int64_t intermediate_size = 10944;  // F, inner width of the dense layers' MLP
  int64_t num_hidden_layers = 46;     // L, without the MTP layers
  int64_t num_attention_heads = 96;   // Hq
  int64_t num_key_value_heads = 8;    // Hkv
  int64_t head_dim = 128;             // D, not H / Hq
  double partial_rotary_factor = 0.5;
  double rope_theta = 10000.0;
  int64_t max_position_embeddings = 131072;  // tokens
  double rms_norm_eps = 1e-5;
  bool attention_bias = false;  // on q, k and v; never on o
  bool use_qk_norm = false;
  bool tie_word_embeddings = false;
  int64_t num_nextn_predict_layers = 0;  // MTP layers, stored after layer L-1

  // Layer l is MoE when l >= first_k_dense_replace and (l + 1) % interleave_moe_layer_step == 0.
  // Published models: k = 1 or 3, step 1. Generic configurations: k = 0, step 2 (layers 1,
  // 3, 5...).
  int64_t first_k_dense_replace = 1;
  int64_t interleave_moe_layer_step = 1;

  MoeConfig moe;
  QuantConfig quantization;

  std::vector<int32_t> eos_token_ids;
  int32_t pad_token_id = -1;  // -1: none

  bool is_moe_layer(int64_t layer) const;
  int64_t num_moe_layers() const;
  int64_t rotary_dim() const { return static_cast<int64_t>(head_dim * partial_rotary_factor); }
  int64_t q_size() const { return num_attention_heads * head_dim; }
  int64_t kv_size() const { return num_key_value_heads * head_dim; }

  // Every range and divisibility rule of the architecture. Throws kInvalidArgument naming the
  // field, the value found and what is allowed.
  void validate() const;
  // Rules that tie the model to a mapping: heads, experts, layers. Throws kInvalidArgument; for
  // experts the message lists the expert-parallel sizes that would do.
  void validate_mapping(const Mapping& mapping) const;

  // "glm-4.5", "glm-4.5-air", "glm-4.6", "glm-4.7", "demo". Throws kNotFound with the list.
  static Glm4MoeConfig preset(std::string_view name);
  static std::vector<std::string> preset_names();
  // config.json as Hugging Face publishes it, the generic form, or a converted folder's.
  static Glm4MoeConfig from_file(const std::string& path);
  bool operator==(const Glm4MoeConfig&) const = default;
};
using ChatGLMConfig = Glm4MoeConfig;

}  // namespace glmoe
