// The dialects of config.json. Fields have the same names in all of them but for the MoE part,
// where published files and the generic form differ in names and in defaults.
#include "spec/config_json.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "spec/quant_json.h"

namespace glmoe {
namespace {

constexpr std::string_view kArchitecture = "Glm4MoeForCausalLM";
constexpr std::string_view kModelType = "glm4_moe";

[[noreturn]] void fail_architecture(const std::string& what, std::string_view field,
                                    std::string_view found) {
  std::string_view why;
  if (found == "glm4_moe_lite" || found == "Glm4MoeLiteForCausalLM") {
    why = "; GLM-4.7-Flash has latent attention (MLA), which is another architecture";
  } else if (found == "glm_moe_dsa" || found == "GlmMoeDsaForCausalLM") {
    why = "; GLM-5 has latent and sparse attention (DSA), which is another architecture";
  }
  fail(ErrorCode::kUnsupported, "{}: field '{}' is '{}', wanted {} ('{}'){}", what, field, found,
       kArchitecture, kModelType, why);
}

void check_architecture(const JsonReader& reader) {
  bool named = false;
  for (const std::string_view field : {"model_type", "chatglm_version"}) {
    if (!reader.has(field)) continue;
    named = true;
    const std::string found = reader.string(field);
    if (found != kModelType) fail_architecture(reader.what(), field, found);
  }
  if (reader.has("architecture")) {
    named = true;
    const std::string found = reader.string("architecture");
    if (found != kArchitecture) fail_architecture(reader.what(), "architecture", found);
  }
  if (reader.has("architectures")) {
    const Json& list = reader.raw("architectures");
    if (!list.is_array() || list.empty() || !list[0].is_string()) {
      fail(ErrorCode::kCorrupt, "{}: field 'architectures': a list of names was wanted",
           reader.what());
    }
    named = true;
    const auto found = list[0].get<std::string>();
    if (found != kArchitecture) fail_architecture(reader.what(), "architectures", found);
  }
  if (!named) {
    fail(ErrorCode::kUnsupported,
         "{}: none of 'architectures', 'model_type' and 'chatglm_version' is there, wanted '{}'",
         reader.what(), kModelType);
  }
}

int32_t token_id(const JsonReader& reader, std::string_view key, const Json& value) {
  if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kCorrupt,
         "{}: field '{}': token ids from 0 to 2147483647 were wanted, found {}", reader.what(), key,
         value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
  }
  return value.get<int32_t>();
}

std::vector<int32_t> token_ids(const JsonReader& reader, std::string_view key) {
  std::vector<int32_t> ids;
  if (!reader.has(key)) return ids;
  const Json& value = reader.raw(key);
  if (!value.is_array()) return {token_id(reader, key, value)};
  for (const Json& entry : value) ids.push_back(token_id(reader, key, entry));
  return ids;
}

// "default" or null; anything else would change the angles.
void require_plain_rope(const JsonReader& rope) {
  for (const std::string_view key : {"rope_type", "type"}) {
    if (!rope.has(key)) continue;
    const std::string kind = rope.string(key);
    if (kind != "default") {
      fail(ErrorCode::kUnsupported, "{}: '{}' is '{}', only 'default' is supported", rope.what(),
           key, kind);
    }
  }
}

// transformers >= 5 keeps everything in rope_parameters, earlier files at the top.
void read_rope(const JsonReader& reader, Glm4MoeConfig& config) {
  config.rope_theta = reader.number_or("rope_theta", 10000.0);
  config.partial_rotary_factor = reader.number_or("partial_rotary_factor", 0.5);
  if (reader.has("rope_scaling")) require_plain_rope(reader.object("rope_scaling"));
  if (!reader.has("rope_parameters")) return;
  const JsonReader rope = reader.object("rope_parameters");
  require_plain_rope(rope);
  config.rope_theta = rope.number_or("rope_theta", config.rope_theta);
  config.partial_rotary_factor =
      rope.number_or("partial_rotary_factor", config.partial_rotary_factor);
}

void read_published_moe(const JsonReader& reader, Glm4MoeConfig& config) {
  MoeConfig& moe = config.moe;
  moe.normalization_mode = ExpertScaleNormalizationMode::kSigmoidBiasRenorm;
  moe.num_experts = reader.integer("n_routed_experts");
  moe.top_k = reader.integer("num_experts_per_tok");
  moe.num_shared_experts = reader.integer_or("n_shared_experts", 1);
  moe.moe_intermediate_size = reader.integer("moe_intermediate_size");
  moe.n_group = reader.integer_or("n_group", 1);
  moe.topk_group = reader.integer_or("topk_group", 1);
  moe.norm_topk_prob = reader.boolean_or("norm_topk_prob", true);
  moe.routed_scaling_factor = reader.number_or("routed_scaling_factor", 1.0);
  config.first_k_dense_replace = reader.integer_or("first_k_dense_replace", 1);
  config.interleave_moe_layer_step = 1;
}

ExpertScaleNormalizationMode normalization_mode(const JsonReader& moe) {
  if (!moe.has("normalization_mode")) return ExpertScaleNormalizationMode::kRenormalize;
  if (moe.raw("normalization_mode").is_string()) {
    ExpertScaleNormalizationMode mode{};
    check_from_file(moe.what(),
                    [&] { mode = normalization_mode_from_name(moe.string("normalization_mode")); });
    return mode;
  }
  const int64_t number = moe.integer("normalization_mode");
  if (number < 0 || number > 5) {
    fail(ErrorCode::kCorrupt, "{}: normalization_mode is {}, wanted 0 to 5 or a name", moe.what(),
         number);
  }
  return static_cast<ExpertScaleNormalizationMode>(number);
}

// `moe` is the object "moe" where there is one, else the top.
void read_generic_moe(const JsonReader& top, const JsonReader& moe, Glm4MoeConfig& config) {
  MoeConfig& out = config.moe;
  out.num_experts = moe.integer_or("num_experts", 8);
  out.top_k = moe.integer_or("top_k", out.num_experts == 0 ? 0 : 2);
  out.normalization_mode = normalization_mode(moe);
  out.sparse_mixer_epsilon = moe.number_or("sparse_mixer_epsilon", 0.01);
  const auto integer_of = [&moe](std::string_view name, std::string_view other) {
    return moe.has(name) ? moe.integer(name) : moe.integer_or(other, 1);
  };
  out.n_group = integer_of("n_group", "device_limited_n_group");
  out.topk_group = integer_of("topk_group", "device_limited_topk_group");
  out.routed_scaling_factor = moe.number_or(
      "routed_scaling_factor", moe.number_or("device_limited_routed_scaling_factor", 1.0));
  out.norm_topk_prob = moe.boolean_or("norm_topk_prob", true);
  out.moe_intermediate_size = moe.integer_or("moe_intermediate_size", config.intermediate_size);
  out.num_shared_experts = moe.integer_or("num_shared_experts", 0);
  config.interleave_moe_layer_step = top.integer_or("interleave_moe_layer_step", 2);
  config.first_k_dense_replace = top.integer_or("first_k_dense_replace", 0);
}

void read_moe(const JsonReader& reader, Glm4MoeConfig& config) {
  const bool published = reader.has("n_routed_experts");
  const bool generic = reader.has("moe") || reader.has("num_experts") || reader.has("top_k");
  if (published && generic) {
    fail(ErrorCode::kCorrupt,
         "{}: 'n_routed_experts' and '{}' contradict each other: keep the published names or the "
         "generic ones",
         reader.what(),
         reader.has("moe")           ? "moe"
         : reader.has("num_experts") ? "num_experts"
                                     : "top_k");
  }
  // A published file without its expert count must not turn into a generic model of 8 experts.
  if (published || (!generic && !reader.has("chatglm_version"))) {
    read_published_moe(reader, config);
  } else if (reader.has("moe")) {
    read_generic_moe(reader, reader.object("moe"), config);
  } else {
    read_generic_moe(reader, reader, config);
  }
}

void read_attention(const JsonReader& reader, Glm4MoeConfig& config) {
  config.num_attention_heads = reader.integer("num_attention_heads");
  config.num_key_value_heads = reader.integer_or("num_key_value_heads", config.num_attention_heads);
  const bool heads_given = config.num_attention_heads > 0;  // validate() refuses the rest by name
  config.head_dim = reader.integer_or(
      "head_dim", heads_given ? config.hidden_size / config.num_attention_heads : 0);
  config.attention_bias = reader.boolean_or("attention_bias", false);
  config.use_qk_norm = reader.boolean_or("use_qk_norm", false);
}

}  // namespace

Glm4MoeConfig config_from_json(const Json& json, const std::string& what) {
  const JsonReader reader(json, what);
  check_architecture(reader);
  const std::string activation = reader.string_or("hidden_act", "silu");
  if (activation != "silu") {
    fail(ErrorCode::kUnsupported, "{}: field 'hidden_act' is '{}', only 'silu' is supported", what,
         activation);
  }
  Glm4MoeConfig config;
  config.dtype = reader.string_or("dtype", reader.string_or("torch_dtype", "bfloat16"));
  config.vocab_size = reader.integer_or("vocab_size", 151552);
  config.hidden_size = reader.integer("hidden_size");
  config.intermediate_size = reader.integer("intermediate_size");
  config.num_hidden_layers = reader.integer("num_hidden_layers");
  config.max_position_embeddings = reader.integer_or("max_position_embeddings", 131072);
  config.rms_norm_eps = reader.number_or("rms_norm_eps", 1e-5);
  config.tie_word_embeddings = reader.boolean_or("tie_word_embeddings", false);
  config.num_nextn_predict_layers = reader.integer_or("num_nextn_predict_layers", 0);
  read_attention(reader, config);
  read_rope(reader, config);
  read_moe(reader, config);
  config.eos_token_ids = token_ids(reader, "eos_token_id");
  if (reader.has("pad_token_id") && reader.raw("pad_token_id") != -1) {
    config.pad_token_id = token_id(reader, "pad_token_id", reader.raw("pad_token_id"));
  }
  if (reader.has("quantization_config")) {
    config.quantization = quantization_from_published(reader.object("quantization_config"));
  } else if (reader.has("quantization")) {
    config.quantization = quantization_from_json(reader.object("quantization"));
  }
  check_from_file(what, [&] { config.validate(); });
  return config;
}

Json config_to_json(const Glm4MoeConfig& config) {
  const MoeConfig& moe = config.moe;
  return {{"architecture", config.architecture},
          {"chatglm_version", config.chatglm_version},
          {"dtype", config.dtype},
          {"vocab_size", config.vocab_size},
          {"hidden_size", config.hidden_size},
          {"intermediate_size", config.intermediate_size},
          {"num_hidden_layers", config.num_hidden_layers},
          {"num_attention_heads", config.num_attention_heads},
          {"num_key_value_heads", config.num_key_value_heads},
          {"head_dim", config.head_dim},
          {"partial_rotary_factor", config.partial_rotary_factor},
          {"rope_theta", config.rope_theta},
          {"max_position_embeddings", config.max_position_embeddings},
          {"rms_norm_eps", config.rms_norm_eps},
          {"hidden_act", "silu"},
          {"attention_bias", config.attention_bias},
          {"use_qk_norm", config.use_qk_norm},
          {"tie_word_embeddings", config.tie_word_embeddings},
          {"num_nextn_predict_layers", config.num_nextn_predict_layers},
          {"first_k_dense_replace", config.first_k_dense_replace},
          {"interleave_moe_layer_step", config.interleave_moe_layer_step},
          {"eos_token_id", config.eos_token_ids},
          {"pad_token_id", config.pad_token_id},
          {"moe",
           {{"num_experts", moe.num_experts},
            {"top_k", moe.top_k},
            {"normalization_mode", normalization_mode_name(moe.normalization_mode)},
            {"sparse_mixer_epsilon", moe.sparse_mixer_epsilon},
            {"n_group", moe.n_group},
            {"topk_group", moe.topk_group},
            {"routed_scaling_factor", moe.routed_scaling_factor},
            {"norm_topk_prob", moe.norm_topk_prob},
            {"moe_intermediate_size", moe.moe_intermediate_size},
            {"num_shared_experts", moe.num_shared_experts}}},
          {"quantization", quantization_to_json(config.quantization)}};
}

void require_plain_checkpoint(const Glm4MoeConfig& config) {
  if (config.quantization.quant_algo == QuantAlgo::kNone) return;
  fail(ErrorCode::kUnsupported,
       "quantised checkpoints are not supported by this build yet (found {}): use the bfloat16 "
       "checkpoint",
       quant_algo_name(config.quantization.quant_algo));
}

}  // namespace glmoe
