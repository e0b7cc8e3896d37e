#include "sample/truncation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sample/rows.h"

namespace glmoe {
namespace {

using testing::logits_of_kind;

// What last_kept keeps, as a count of first tokens in the room's order.
int64_t num_kept(const LogitRow& row, const Candidate& last) {
  int64_t kept = 0;
  for (int64_t i = 0; i < row.size(); ++i) {
    const Candidate token{row.logits()[static_cast<size_t>(i)], static_cast<int32_t>(i)};
    kept += last.before(token) ? 0 : 1;
  }
  return kept;
}

// The plain way: sort everything, then cut. `slack` widens or narrows the bounds of top_p and
// min_p, so that two values enclose what rounding may decide either way.
int64_t reference_kept(const std::vector<float>& logits, const Truncation& t, double slack) {
  std::vector<float> sorted = logits;
  std::ranges::sort(sorted, std::greater<>());
  auto kept =
      static_cast<int64_t>(std::ranges::count_if(sorted, [](float l) { return std::isfinite(l); }));
  if (t.top_k > 0) kept = std::min(kept, t.top_k);
  const auto weight = [&](int64_t i) {
    return std::exp((static_cast<double>(sorted[static_cast<size_t>(i)]) - sorted[0]) /
                    static_cast<double>(t.temperature));
  };
  if (t.top_p < 1.0f) {
    double total = 0.0;
    for (int64_t i = 0; i < kept; ++i) total += weight(i);
    double sum = 0.0;
    int64_t count = 0;
    while (count < kept && sum < (static_cast<double>(t.top_p) + slack) * total) {
      sum += weight(count++);
    }
    kept = std::max<int64_t>(count, 1);
  }
  while (kept > 1 && weight(kept - 1) < static_cast<double>(t.min_p) * (1.0 - slack * 10)) --kept;
  return kept;
}

TEST(Truncation, KeepsWhatSortingEverythingWouldKeep) {
  int exact = 0, cases = 0;
  for (int kind = 0; kind < 5; ++kind) {
    for (const size_t size : {1u, 7u, 300u, 5000u}) {
      const std::vector<float> logits = logits_of_kind(kind, 11, size);
      const LogitRow row(logits);
      if (!std::isfinite(row.best().logit)) continue;
      for (const int64_t top_k : {0, 1, 3, 15, 200, 4000}) {
        for (const float top_p : {1.0f, 0.999f, 0.9f, 0.5f, 0.01f}) {
          for (const float min_p : {0.0f, 0.05f, 1.0f}) {
            for (const float temperature : {0.3f, 1.0f, 8.0f}) {
              const Truncation t{temperature, top_k, top_p, min_p};
              const int64_t kept = num_kept(row, last_kept(row, t));
              const int64_t low = reference_kept(logits, t, -1e-6);
              const int64_t high = reference_kept(logits, t, 1e-6);
              ASSERT_GE(kept, std::min(low, high)) << kind << " " << size << " " << top_k << " "
                                                   << top_p << " " << min_p << " " << temperature;
              ASSERT_LE(kept, std::max(low, high)) << kind << " " << size << " " << top_k << " "
                                                   << top_p << " " << min_p << " " << temperature;
              exact += low == high ? 1 : 0;
              ++cases;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(exact, cases * 9 / 10) << "the slack must not do the work";
}

TEST(Truncation, TopKOfAWholeVocabularyIsExact) {
  const std::vector<float> logits = logits_of_kind(2, 3, 151552);
  const LogitRow row(logits);
  for (const int64_t k : {1, 40, 592, 593, 20000, 151551}) {
    EXPECT_EQ(num_kept(row, last_kept(row, {.top_k = k})), k);
  }
}

}  // namespace
}  // namespace glmoe
