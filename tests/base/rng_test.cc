#include "base/rng.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

namespace glmoe {
namespace {

TEST(Rng, IsUniformInEveryDimensionOfItsKey) {
  const int draws = 64000;
  for (int dimension = 0; dimension < 3; ++dimension) {
    int counts[64] = {};
    for (int i = 0; i < draws; ++i) {
      const auto n = static_cast<uint64_t>(i);
      const double u = dimension == 0   ? random_uniform(n, 0, 0)
                       : dimension == 1 ? random_uniform(1, n, 0)
                                        : random_uniform(1, 0, n);
      ASSERT_GE(u, 0.0);
      ASSERT_LT(u, 1.0);
      ++counts[static_cast<int>(u * 64)];
    }
    double chi_square = 0.0;
    for (const int count : counts) chi_square += std::pow(count - draws / 64.0, 2) / (draws / 64.0);
    EXPECT_LT(chi_square, 63 + 5 * std::sqrt(2.0 * 63)) << dimension;
    EXPECT_GT(chi_square, 63 - 5 * std::sqrt(2.0 * 63)) << dimension;
  }
}

TEST(Rng, NeighbouringKeysGiveDifferentNumbers) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (uint64_t stream = 0; stream < 20; ++stream) {
      for (uint64_t counter = 0; counter < 20; ++counter) {
        seen.insert(random_bits(seed, stream, counter));
      }
    }
  }
  EXPECT_EQ(seen.size(), 8000u);
}

TEST(Rng, OneBitOfTheKeyChangesHalfOfTheNumber) {
  int changed = 0;
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t flip = uint64_t{1} << bit;
    changed += std::popcount(random_bits(5, 6, 7) ^ random_bits(5 ^ flip, 6, 7));
    changed += std::popcount(random_bits(5, 6, 7) ^ random_bits(5, 6 ^ flip, 7));
    changed += std::popcount(random_bits(5, 6, 7) ^ random_bits(5, 6, 7 ^ flip));
  }
  EXPECT_NEAR(changed / (3 * 64.0), 32.0, 1.5);
}

}  // namespace
}  // namespace glmoe
