// The published models by name, and the demo: enough to plan and to bench without a checkpoint.
#include <utility>

#include "base/error.h"
#include "glmoe/config.h"

namespace glmoe {
namespace {

// What GLM-4.5, 4.5-Air, 4.6 and 4.7 have in common.
Glm4MoeConfig published() {
  Glm4MoeConfig config;
  config.rope_theta = 1e6;
  config.attention_bias = true;
  config.num_nextn_predict_layers = 1;
  config.eos_token_ids = {151329, 151336, 151338};
  config.pad_token_id = 151329;
  config.moe.normalization_mode = ExpertScaleNormalizationMode::kSigmoidBiasRenorm;
  config.moe.top_k = 8;
  config.moe.num_shared_experts = 1;
  return config;
}

Glm4MoeConfig glm_4_5_air() {
  Glm4MoeConfig config = published();
  config.moe.num_experts = 128;
  config.moe.moe_intermediate_size = 1408;
  return config;
}

Glm4MoeConfig glm_4_5() {
  Glm4MoeConfig config = published();
  config.hidden_size = 5120;
  config.intermediate_size = 12288;
  config.num_hidden_layers = 92;
  config.use_qk_norm = true;
  config.first_k_dense_replace = 3;
  config.moe.num_experts = 160;
  config.moe.moe_intermediate_size = 1536;
  config.moe.routed_scaling_factor = 2.5;
  return config;
}

Glm4MoeConfig glm_4_6() {
  Glm4MoeConfig config = glm_4_5();
  config.max_position_embeddings = 202752;
  return config;
}

// models/glm4-moe-demo/config.json.
Glm4MoeConfig demo() {
  Glm4MoeConfig config = published();
  config.vocab_size = 8192;
  config.hidden_size = 256;
  config.intermediate_size = 768;
  config.num_hidden_layers = 6;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.max_position_embeddings = 4096;
  config.use_qk_norm = true;
  config.eos_token_ids = {8160, 8167, 8169};
  config.pad_token_id = 8160;
  config.moe.num_experts = 16;
  config.moe.top_k = 4;
  config.moe.moe_intermediate_size = 128;
  config.moe.routed_scaling_factor = 1.5;
  return config;
}

constexpr std::pair<std::string_view, Glm4MoeConfig (*)()> kPresets[] = {
    {"glm-4.5", glm_4_5}, {"glm-4.5-air", glm_4_5_air}, {"glm-4.6", glm_4_6}, {"glm-4.7", glm_4_6},
    {"demo", demo},
};

}  // namespace

Glm4MoeConfig Glm4MoeConfig::preset(std::string_view name) {
  std::string known;
  for (const auto& [preset_name, make] : kPresets) {
    if (preset_name == name) return make();
    known += (known.empty() ? "" : ", ") + std::string(preset_name);
  }
  fail(ErrorCode::kNotFound, "preset '{}' is not known: use one of {}", name, known);
}

std::vector<std::string> Glm4MoeConfig::preset_names() {
  std::vector<std::string> names;
  for (const auto& entry : kPresets) names.emplace_back(entry.first);
  return names;
}

}  // namespace glmoe
