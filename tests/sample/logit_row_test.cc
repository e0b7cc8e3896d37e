#include "sample/logit_row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "sample/rows.h"

namespace glmoe {
namespace {

using testing::logits_of_kind;

TEST(LogitRow, TopIsTheHeadOfTheSortedRow) {
  for (int kind = 0; kind < 5; ++kind) {
    const std::vector<float> logits = logits_of_kind(kind, 5, 3001);
    const LogitRow row(logits);
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    for (const int64_t k : {0, 1, 5, 12, 13, 500}) {
      const std::vector<Candidate> top = row.top(k);
      ASSERT_EQ(static_cast<int64_t>(top.size()), k);
      for (size_t i = 0; i < top.size(); ++i) {
        EXPECT_EQ(top[i].id, order[i]) << kind;
        if (k <= 13) {
          EXPECT_EQ(row.rank(top[i]), static_cast<int64_t>(i) + 1);
        }
      }
    }
  }
}

}  // namespace
}  // namespace glmoe
