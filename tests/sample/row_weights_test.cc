#include "sample/row_weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sample/rows.h"

namespace glmoe {
namespace {

using testing::logits_of_kind;

TEST(RowWeights, DrawsFromOneEndToTheOther) {
  const std::vector<float> logits = logits_of_kind(3, 9, 2000);
  const LogitRow row(logits);
  const RowWeights weights(row, 1.0f);
  const int32_t first = weights.draw(0.0);
  const int32_t last = weights.draw(std::nextafter(1.0, 0.0));
  for (int32_t i = 0; i < first; ++i) EXPECT_EQ(logits[static_cast<size_t>(i)], -INFINITY);
  EXPECT_TRUE(std::isfinite(logits[static_cast<size_t>(first)]));
  EXPECT_GT(last, 1900);
  EXPECT_TRUE(std::isfinite(logits[static_cast<size_t>(last)]));
  int32_t previous = 0;
  for (double u = 0.0; u < 1.0; u += 1.0 / 4096) {
    const int32_t id = weights.draw(u);
    EXPECT_GE(id, previous);
    previous = id;
  }
}

}  // namespace
}  // namespace glmoe
