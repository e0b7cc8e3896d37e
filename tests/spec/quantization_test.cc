#include "glmoe/quantization.h"

#include <gmock/gmock.h>

#include "glmoe/error.h"

namespace glmoe {
namespace {

TEST(QuantAlgo, NamesReadBack) {
  for (int i = 0; i <= static_cast<int>(QuantAlgo::kNvfp4); ++i) {
    const auto algo = static_cast<QuantAlgo>(i);
    EXPECT_EQ(quant_algo_from_name(quant_algo_name(algo)), algo);
  }
  EXPECT_THROW(quant_algo_from_name("FP9"), Error);
}

TEST(QuantMode, RefusesContradictions) {
  const auto make = [](bool w, bool a, bool token, bool channel, bool group, bool int4, bool kv8,
                       bool kvf) {
    return QuantMode::from_description(w, a, token, channel, group, int4, kv8, kvf);
  };
  EXPECT_THROW(make(false, true, false, false, false, false, false, false), Error);
  EXPECT_THROW(make(true, false, true, false, false, false, false, false), Error);
  EXPECT_THROW(make(true, false, false, true, false, false, false, false), Error);
  EXPECT_THROW(make(false, false, true, true, false, false, false, false), Error);
  EXPECT_THROW(make(true, true, false, false, true, false, false, false), Error);
  EXPECT_THROW(make(true, true, false, false, false, true, false, false), Error);
  EXPECT_THROW(make(false, false, false, false, false, true, false, false), Error);
  EXPECT_THROW(make(false, false, false, false, false, false, true, true), Error);
  EXPECT_NO_THROW(make(true, true, true, true, false, false, true, false));
}

TEST(QuantMode, AnswersForEachAlgorithm) {
  EXPECT_FALSE(QuantMode::from_quant_algo(QuantAlgo::kNone).has_any_quant());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kFp8).has_fp8_qdq());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kFp8PerChannelPerToken).has_fp8_rowwise());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kFp8BlockScales).has_fp8_block_scales());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kNvfp4).has_nvfp4());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kW8A16).is_int8_weight_only());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kW4A16Awq).is_int4_weight_only());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kW4A16Gptq).has_per_group_scaling());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kInt8).has_act_and_weight_quant());
  EXPECT_FALSE(QuantMode::from_quant_algo(QuantAlgo::kInt8).is_weight_only());
  EXPECT_TRUE(QuantMode::from_quant_algo(QuantAlgo::kNone, QuantAlgo::kFp8).has_fp8_kv_cache());
  EXPECT_THROW(QuantMode::from_quant_algo(QuantAlgo::kNone, QuantAlgo::kW4A16), Error);
}

TEST(QuantConfig, RefusesZeroPointsWithoutFourBitWeights) {
  QuantConfig config;
  config.has_zero_point = true;
  EXPECT_THROW(config.validate(), Error);
  config.quant_algo = QuantAlgo::kW4A16Awq;
  EXPECT_NO_THROW(config.validate());
  config.group_size = 0;
  EXPECT_THROW(config.validate(), Error);
}

}  // namespace
}  // namespace glmoe
