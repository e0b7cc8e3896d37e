#include "sample/logprobs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sample/rows.h"

namespace glmoe {
namespace {

using testing::logits_of_kind;

TEST(Logprobs, SumToOneAndListTheTokenFirst) {
  const std::vector<float> logits = logits_of_kind(0, 21, 1000);
  const LogitRow row(logits);
  double total = 0.0;
  for (const TokenLogprob& token : position_logprobs(row, 17, 999)) {
    total += std::exp(static_cast<double>(token.logprob));
  }
  EXPECT_NEAR(total, 1.0, 1e-5);
  const PositionLogprobs position = position_logprobs(row, 17, 3);
  ASSERT_EQ(position.size(), 4u);
  EXPECT_EQ(position[0].token_id, 17);
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(position[i].rank, static_cast<int64_t>(i));
  // The best token itself: its alternatives begin with the second.
  const PositionLogprobs best = position_logprobs(row, row.best().id, 3);
  ASSERT_EQ(best.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(best[i].rank, static_cast<int64_t>(i) + 1);
  EXPECT_EQ(position_logprobs(row, 17, 0).size(), 1u);
}

}  // namespace
}  // namespace glmoe
