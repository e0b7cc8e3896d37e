#include "glmoe/config.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "glmoe/error.h"

namespace glmoe {
namespace {
using ::testing::HasSubstr;

template <class Body>
std::string refusal(Body body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(NormalizationMode, NamesReadBack) {
  for (int i = 0; i <= 5; ++i) {
    const auto mode = static_cast<ExpertScaleNormalizationMode>(i);
    EXPECT_EQ(normalization_mode_from_name(normalization_mode_name(mode)), mode);
  }
  EXPECT_THROW(normalization_mode_from_name("renormalize"), Error);
}

TEST(MoeConfig, WantsExpertsAndTopKTogether) {
  MoeConfig moe;
  moe.moe_intermediate_size = 8;
  EXPECT_NO_THROW(moe.validate());
  moe.top_k = 0;
  EXPECT_THAT(refusal([&] { moe.validate(); }), HasSubstr("top_k is 0"));
  moe.top_k = 9;
  EXPECT_THAT(refusal([&] { moe.validate(); }), HasSubstr("top_k 9"));
  moe = {.num_experts = 0, .top_k = 0};
  EXPECT_NO_THROW(moe.validate());
  EXPECT_FALSE(moe.has_moe());
}

TEST(MoeConfig, WantsGroupsThatDivideAndHoldTopK) {
  MoeConfig moe{.num_experts = 16, .top_k = 4, .n_group = 3, .moe_intermediate_size = 8};
  EXPECT_THAT(refusal([&] { moe.validate(); }), HasSubstr("n_group 3"));
  moe.n_group = 8;
  EXPECT_THAT(refusal([&] { moe.validate(); }), HasSubstr("topk_group 1"));
  moe.topk_group = 9;
  EXPECT_THAT(refusal([&] { moe.validate(); }), HasSubstr("topk_group is 9"));
  moe.topk_group = 2;
  EXPECT_NO_THROW(moe.validate());
}

TEST(Glm4MoeConfig, DenseLayersLeadInPublishedModels) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5");
  EXPECT_FALSE(config.is_moe_layer(2));
  EXPECT_TRUE(config.is_moe_layer(3));
  EXPECT_EQ(config.num_moe_layers(), 89);
}

TEST(Glm4MoeConfig, EverySecondLayerIsMoeInTheGenericForm) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
  config.first_k_dense_replace = 0;
  config.interleave_moe_layer_step = 2;
  EXPECT_FALSE(config.is_moe_layer(0));
  EXPECT_TRUE(config.is_moe_layer(1));
  EXPECT_EQ(config.num_moe_layers(), 3);
}

TEST(Glm4MoeConfig, NamesTheFieldThatIsOutOfRange) {
  const auto changed = [](auto change) {
    Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
    change(config);
    return refusal([&] { config.validate(); });
  };
  EXPECT_THAT(changed([](auto& c) { c.vocab_size = 0; }), HasSubstr("vocab_size is 0"));
  EXPECT_THAT(changed([](auto& c) { c.hidden_size = -4; }), HasSubstr("hidden_size is -4"));
  EXPECT_THAT(changed([](auto& c) { c.num_hidden_layers = INT64_MAX; }),
              HasSubstr("num_hidden_layers"));
  EXPECT_THAT(changed([](auto& c) { c.num_key_value_heads = 3; }),
              HasSubstr("num_key_value_heads 3"));
  EXPECT_THAT(changed([](auto& c) { c.rope_theta = std::nan(""); }), HasSubstr("rope_theta"));
  EXPECT_THAT(changed([](auto& c) { c.rms_norm_eps = std::numeric_limits<double>::infinity(); }),
              HasSubstr("rms_norm_eps"));
  EXPECT_THAT(changed([](auto& c) { c.partial_rotary_factor = 0.01; }),
              HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(changed([](auto& c) { c.eos_token_ids = {8192}; }), HasSubstr("eos_token_id"));
  EXPECT_THAT(changed([](auto& c) { c.dtype = "int8"; }), HasSubstr("dtype"));
  EXPECT_THAT(changed([](auto& c) { c.moe.routed_scaling_factor = std::nan(""); }),
              HasSubstr("routed_scaling_factor"));
}

TEST(Glm4MoeConfig, RefusesSizesWhoseProductIsAbsurd) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
  config.hidden_size = config.moe.moe_intermediate_size = int64_t{1} << 20;
  config.num_hidden_layers = 4096;
  config.moe.num_experts = 65536;
  EXPECT_THAT(refusal([&] { config.validate(); }), HasSubstr("parameters"));
}

// Small in parameters, but a name for each of 268 million experts would fill the memory.
TEST(Glm4MoeConfig, RefusesMoreExpertsThanTheirNamesAreWorth) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  config.hidden_size = 16;
  config.moe.moe_intermediate_size = 1;
  config.num_hidden_layers = 4095;
  config.num_nextn_predict_layers = 1;
  config.moe.num_experts = 65536;
  EXPECT_THAT(refusal([&] { config.validate(); }), HasSubstr("num_experts 65536"));
  config.moe.num_experts = 64;  // 4096 x 64 is the most
  EXPECT_EQ(refusal([&] { config.validate(); }), "accepted");
  config.num_nextn_predict_layers = 2;
  EXPECT_THAT(refusal([&] { config.validate(); }), HasSubstr("262144 experts"));
}

TEST(ValidateMapping, ListsTheExpertParallelSizesThatWouldDo) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5");
  const std::string text =
      refusal([&] { config.validate_mapping({.world_size = 3, .ep_size = 3}); });
  EXPECT_THAT(text, HasSubstr("num_experts 160"));
  EXPECT_THAT(text, HasSubstr("1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 80, 160"));
}

TEST(ValidateMapping, WantsHeadsToDivideOrKvHeadsToReplicate) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");  // 96 and 8 heads
  for (const int64_t tp : {1, 2, 4, 8, 16, 32, 48}) {
    EXPECT_NO_THROW(config.validate_mapping({.tp_size = tp})) << tp;
  }
  EXPECT_THAT(refusal([&] { config.validate_mapping({.tp_size = 5}); }),
              HasSubstr("num_attention_heads 96"));
  EXPECT_THAT(refusal([&] { config.validate_mapping({.tp_size = 3}); }),
              HasSubstr("num_key_value_heads 8"));
  EXPECT_THAT(refusal([&] { config.validate_mapping({.tp_size = 12}); }),
              HasSubstr("multiple of 8"));
}

TEST(ValidateMapping, WantsALayerForEachStage) {
  const Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
  EXPECT_NO_THROW(config.validate_mapping({.pp_size = 6}));
  EXPECT_THAT(refusal([&] { config.validate_mapping({.pp_size = 7}); }),
              HasSubstr("num_hidden_layers 6"));
}

}  // namespace
}  // namespace glmoe
