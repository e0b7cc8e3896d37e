#include "ops/linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ops/product_fixture.h"
#include "ops/ref/linear_ref.h"

namespace glmoe {
namespace {

using testing::Context;
using testing::product_limit;
using testing::RandomTensor;
using testing::relative_distance;
using testing::Result;
using testing::tokens;

constexpr DType kWeightTypes[] = {DType::kF32, DType::kBF16, DType::kF16};
constexpr DType kComputeTypes[] = {DType::kF32, DType::kBF16, DType::kF16};

TEST(LinearTest, AgreesWithTheReferenceForEveryTypeAndEdgeSize) {
  for (const DType compute_dtype : kComputeTypes) {
    Context context(2, compute_dtype);
    for (const DType dtype : kWeightTypes) {
      for (const int64_t k : {1, 7, 8, 15, 48, 64, 160, 1408}) {
        for (const int64_t n : {1, 3, 5, 48}) {
          const RandomTensor weight(dtype, Shape{n, k}, 1);
          const RandomTensor bias(DType::kF32, Shape{n}, 2);
          const std::span<const float> bias_values(bias.view().as<const float>(),
                                                   static_cast<size_t>(n));
          for (const int64_t num_tokens : {0, 1, 2, 3, 5, 8, 33}) {
            const RandomTensor x = tokens(num_tokens, k);
            Result out(num_tokens, n), wanted(num_tokens, n);
            linear(context.ctx, x.view(), weight.weight(), bias_values, out.view());
            ref::linear(compute_dtype, x.view(), weight.weight(), bias_values, wanted.view());
            ASSERT_LE(relative_distance(out.values, wanted.values), product_limit(k))
                << "K " << k << " N " << n << " T " << num_tokens;
          }
        }
      }
    }
  }
}

TEST(LinearTest, GivesARowTheSameBitsAloneAndInAnyBatchAndNumberOfThreads) {
  constexpr int64_t kTokens = 512, kInputs = 1408, kOutputs = 203;
  for (const DType compute_dtype : {DType::kF32, DType::kBF16}) {
    const RandomTensor weight(DType::kBF16, Shape{kOutputs, kInputs}, 1);
    const RandomTensor x = tokens(kTokens, kInputs);
    Context one(1, compute_dtype), three(3, compute_dtype);
    Result all(kTokens, kOutputs);
    linear(three.ctx, x.view(), weight.weight(), {}, all.view());
    for (const int64_t batch : {1, 2, 3, 7, 33, 512}) {
      for (int64_t first = 0; first + batch <= kTokens; first += 170) {
        Result part(batch, kOutputs);
        linear(batch % 2 == 0 ? three.ctx : one.ctx, x.rows(first, batch), weight.weight(), {},
               part.view());
        ASSERT_TRUE(part.same_bits(all, first)) << batch << " tokens from " << first;
      }
    }
  }
}

TEST(LinearTest, NamesTheDimensionThatDoesNotFit) {
  Context context(1);
  const RandomTensor weight(DType::kBF16, Shape{5, 8}, 1);
  const RandomTensor x = tokens(2, 9);
  Result out(2, 5);
  EXPECT_THAT([&] { linear(context.ctx, x.view(), weight.weight(), {}, out.view()); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("shape of x")));
}

TEST(LinearTest, RefusesATypeOfWeightsThatItCannotRead) {
  Context context(1);
  const RandomTensor weight(DType::kBF16, Shape{5, 8}, 1);
  TensorView codes = weight.view();
  codes.dtype = DType::kI16;
  const RandomTensor x = tokens(2, 8);
  Result out(2, 5);
  EXPECT_THAT([&] { linear(context.ctx, x.view(), {.codes = codes}, {}, out.view()); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("wanted F32, BF16 or F16")));
}

// The hidden values pass through the exponential and one more rounding of each product.
double mlp_limit(int64_t width, int64_t hidden, DType compute_dtype) {
  // A hidden value next to a rounding border may go to the other bfloat16: 2^-8 of it, rarely.
  const double border = compute_dtype == DType::kBF16 ? 0x1p-11 : 0.0;
  return product_limit(width) + product_limit(hidden) + 0x1p-20 + border;
}

TEST(SwigluMlpTest, AgreesWithTheReferenceForEveryTypeAndEdgeSize) {
  for (const DType compute_dtype : {DType::kF32, DType::kBF16}) {
    Context context(2, compute_dtype);
    for (const DType dtype : kWeightTypes) {
      for (const auto& [width, hidden] :
           {std::pair<int64_t, int64_t>{8, 5}, {64, 128}, {160, 33}, {33, 100}}) {
        const RandomTensor gate_up(dtype, Shape{2 * hidden, width}, 1, 0.3f);
        const RandomTensor down(dtype, Shape{width, hidden}, 2);
        for (const int64_t num_tokens : {0, 1, 3, 8, 33}) {
          const RandomTensor x = tokens(num_tokens, width);
          Result out(num_tokens, width, 0.5f), wanted(num_tokens, width, 0.5f);
          const bool accumulate = num_tokens % 2 == 1;
          swiglu_mlp(context.ctx, x.view(), gate_up.weight(), down.weight(), out.view(),
                     accumulate);
          ref::swiglu_mlp(compute_dtype, x.view(), gate_up.weight(), down.weight(), wanted.view(),
                          accumulate);
          ASSERT_LE(relative_distance(out.values, wanted.values),
                    mlp_limit(width, hidden, compute_dtype))
              << width << " " << hidden << " T " << num_tokens;
        }
      }
    }
  }
}

TEST(SwigluMlpTest, AddsTheSameBitsThatItWouldWrite) {
  Context context(2, DType::kBF16);
  const RandomTensor gate_up(DType::kBF16, Shape{256, 64}, 1, 0.3f);
  const RandomTensor down(DType::kBF16, Shape{64, 128}, 2);
  const RandomTensor x = tokens(5, 64);
  Result plain(5, 64), added(5, 64, 3.0f);
  swiglu_mlp(context.ctx, x.view(), gate_up.weight(), down.weight(), plain.view());
  swiglu_mlp(context.ctx, x.view(), gate_up.weight(), down.weight(), added.view(), true);
  for (size_t i = 0; i < plain.values.size(); ++i) {
    ASSERT_EQ(added.values[i], 3.0f + plain.values[i]);
  }
}

TEST(SwigluMlpTest, GivesARowTheSameBitsAloneAndInAnyBatch) {
  constexpr int64_t kTokens = 100, kWidth = 320, kHidden = 1408;
  const RandomTensor gate_up(DType::kBF16, Shape{2 * kHidden, kWidth}, 1, 0.2f);
  const RandomTensor down(DType::kBF16, Shape{kWidth, kHidden}, 2);
  const RandomTensor x = tokens(kTokens, kWidth);
  Context one(1, DType::kBF16), three(3, DType::kBF16);
  Result all(kTokens, kWidth);
  swiglu_mlp(three.ctx, x.view(), gate_up.weight(), down.weight(), all.view());
  for (const int64_t batch : {1, 2, 3, 7, 33}) {
    for (int64_t first = 0; first + batch <= kTokens; first += 41) {
      Result part(batch, kWidth);
      swiglu_mlp(one.ctx, x.rows(first, batch), gate_up.weight(), down.weight(), part.view());
      ASSERT_TRUE(part.same_bits(all, first)) << batch << " tokens from " << first;
    }
  }
}

}  // namespace
}  // namespace glmoe
