#include "ops/moe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ops/product_fixture.h"
#include "ops/ref/moe_ref.h"

namespace glmoe {
namespace {

using testing::Context;
using testing::RandomTensor;
using testing::relative_distance;
using testing::Result;
using testing::tokens;

constexpr int64_t kExperts = 16, kTopK = 4, kWidth = 96, kHidden = 72;

struct Model {
  explicit Model(DType dtype)
      : gate_up(dtype, Shape{kExperts, 2 * kHidden, kWidth}, 1, 0.3f),
        down(dtype, Shape{kExperts, kWidth, kHidden}, 2) {}
  ExpertsView experts() const { return {gate_up.weight(), down.weight()}; }
  RandomTensor gate_up, down;
};

// expert(t, j) says where slot j of token t goes.
struct Routed {
  template <class F>
  Routed(int64_t num_tokens, const F& expert) : shape{num_tokens, kTopK} {
    for (int64_t t = 0; t < num_tokens; ++t) {
      for (int64_t j = 0; j < kTopK; ++j) {
        ids.push_back(static_cast<int32_t>(expert(t, j)));
        weights.push_back(static_cast<float>(random_uniform(5, 6, ids.size())));
      }
    }
  }
  Routing from(int64_t first, int64_t count) {
    const Shape part{count, kTopK};
    return {{ids.data() + first * kTopK, DType::kI32, part},
            {weights.data() + first * kTopK, DType::kF32, part}};
  }
  Routing all() { return from(0, shape[0]); }

  Shape shape;
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

int64_t spread(int64_t t, int64_t j) { return (t * 7 + j * 5 + t / 3) % kExperts; }
int64_t one_expert(int64_t, int64_t) { return 11; }
int64_t hot_and_cold(int64_t t, int64_t j) { return j == 0 ? 0 : (t % 5 + j) % kExperts; }

TEST(GroupedExpertsTest, AgreesWithTheReferenceForAnyDistribution) {
  for (const DType compute_dtype : {DType::kF32, DType::kBF16}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const Model model(dtype);
      Context context(2, compute_dtype);
      for (const auto& distribution : {spread, one_expert, hot_and_cold}) {
        for (const int64_t num_tokens : {0, 1, 2, 8, 33}) {
          Routed routed(num_tokens, distribution);
          const RandomTensor x = tokens(num_tokens, kWidth);
          Result out(num_tokens, kWidth, 0.25f), wanted(num_tokens, kWidth, 0.25f);
          const bool accumulate = num_tokens == 8;
          grouped_experts(context.ctx, x.view(), routed.all(), model.experts(), out.view(),
                          accumulate);
          ref::routed_experts(compute_dtype, x.view(), routed.all(), model.experts(), wanted.view(),
                              accumulate);
          // K roundings a sum, and now and then a bfloat16 on the other side of its border.
          const double limit = compute_dtype == DType::kBF16 ? 0x1p-11 : 0x1p-17;
          ASSERT_LE(relative_distance(out.values, wanted.values), limit) << num_tokens;
        }
      }
    }
  }
}

TEST(GroupedExpertsTest, GivesTheLoopedFormsBits) {
  for (const DType compute_dtype : {DType::kF32, DType::kBF16}) {
    const Model model(DType::kBF16);
    Context context(3, compute_dtype);
    for (const auto& distribution : {spread, one_expert, hot_and_cold}) {
      for (const int64_t num_tokens : {1, 2, 13, 64, 130}) {
        for (const bool accumulate : {false, true}) {
          Routed routed(num_tokens, distribution);
          const RandomTensor x = tokens(num_tokens, kWidth);
          Result grouped(num_tokens, kWidth, 0.5f), looped(num_tokens, kWidth, 0.5f);
          grouped_experts(context.ctx, x.view(), routed.all(), model.experts(), grouped.view(),
                          accumulate);
          looped_experts(context.ctx, x.view(), routed.all(), model.experts(), looped.view(),
                         accumulate);
          ASSERT_TRUE(grouped.same_bits(looped)) << num_tokens;
        }
      }
    }
  }
}

TEST(GroupedExpertsTest, GivesATokenTheSameBitsAloneAndInAnyBatch) {
  constexpr int64_t kTokens = 96;
  const Model model(DType::kBF16);
  Routed routed(kTokens, hot_and_cold);
  const RandomTensor x = tokens(kTokens, kWidth);
  Context one(1, DType::kBF16), two(2, DType::kBF16);
  Result all(kTokens, kWidth);
  grouped_experts(two.ctx, x.view(), routed.all(), model.experts(), all.view());
  for (const int64_t batch : {1, 2, 3, 7, 33}) {
    for (int64_t first = 0; first + batch <= kTokens; first += 29) {
      Result part(batch, kWidth);
      grouped_experts(one.ctx, x.rows(first, batch), routed.from(first, batch), model.experts(),
                      part.view());
      ASSERT_TRUE(part.same_bits(all, first)) << batch << " tokens from " << first;
    }
  }
}

TEST(GroupedExpertsTest, ComputesTheOutputInStripesWithoutChangingIt) {
  // Wide enough that one pass would keep more contributions than fit, so several stripes are made.
  constexpr int64_t kTokens = 2100, kWide = 320, kNarrow = 4;
  const RandomTensor gate_up(DType::kF32, Shape{kExperts, 2 * kNarrow, kWide}, 1, 0.3f);
  const RandomTensor down(DType::kF32, Shape{kExperts, kWide, kNarrow}, 2);
  const ExpertsView experts{gate_up.weight(), down.weight()};
  Routed routed(kTokens, spread);
  const RandomTensor x = tokens(kTokens, kWide);
  Context context(2);
  Result striped(kTokens, kWide), whole(kTokens, kWide);
  grouped_experts(context.ctx, x.view(), routed.all(), experts, striped.view());
  looped_experts(context.ctx, x.view(), routed.all(), experts, whole.view());
  EXPECT_TRUE(striped.same_bits(whole));
}

TEST(GroupedExpertsTest, RefusesAnExpertThatIsNotThere) {
  const Model model(DType::kF32);
  Context context(1);
  Routed routed(2, [](int64_t, int64_t j) { return j == 3 ? kExperts : j; });
  const RandomTensor x = tokens(2, kWidth);
  Result out(2, kWidth);
  EXPECT_THAT(
      [&] { grouped_experts(context.ctx, x.view(), routed.all(), model.experts(), out.view()); },
      ::testing::ThrowsMessage<Error>(::testing::HasSubstr("expert of slot 3")));
}

TEST(GroupedExpertsTest, AllocatesNothingOnceTheWorkspaceIsLargeEnough) {
  const Model model(DType::kBF16);
  Context context(2, DType::kBF16);
  Routed routed(20, spread);
  const RandomTensor x = tokens(20, kWidth);
  Result out(20, kWidth);
  const auto step = [&] {
    grouped_experts(context.ctx, x.view(), routed.all(), model.experts(), out.view());
    context.workspace.reset();
  };
  step();
  const size_t capacity = context.workspace.capacity();
  const size_t high_water = context.workspace.high_water();
  EXPECT_GE(capacity, high_water);
  step();
  EXPECT_EQ(context.workspace.capacity(), capacity);
  EXPECT_EQ(context.workspace.high_water(), high_water);
}

}  // namespace
}  // namespace glmoe
