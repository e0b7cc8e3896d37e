#include "glmoe/mapping.h"

#include <gmock/gmock.h>

#include "glmoe/error.h"

namespace glmoe {
namespace {
using ::testing::HasSubstr;

std::string refusal(const Mapping& mapping) {
  try {
    mapping.resolved();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(Mapping, DerivesWorldAndMoeTensorParallelSize) {
  const Mapping mapping = Mapping{.tp_size = 8, .pp_size = 2, .ep_size = 4}.resolved();
  EXPECT_EQ(mapping.world_size, 16);
  EXPECT_EQ(mapping.moe_tp_size, 2);
  EXPECT_FALSE(mapping.has_separate_ep_groups());
}

TEST(Mapping, RefusesRanksOnBothSidesOfTheRange) {
  EXPECT_THAT(refusal({.rank = -1, .tp_size = 2}), HasSubstr("rank -1"));
  EXPECT_THAT(refusal({.rank = 2, .tp_size = 2}), HasSubstr("rank 2"));
  EXPECT_EQ(refusal({.rank = 1, .tp_size = 2}), "accepted");
}

TEST(Mapping, RefusesProductsThatDoNotMatch) {
  EXPECT_THAT(refusal({.world_size = 3, .tp_size = 2}), HasSubstr("world_size 3"));
  EXPECT_THAT(refusal({.tp_size = 4, .ep_size = 3}), HasSubstr("ep_size 3"));
  EXPECT_THAT(refusal({.tp_size = 4, .ep_size = 2, .moe_tp_size = 4}), HasSubstr("moe_tp_size 4"));
  EXPECT_THAT(refusal({.tp_size = 2, .moe_tp_size = -2}), HasSubstr("moe_tp_size -2"));
  EXPECT_THAT(refusal({.cp_size = 2, .ep_size = 2}), HasSubstr("cp_size 2"));
}

TEST(Mapping, RefusesSizesThatAreNotPositiveOrAbsurd) {
  EXPECT_THAT(refusal({.tp_size = 0}), HasSubstr("tp_size is 0"));
  EXPECT_THAT(refusal({.pp_size = -1}), HasSubstr("pp_size is -1"));
  EXPECT_THAT(refusal({.ep_size = int64_t{1} << 40}), HasSubstr("ep_size"));
}

TEST(Mapping, InsideTheGroupTensorRankSplitsIntoMoeRanks) {
  const Mapping base = Mapping{.tp_size = 4, .pp_size = 2, .ep_size = 2}.resolved();
  const int64_t tp[] = {0, 1, 2, 3, 0, 1, 2, 3}, pp[] = {0, 0, 0, 0, 1, 1, 1, 1};
  const int64_t moe_tp[] = {0, 0, 1, 1, 0, 0, 1, 1}, moe_ep[] = {0, 1, 0, 1, 0, 1, 0, 1};
  for (int64_t rank = 0; rank < 8; ++rank) {
    const Mapping mapping = base.at_rank(rank);
    EXPECT_EQ(mapping.tp_rank(), tp[rank]) << rank;
    EXPECT_EQ(mapping.pp_rank(), pp[rank]) << rank;
    EXPECT_EQ(mapping.moe_tp_rank(), moe_tp[rank]) << rank;
    EXPECT_EQ(mapping.moe_ep_rank(), moe_ep[rank]) << rank;
  }
}

TEST(Mapping, SeparateGroupsLieBetweenTensorRanksAndStages) {
  const Mapping base =
      Mapping{.world_size = 8, .tp_size = 2, .pp_size = 2, .ep_size = 2}.resolved();
  ASSERT_TRUE(base.has_separate_ep_groups());
  EXPECT_EQ(base.moe_tp_size, 2);
  const int64_t tp[] = {0, 1, 0, 1, 0, 1, 0, 1}, pp[] = {0, 0, 0, 0, 1, 1, 1, 1};
  const int64_t ep[] = {0, 0, 1, 1, 0, 0, 1, 1};
  for (int64_t rank = 0; rank < 8; ++rank) {
    const Mapping mapping = base.at_rank(rank);
    EXPECT_EQ(mapping.moe_tp_rank(), tp[rank]) << rank;
    EXPECT_EQ(mapping.pp_rank(), pp[rank]) << rank;
    EXPECT_EQ(mapping.moe_ep_rank(), ep[rank]) << rank;
  }
}

TEST(Mapping, FirstStagesHoldOneLayerMore) {
  const Mapping base = Mapping{.pp_size = 4}.resolved();
  int64_t next = 0;
  const int64_t sizes[] = {12, 12, 11, 11};
  for (int64_t stage = 0; stage < 4; ++stage) {
    EXPECT_EQ(base.at_rank(stage).first_layer(46), next);
    EXPECT_EQ(base.at_rank(stage).num_stage_layers(46), sizes[stage]);
    next += sizes[stage];
  }
}

}  // namespace
}  // namespace glmoe
