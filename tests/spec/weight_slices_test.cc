// Ranks' slices as a property: put together over all ranks they are the full tensor.
#include <gtest/gtest.h>

#include "spec/weight_plan.h"

namespace glmoe {
namespace {

Glm4MoeConfig odd_config() {
  Glm4MoeConfig config;
  config.vocab_size = 37;
  config.hidden_size = 16;
  config.intermediate_size = 22;
  config.num_hidden_layers = 5;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.attention_bias = true;
  config.use_qk_norm = true;
  config.moe.num_experts = 8;
  config.moe.moe_intermediate_size = 6;
  config.moe.num_shared_experts = 1;
  config.moe.normalization_mode = ExpertScaleNormalizationMode::kSigmoidBiasRenorm;
  config.num_nextn_predict_layers = 1;
  return config;
}

int64_t rows_of(const Shape& shape) { return shape[shape.rank() == 3 ? 1 : 0]; }
int64_t cols_of(const Shape& shape) { return shape.rank() == 1 ? 1 : shape[shape.rank() - 1]; }

struct Case {
  const char* name;
  int64_t world, tp, pp, ep, moe_tp;
};

class WeightSlices : public ::testing::TestWithParam<Case> {
 protected:
  Mapping mapping() const {
    const Case& c = GetParam();
    Mapping mapping;
    mapping.world_size = c.world;
    mapping.tp_size = c.tp;
    mapping.pp_size = c.pp;
    mapping.ep_size = c.ep;
    mapping.moe_tp_size = c.moe_tp;
    return mapping.resolved();
  }
};

TEST_P(WeightSlices, StitchingAllRanksGivesTheFullTensor) {
  const WeightPlan plan = make_weight_plan(odd_config(), true);
  for (const LogicalTensor& tensor : plan.tensors) {
    const int64_t rows = rows_of(tensor.shape), cols = cols_of(tensor.shape);
    std::vector<int64_t> stitched(static_cast<size_t>(tensor.shape.num_elements()), -1);
    for (int64_t rank = 0; rank < mapping().world_size; ++rank) {
      const Mapping here = mapping().at_rank(rank);
      const Shape shape = plan.rank_shape(tensor, here);
      if (shape.rank() == 0) {
        EXPECT_TRUE(plan.rank_slices(tensor, here).empty());
        continue;
      }
      const int64_t rank_rows = rows_of(shape), rank_cols = cols_of(shape);
      // The rank's tensor holds the full tensor's element numbers, -1 in the padding.
      std::vector<int64_t> held(static_cast<size_t>(shape.num_elements()), -1);
      for (const SliceCopy& s : plan.rank_slices(tensor, here)) {
        for (int64_t r = 0; r < s.num_rows; ++r) {
          for (int64_t c = 0; c < s.num_cols; ++c) {
            const int64_t from =
                (s.source_matrix * rows + s.source_row + r) * cols + s.source_col + c;
            const int64_t to =
                (s.target_matrix * rank_rows + s.target_row + r) * rank_cols + s.target_col + c;
            ASSERT_LT(from, tensor.shape.num_elements()) << tensor.name;
            ASSERT_LT(to, shape.num_elements()) << tensor.name;
            EXPECT_EQ(held.at(static_cast<size_t>(to)), -1) << tensor.name << ": written twice";
            held.at(static_cast<size_t>(to)) = from;
            stitched.at(static_cast<size_t>(from)) = from;
          }
        }
      }
    }
    for (size_t i = 0; i < stitched.size(); ++i) {
      ASSERT_EQ(stitched[i], static_cast<int64_t>(i)) << tensor.name << " element " << i;
    }
  }
}

TEST_P(WeightSlices, GateAndUpRowsKeepTheirPlacesInPaddedRanks) {
  const WeightPlan plan = make_weight_plan(odd_config(), false);
  for (const LogicalTensor& tensor : plan.tensors) {
    if (tensor.shard != ShardRule::kGateUpRows && tensor.shard != ShardRule::kExpertsGateUp) {
      continue;
    }
    const int64_t width = rows_of(tensor.shape) / 2;
    for (int64_t rank = 0; rank < mapping().world_size; ++rank) {
      const Mapping here = mapping().at_rank(rank);
      const Shape shape = plan.rank_shape(tensor, here);
      for (const SliceCopy& s : plan.rank_slices(tensor, here)) {
        const int64_t half = rows_of(shape) / 2;
        EXPECT_EQ(s.source_row >= width, s.target_row >= half) << tensor.name;
        EXPECT_LE(s.target_row % half + s.num_rows, half) << tensor.name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Mappings, WeightSlices,
    ::testing::Values(Case{"One", 1, 1, 1, 1, 0}, Case{"Tp2", 2, 2, 1, 1, 0},
                      Case{"Tp4KvTwice", 4, 4, 1, 1, 0}, Case{"Tp8", 8, 8, 1, 1, 0},
                      Case{"Pp2", 2, 1, 2, 1, 0}, Case{"Pp3", 3, 1, 3, 1, 0},
                      Case{"Tp2Pp2", 4, 2, 2, 1, 0}, Case{"Ep4InTp4", 4, 4, 1, 4, 1},
                      Case{"Ep2MoeTp2", 4, 4, 1, 2, 2}, Case{"Ep2MoeTp4", 8, 8, 1, 2, 4},
                      Case{"SeparateEp", 4, 2, 1, 2, 0}, Case{"SeparateEpPp", 8, 2, 2, 2, 0}),
    [](const auto& test) { return test.param.name; });

TEST(WeightSlicesOfStages, EmbeddingIsOnTheFirstAndHeadOnTheLastStage) {
  Glm4MoeConfig config = odd_config();
  Mapping mapping;
  mapping.pp_size = 2;
  mapping = mapping.resolved();
  const auto holders = [&](const std::string& name) {
    const WeightPlan plan = make_weight_plan(config, false);
    std::string ranks;
    for (const LogicalTensor& tensor : plan.tensors) {
      if (tensor.name != name) continue;
      for (int64_t rank = 0; rank < 2; ++rank) {
        if (plan.rank_shape(tensor, mapping.at_rank(rank)).rank() > 0)
          ranks += std::to_string(rank);
      }
    }
    return ranks;
  };
  EXPECT_EQ(holders("transformer.vocab_embedding.weight"), "0");
  EXPECT_EQ(holders("lm_head.weight"), "1");
  EXPECT_EQ(holders("transformer.ln_f.weight"), "1");
  EXPECT_EQ(holders("transformer.layers.2.input_layernorm.weight"), "0");  // 5 layers: 3 and 2
  EXPECT_EQ(holders("transformer.layers.3.input_layernorm.weight"), "1");
  config.tie_word_embeddings = true;
  EXPECT_EQ(holders("transformer.vocab_embedding.weight"), "01");
}

}  // namespace
}  // namespace glmoe
