#include "spec/weight_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace glmoe {
namespace {

using ::testing::ElementsAre;

const LogicalTensor* find(const WeightPlan& plan, const std::string& name) {
  for (const LogicalTensor& tensor : plan.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

TEST(WeightPlan, NamesAreUniqueAndEveryRowHasASource) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  const WeightPlan plan = make_weight_plan(config, true);
  std::set<std::string> names;
  for (const LogicalTensor& tensor : plan.tensors) {
    EXPECT_TRUE(names.insert(tensor.name).second) << tensor.name;
    for (const auto& layout : tensor.layouts) {
      int64_t rows = 0;
      for (const SourcePart& part : layout) rows += part.rows;
      const int rank = tensor.shape.rank();
      EXPECT_EQ(rows, tensor.shape[0] * (rank == 3 ? tensor.shape[1] : 1)) << tensor.name;
    }
  }
}

TEST(WeightPlan, ShapesOfAirAreThePublishedOnes) {
  const WeightPlan plan = make_weight_plan(Glm4MoeConfig::preset("glm-4.5-air"), false);
  const auto shape = [&](const std::string& name) { return find(plan, name)->shape; };
  EXPECT_EQ(shape("transformer.vocab_embedding.weight"), (Shape{151552, 4096}));
  EXPECT_EQ(shape("transformer.layers.0.attention.qkv.weight"), (Shape{12288 + 2048, 4096}));
  EXPECT_EQ(shape("transformer.layers.0.attention.dense.weight"), (Shape{4096, 12288}));
  EXPECT_EQ(shape("transformer.layers.0.mlp.gate_up.weight"), (Shape{2 * 10944, 4096}));
  EXPECT_EQ(shape("transformer.layers.1.mlp.experts.gate_up.weight"), (Shape{128, 2816, 4096}));
  EXPECT_EQ(shape("transformer.layers.1.mlp.experts.down.weight"), (Shape{128, 4096, 1408}));
  EXPECT_EQ(find(plan, "transformer.layers.0.attention.q_norm.weight"), nullptr);  // Air has none
  EXPECT_EQ(find(plan, "transformer.mtp.0.enorm.weight"), nullptr);
}

TEST(WeightPlan, ExpertsMayLieOneByOneOrAsAStack) {
  const WeightPlan plan = make_weight_plan(Glm4MoeConfig::preset("demo"), false);
  const auto& layouts = find(plan, "transformer.layers.2.mlp.experts.gate_up.weight")->layouts;
  ASSERT_EQ(layouts.size(), 2u);
  EXPECT_THAT(layouts[0][3].names, ElementsAre("model.layers.2.mlp.experts.1.up_proj.weight"));
  EXPECT_EQ(layouts[0][3].matrix, 1);
  EXPECT_EQ(layouts[0][3].row_begin, 128);
  EXPECT_THAT(layouts[1][5].names, ElementsAre("model.layers.2.mlp.experts.gate_up_proj",
                                               "model.layers.2.mlp.experts.gate_up_proj.weight"));
  EXPECT_EQ(layouts[1][5].source_matrix, 5);
}

TEST(WeightPlan, MtpIsOptionalAndLiesBehindTheLastLayer) {
  const WeightPlan plan = make_weight_plan(Glm4MoeConfig::preset("demo"), true);
  const LogicalTensor* projection = find(plan, "transformer.mtp.0.eh_proj.weight");
  ASSERT_NE(projection, nullptr);
  EXPECT_TRUE(projection->optional);
  EXPECT_EQ(projection->layer, 6);
  EXPECT_EQ(projection->layouts[0][0].names[0], "model.layers.6.eh_proj.weight");
  EXPECT_FALSE(find(plan, "transformer.ln_f.weight")->optional);
}

TEST(WeightPlan, TiedModelsHaveNoHeadOfTheirOwn) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
  config.tie_word_embeddings = true;
  EXPECT_EQ(find(make_weight_plan(config, false), "lm_head.weight"), nullptr);
}

TEST(WeightPlan, OnlyTheSigmoidRouterHasASelectionBias) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("demo");
  const char* const name = "transformer.layers.1.mlp.router.selection_bias";
  EXPECT_NE(find(make_weight_plan(config, false), name), nullptr);
  config.moe.normalization_mode = ExpertScaleNormalizationMode::kRenormalize;
  EXPECT_EQ(find(make_weight_plan(config, false), name), nullptr);
}

}  // namespace
}  // namespace glmoe
