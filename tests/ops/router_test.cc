#include "ops/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "glmoe/error.h"
#include "ops/ref/router_ref.h"
#include "support/compare.h"
#include "support/op_fixture.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using Mode = ExpertScaleNormalizationMode;
using testing::all_close;
using testing::matrix_view;
using testing::OpEnvironment;
using testing::random_floats;

struct Routed {
  std::vector<int32_t> ids;
  std::vector<float> weights;
  Routing view(int64_t rows, int64_t top_k) {
    return {.expert_ids = {.data = ids.data(), .dtype = DType::kI32, .shape = Shape{rows, top_k}},
            .weights = matrix_view(weights, rows, top_k)};
  }
};

Routed select(std::vector<float> logits, const MoeConfig& config,
              std::span<const float> bias = {}) {
  OpEnvironment env;
  const int64_t rows = static_cast<int64_t>(logits.size()) / config.num_experts;
  const auto slots = static_cast<size_t>(rows * config.top_k);
  Routed routed{std::vector<int32_t>(slots, -1), std::vector<float>(slots, -1.0f)};
  select_experts(env.context(), matrix_view(logits, rows, config.num_experts), bias, config,
                 routed.view(rows, config.top_k));
  return routed;
}

MoeConfig config_of(Mode mode, int64_t experts, int64_t top_k, int64_t groups = 1,
                    int64_t chosen = 1, double factor = 1.0) {
  return {.num_experts = experts,
          .top_k = top_k,
          .normalization_mode = mode,
          .n_group = groups,
          .topk_group = chosen,
          .routed_scaling_factor = factor};
}

class RouterModes : public ::testing::TestWithParam<MoeConfig> {};

TEST_P(RouterModes, MatchTheReference) {
  const MoeConfig config = GetParam();
  constexpr int64_t kRows = 67;
  for (const float scale : {0.5f, 4.0f, 30.0f}) {
    const auto logits = random_floats(kRows * config.num_experts, 11, scale);
    const bool biased = config.normalization_mode == Mode::kSigmoidBiasRenorm;
    const auto bias = biased ? random_floats(config.num_experts, 12, 0.3f) : std::vector<float>();
    const Routed found = select(logits, config, bias);
    std::vector<float> weights;
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < kRows; ++t) {
      const auto token =
          ref::select_experts(std::span(logits).subspan(static_cast<size_t>(t * config.num_experts),
                                                        static_cast<size_t>(config.num_experts)),
                              bias, config);
      ids.insert(ids.end(), token.expert_ids.begin(), token.expert_ids.end());
      for (const double weight : token.weights) weights.push_back(static_cast<float>(weight));
    }
    EXPECT_EQ(found.ids, ids) << "scale " << scale;
    EXPECT_TRUE(all_close(found.weights, weights,
                          {.absolute = 1e-7, .relative = 1e-5, .row_length = config.top_k}));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RouterModes,
    ::testing::Values(config_of(Mode::kNone, 8, 2), config_of(Mode::kNone, 1, 1),
                      config_of(Mode::kRenormalize, 8, 8), config_of(Mode::kRenormalize, 13, 3),
                      config_of(Mode::kSparseMixer, 16, 2), config_of(Mode::kSparseMixer, 5, 4),
                      config_of(Mode::kDeviceLimited, 80, 3, 8, 3, 16.0),
                      config_of(Mode::kDeviceLimitedRenorm, 80, 3, 8, 3, 16.0),
                      config_of(Mode::kSigmoidBiasRenorm, 128, 8),
                      config_of(Mode::kSigmoidBiasRenorm, 160, 8, 1, 1, 2.5),
                      config_of(Mode::kSigmoidBiasRenorm, 32, 4, 8, 3, 2.5),
                      config_of(Mode::kSigmoidBiasRenorm, 6, 3, 6, 4)));

TEST(Router, SigmoidBiasByHand) {
  // Sigmoids 1/2, 3/4, 1/4, 1/2; the bias lifts expert 2 to the top but stays out of its weight.
  const float log3 = std::log(3.0f);
  MoeConfig config = config_of(Mode::kSigmoidBiasRenorm, 4, 2, 1, 1, 2.5);
  const std::vector<float> bias{0.0f, 0.0f, 1.0f, 0.0f};
  Routed routed = select({0.0f, log3, -log3, 0.0f}, config, bias);
  EXPECT_THAT(routed.ids, ElementsAre(2, 1));
  EXPECT_TRUE(all_close(routed.weights, std::vector<float>{0.625f, 1.875f}, {.relative = 1e-6}));
  config.norm_topk_prob = false;
  routed = select({0.0f, log3, -log3, 0.0f}, config, bias);
  EXPECT_TRUE(all_close(routed.weights, std::vector<float>{0.625f, 1.875f}, {.relative = 1e-6}));
  config.top_k = 1;
  routed = select({0.0f, log3, -log3, 0.0f}, config, bias);
  EXPECT_TRUE(all_close(routed.weights, std::vector<float>{0.625f}, {.relative = 1e-6}));
}

TEST(Router, AGroupScoresByItsTwoLargestAndOthersCountAsZero) {
  // Groups {0.9, 0.0}, {0.5, 0.5}: 0.9 loses against 1.0.
  const MoeConfig config = config_of(Mode::kSigmoidBiasRenorm, 4, 2, 2, 1);
  const std::vector<float> bias{0.4f, -0.5f, 0.0f, 0.0f};
  EXPECT_THAT(select({0, 0, 0, 0}, config, bias).ids, ElementsAre(2, 3));
  // All scores of the kept group negative: the zeros outside of it are higher.
  const std::vector<float> low{-2.0f, -2.0f, -1.0f, -1.0f};
  EXPECT_THAT(select({0, 0, 0, 0}, config, low).ids, ElementsAre(0, 1));
}

TEST(Router, TiesGoToTheLowestIndex) {
  for (const Mode mode : {Mode::kNone, Mode::kRenormalize, Mode::kSparseMixer, Mode::kDeviceLimited,
                          Mode::kSigmoidBiasRenorm}) {
    EXPECT_THAT(select({1, 2, 1, 2, 2, 1, 1, 1}, config_of(mode, 8, 4)).ids,
                ElementsAre(1, 3, 4, 0));
  }
}

TEST(Router, RenormalisedWeightsAddUpToOneAndDistantExpertsKeepTheirOrder) {
  const Routed routed =
      select({0.0f, -400.0f, -300.0f, -200.0f}, config_of(Mode::kRenormalize, 4, 3));
  EXPECT_THAT(routed.ids, ElementsAre(0, 3, 2));
  EXPECT_THAT(routed.weights, ElementsAre(1.0f, 0.0f, 0.0f));
}

TEST(Router, ScalingAppliesToDeviceLimitedAndCancelsWhereItIsRenormalised) {
  const std::vector<float> logits(4, 0.0f);
  EXPECT_THAT(select(logits, config_of(Mode::kDeviceLimited, 4, 2, 2, 1, 16.0)).weights,
              ElementsAre(4.0f, 4.0f));
  EXPECT_THAT(select(logits, config_of(Mode::kDeviceLimitedRenorm, 4, 2, 2, 1, 16.0)).weights,
              ElementsAre(0.5f, 0.5f));
}

TEST(Router, SparseMixerWeighsOnlyAgainstCloseExperts) {
  // 1.0 and 0.99 are within 2 % of each other, 0.5 is not.
  const Routed routed = select({0.5f, 1.0f, 0.99f}, config_of(Mode::kSparseMixer, 3, 2));
  EXPECT_THAT(routed.ids, ElementsAre(1, 2));
  const float first = 1.0f / (1.0f + std::exp(-0.01f));
  EXPECT_TRUE(all_close(routed.weights, std::vector<float>{first, 1.0f}, {.relative = 1e-6}));
}

TEST(Router, NanAndInfinityChooseDistinctExpertsInRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<std::vector<float>> rows{{nan, nan, nan, nan, nan, nan},
                                             {1, nan, 3, nan, 2, nan},
                                             {inf, -inf, inf, 0, nan, 1},
                                             {-inf, -inf, -inf, -inf, -inf, -inf}};
  for (const Mode mode : {Mode::kNone, Mode::kRenormalize, Mode::kSparseMixer, Mode::kDeviceLimited,
                          Mode::kDeviceLimitedRenorm, Mode::kSigmoidBiasRenorm}) {
    for (const auto& row : rows) {
      const MoeConfig config = config_of(mode, 6, 4, 3, 2);
      const Routed routed = select(row, config);
      const std::set<int32_t> distinct(routed.ids.begin(), routed.ids.end());
      EXPECT_EQ(distinct.size(), 4u);
      EXPECT_GE(*distinct.begin(), 0);
      EXPECT_LT(*distinct.rbegin(), 6);
      EXPECT_EQ(select(row, config).ids, routed.ids);
    }
  }
  const Routed routed = select(rows[0], config_of(Mode::kSigmoidBiasRenorm, 6, 4));
  EXPECT_THAT(routed.ids, ElementsAre(0, 1, 2, 3));
  EXPECT_TRUE(std::isnan(routed.weights[0])) << "a broken token must not look healthy";
}

TEST(Router, ATokenDoesNotDependOnItsBatch) {
  const MoeConfig config = config_of(Mode::kSigmoidBiasRenorm, 160, 8, 1, 1, 2.5);
  const auto logits = random_floats(50 * 160, 3, 3.0f);
  const auto bias = random_floats(160, 4, 0.2f);
  const Routed together = select(logits, config, bias);
  for (size_t t = 0; t < 50; ++t) {
    const Routed alone =
        select(std::vector<float>(logits.begin() + static_cast<int64_t>(t) * 160,
                                  logits.begin() + static_cast<int64_t>(t + 1) * 160),
               config, bias);
    EXPECT_TRUE(testing::same_bits(alone.weights, std::span(together.weights).subspan(t * 8, 8)));
  }
}

TEST(Router, NoTokensAreFine) {
  EXPECT_TRUE(select({}, config_of(Mode::kSigmoidBiasRenorm, 8, 2)).ids.empty());
}

TEST(Router, CountsTokensOfEachExpertOnTopOfEarlierOnes) {
  Routed routed{{0, 2, 2, 1}, {1, 1, 1, 1}};
  std::vector<uint64_t> counts{10, 0, 0};
  count_experts(routed.view(2, 2), counts);
  EXPECT_THAT(counts, ElementsAre(11, 1, 2));
  routed.ids[3] = 3;
  EXPECT_THROW(count_experts(routed.view(2, 2), counts), Error);
}

TEST(Router, WrongShapesAreNamed) {
  try {
    select(random_floats(8, 1), config_of(Mode::kNone, 8, 2), std::vector<float>(7));
    FAIL() << "a bias of 7 was taken for 8 experts";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("selection_bias: wanted 8, found 7"));
  }
}

TEST(Router, RouteIsAnExactProductFollowedByTheSelection) {
  constexpr int64_t kRows = 5, kHidden = 48, kExperts = 12;
  OpEnvironment env;
  auto x = random_floats(kRows * kHidden, 1), weight = random_floats(kExperts * kHidden, 2);
  const MoeConfig config = config_of(Mode::kRenormalize, kExperts, 3);
  Routed routed{std::vector<int32_t>(15), std::vector<float>(15)};
  OpContext ctx = env.context();
  ctx.compute_dtype = DType::kBF16;  // must not touch the router
  route(ctx, matrix_view(x, kRows, kHidden), {.codes = matrix_view(weight, kExperts, kHidden)}, {},
        config, routed.view(kRows, 3));
  std::vector<float> logits;
  for (int64_t t = 0; t < kRows; ++t) {
    for (int64_t e = 0; e < kExperts; ++e) {
      double dot = 0.0;
      for (int64_t i = 0; i < kHidden; ++i) {
        dot += static_cast<double>(x[static_cast<size_t>(t * kHidden + i)]) *
               weight[static_cast<size_t>(e * kHidden + i)];
      }
      logits.push_back(static_cast<float>(dot));
    }
  }
  const Routed wanted = select(logits, config);
  EXPECT_EQ(routed.ids, wanted.ids);
  EXPECT_TRUE(all_close(routed.weights, wanted.weights, {.relative = 1e-5}));
}

}  // namespace
}  // namespace glmoe
