#include "serve/load/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace glmoe::serve {
namespace {

std::vector<double> gaps(const ArrivalOptions& options, int count) {
  Arrivals arrivals(options);
  std::vector<double> result;
  double last = arrivals.next();
  for (int i = 0; i < count; ++i) {
    const double time = arrivals.next();
    result.push_back(time - last);
    last = time;
  }
  return result;
}

double mean(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double variation(const std::vector<double>& values) {
  const double middle = mean(values);
  double sum = 0.0;
  for (const double value : values) sum += (value - middle) * (value - middle);
  return std::sqrt(sum / static_cast<double>(values.size())) / middle;
}

TEST(Arrivals, BeginAtZeroAndRepeatWithTheSeed) {
  Arrivals first({.rate_per_s = 5.0, .seed = 7}), again({.rate_per_s = 5.0, .seed = 7});
  Arrivals other({.rate_per_s = 5.0, .seed = 8});
  EXPECT_EQ(first.next(), 0.0);
  EXPECT_EQ(again.next(), 0.0);
  other.next();
  const double time = first.next();
  EXPECT_EQ(time, again.next());
  EXPECT_NE(time, other.next());
}

// The mean of n gaps has the deviation 1 / (rate sqrt(n burstiness)); a gamma distribution of shape
// k has the variation 1 / sqrt(k). The seeds are fixed: nothing here is left to chance.
TEST(Arrivals, HaveTheRateAndTheVariationOfTheirDistribution) {
  constexpr int kCount = 40'000;
  for (const double shape : {0.25, 1.0, 4.0}) {
    const std::vector<double> drawn =
        gaps({.rate_per_s = 20.0, .burstiness = shape, .seed = 3}, kCount);
    for (const double gap : drawn) ASSERT_GE(gap, 0.0);
    EXPECT_NEAR(mean(drawn), 0.05, 5 * 0.05 / std::sqrt(kCount * shape)) << shape;
    EXPECT_NEAR(variation(drawn) * std::sqrt(shape), 1.0, 0.05) << shape;
  }
}

TEST(Arrivals, OfAFixedRateAreEven) {
  Arrivals arrivals({.rate_per_s = 4.0, .burstiness = 0.0});
  for (int i = 0; i < 1000; ++i) EXPECT_DOUBLE_EQ(arrivals.next(), i / 4.0);
}

TEST(Arrivals, WithoutARateAreAllAtOnce) {
  Arrivals arrivals({});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(arrivals.next(), 0.0);
}

}  // namespace
}  // namespace glmoe::serve
