#include "spec/config_json.h"

#include <gmock/gmock.h>

#include "glmoe/error.h"

namespace glmoe {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using Mode = ExpertScaleNormalizationMode;

Json published() { return read_json_file(GLMOE_MODELS "/glm4-moe-demo/config.json"); }

Json generic() {
  return {{"chatglm_version", "glm4_moe"},
          {"hidden_size", 64},
          {"intermediate_size", 160},
          {"num_hidden_layers", 4},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 32}};
}

Json with(Json json, const char* key, Json value) {
  json[key] = std::move(value);
  return json;
}

std::string refusal(const Json& json, ErrorCode code) {
  try {
    config_from_json(json, "x/config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("x/config.json"));
    return error.what();
  }
  return "accepted";
}

TEST(ConfigFromJson, ReadsEveryGoldenFolder) {
  for (const char* name : {"air", "large", "grouped", "nonorm", "tied", "fullrope"}) {
    const std::string path = std::string(GLMOE_TEST_DATA "/goldens/") + name + "/config.json";
    const Glm4MoeConfig config = Glm4MoeConfig::from_file(path);
    EXPECT_EQ(config.moe.normalization_mode, Mode::kSigmoidBiasRenorm) << name;
    EXPECT_EQ(config.interleave_moe_layer_step, 1) << name;
  }
  const auto nonorm = Glm4MoeConfig::from_file(GLMOE_TEST_DATA "/goldens/nonorm/config.json");
  EXPECT_FALSE(nonorm.moe.norm_topk_prob);
  EXPECT_EQ(nonorm.moe.num_shared_experts, 2);
  const auto tied = Glm4MoeConfig::from_file(GLMOE_TEST_DATA "/goldens/tied/config.json");
  EXPECT_TRUE(tied.tie_word_embeddings);
  EXPECT_EQ(tied.rope_theta, 10000.0);
  EXPECT_EQ(tied.rms_norm_eps, 1e-6);
}

TEST(ConfigFromJson, RopeParametersComeBeforeTheTopLevel) {
  Json json = published();
  json["rope_theta"] = 5.0;
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7e5}};
  json.erase("partial_rotary_factor");
  const Glm4MoeConfig config = config_from_json(json, "x");
  EXPECT_EQ(config.rope_theta, 7e5);
  EXPECT_EQ(config.partial_rotary_factor, 0.5);
  json["rope_parameters"]["partial_rotary_factor"] = 1.0;
  EXPECT_EQ(config_from_json(json, "x").partial_rotary_factor, 1.0);
  json.erase("rope_parameters");
  json.erase("rope_theta");
  EXPECT_EQ(config_from_json(json, "x").rope_theta, 10000.0);
}

TEST(ConfigFromJson, RefusesRopeScalingInBothSpellings) {
  for (const char* key : {"type", "rope_type"}) {
    EXPECT_THAT(refusal(with(published(), "rope_scaling", {{key, "yarn"}, {"factor", 4}}),
                        ErrorCode::kUnsupported),
                HasSubstr("yarn"));
    EXPECT_THAT(
        refusal(with(published(), "rope_parameters", {{key, "linear"}}), ErrorCode::kUnsupported),
        HasSubstr("linear"));
    EXPECT_NO_THROW(config_from_json(with(published(), "rope_scaling", {{key, "default"}}), "x"));
  }
}

TEST(ConfigFromJson, TypeAndEndTokensHaveTwoSpellings) {
  Json json = published();
  json.erase("dtype");
  json["torch_dtype"] = "float16";
  json["eos_token_id"] = 17;
  const Glm4MoeConfig config = config_from_json(json, "x");
  EXPECT_EQ(config.dtype, "float16");
  EXPECT_THAT(config.eos_token_ids, ::testing::ElementsAre(17));
}

TEST(ConfigFromJson, GenericFormHasItsOwnDefaults) {
  const Glm4MoeConfig config = config_from_json(generic(), "x");
  EXPECT_EQ(config.moe.num_experts, 8);
  EXPECT_EQ(config.moe.top_k, 2);
  EXPECT_EQ(config.moe.normalization_mode, Mode::kRenormalize);
  EXPECT_EQ(config.interleave_moe_layer_step, 2);
  EXPECT_EQ(config.first_k_dense_replace, 0);
  EXPECT_FALSE(config.is_moe_layer(0));
  EXPECT_TRUE(config.is_moe_layer(1));
}

TEST(ConfigFromJson, NormalizationModeIsANameOrANumber) {
  EXPECT_EQ(config_from_json(with(generic(), "normalization_mode", "SPARSE_MIXER"), "x")
                .moe.normalization_mode,
            Mode::kSparseMixer);
  EXPECT_EQ(config_from_json(with(generic(), "normalization_mode", 3), "x").moe.normalization_mode,
            Mode::kDeviceLimited);
  EXPECT_THAT(refusal(with(generic(), "normalization_mode", 6), ErrorCode::kCorrupt),
              HasSubstr("normalization_mode"));
  EXPECT_THAT(refusal(with(generic(), "normalization_mode", "SOFT"), ErrorCode::kCorrupt),
              HasSubstr("SOFT"));
}

TEST(ConfigFromJson, GenericFieldsMayStandInMoe) {
  const Glm4MoeConfig config = config_from_json(
      with(generic(), "moe", {{"num_experts", 4}, {"top_k", 1}, {"moe_intermediate_size", 24}}),
      "x");
  EXPECT_EQ(config.moe.num_experts, 4);
  EXPECT_EQ(config.moe.moe_intermediate_size, 24);
}

TEST(ConfigFromJson, RefusesAMixtureAndAPublishedFileWithoutExperts) {
  EXPECT_THAT(refusal(with(published(), "num_experts", 8), ErrorCode::kCorrupt),
              HasSubstr("num_experts"));
  Json json = published();
  json.erase("n_routed_experts");
  EXPECT_THAT(refusal(json, ErrorCode::kCorrupt), HasSubstr("n_routed_experts"));
}

TEST(ConfigFromJson, RefusesOtherArchitecturesByName) {
  const auto code = ErrorCode::kUnsupported;
  EXPECT_THAT(refusal(with(published(), "model_type", "llama"), code),
              AllOf(HasSubstr("llama"), HasSubstr("Glm4MoeForCausalLM")));
  EXPECT_THAT(refusal(with(published(), "model_type", "glm4_moe_lite"), code), HasSubstr("MLA"));
  EXPECT_THAT(refusal(with(published(), "model_type", "glm_moe_dsa"), code), HasSubstr("DSA"));
  EXPECT_THAT(refusal(with(published(), "architectures", {"LlamaForCausalLM"}), code),
              HasSubstr("LlamaForCausalLM"));
  EXPECT_THAT(refusal(with(published(), "hidden_act", "gelu"), code), HasSubstr("gelu"));
  Json unnamed = published();
  unnamed.erase("model_type");
  unnamed.erase("architectures");
  EXPECT_THAT(refusal(unnamed, code), HasSubstr("model_type"));
}

TEST(ConfigFromJson, NamesFieldsOfWrongTypeOrRange) {
  EXPECT_THAT(refusal(with(published(), "hidden_size", "256"), ErrorCode::kCorrupt),
              HasSubstr("hidden_size"));
  EXPECT_THAT(refusal(with(published(), "hidden_size", 1.5), ErrorCode::kCorrupt),
              HasSubstr("hidden_size"));
  EXPECT_THAT(refusal(with(published(), "use_qk_norm", 1), ErrorCode::kCorrupt),
              HasSubstr("use_qk_norm"));
  EXPECT_THAT(refusal(with(published(), "hidden_size", -1), ErrorCode::kCorrupt),
              HasSubstr("hidden_size"));
  EXPECT_THAT(refusal(with(published(), "eos_token_id", {-1}), ErrorCode::kCorrupt),
              HasSubstr("eos_token_id"));
  EXPECT_THAT(refusal(with(published(), "num_attention_heads", 0), ErrorCode::kCorrupt),
              HasSubstr("num_attention_heads"));
  EXPECT_THAT(refusal(Json::array(), ErrorCode::kCorrupt), HasSubstr("object"));
}

TEST(ConfigToJson, ReadsBackEqual) {
  for (const std::string& name : Glm4MoeConfig::preset_names()) {
    const Glm4MoeConfig config = Glm4MoeConfig::preset(name);
    Json json = parse_json(config_to_json(config).dump(), "x");
    json["mapping"] = {{"tp_size", 2}};
    EXPECT_EQ(config_from_json(json, "x"), config) << name;
  }
  Glm4MoeConfig config = config_from_json(generic(), "x");
  config.moe.sparse_mixer_epsilon = 0.1;
  config.quantization.quant_algo = QuantAlgo::kW4A16Awq;
  config.quantization.has_zero_point = true;
  config.quantization.exclude_modules = {"lm_head", "*.gate"};
  EXPECT_EQ(config_from_json(config_to_json(config), "x"), config);
}

TEST(ConfigFromJson, RecognisesQuantisedCheckpointsWhichAreThenRefused) {
  const auto algo = [](const Json& quantization) {
    const auto config =
        config_from_json(with(published(), "quantization_config", quantization), "x");
    EXPECT_THROW(require_plain_checkpoint(config), Error);
    return config.quantization.quant_algo;
  };
  EXPECT_EQ(algo({{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}}),
            QuantAlgo::kFp8BlockScales);
  EXPECT_EQ(algo({{"quant_method", "fp8"}}), QuantAlgo::kFp8);
  EXPECT_EQ(algo({{"quant_method", "awq"}, {"bits", 4}, {"group_size", 128}}),
            QuantAlgo::kW4A16Awq);
  EXPECT_EQ(algo({{"quant_method", "gptq"}, {"bits", 8}, {"group_size", -1}}), QuantAlgo::kW8A16);
  EXPECT_EQ(algo({{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}}), QuantAlgo::kNvfp4);
  const Json weights = {{"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}};
  EXPECT_EQ(algo({{"quant_method", "compressed-tensors"},
                  {"config_groups", {{"group_0", {{"weights", weights}}}}},
                  {"ignore", {"lm_head"}}}),
            QuantAlgo::kFp8PerChannelPerToken);
  EXPECT_THAT(refusal(with(published(), "quantization_config", {{"quant_method", "hqq"}}),
                      ErrorCode::kUnsupported),
              HasSubstr("hqq"));
  EXPECT_NO_THROW(require_plain_checkpoint(config_from_json(published(), "x")));
}

}  // namespace
}  // namespace glmoe
