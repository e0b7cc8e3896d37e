#include "sample/exp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace glmoe {
namespace {

TEST(Exp, IsCloseToTheLibraryEverywhereAndZeroBelow) {
  double worst = 0.0;
  for (float x = 0.0f; x >= -87.0f; x -= 0.0007f) {
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(exp_nonpositive(x)) - exact) / exact);
  }
  EXPECT_LT(worst, 3e-7);
  EXPECT_EQ(exp_nonpositive(0.0f), 1.0f);
  for (const float x : {-87.001f, -1000.0f, -3e38f, -INFINITY}) {
    EXPECT_EQ(exp_nonpositive(x), 0.0f) << x;
  }
}

}  // namespace
}  // namespace glmoe
