#include "sample/truncation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "sample/exp.h"
#include "sample/row_weights.h"

namespace glmoe {
namespace {

// Buckets of 1/16 in log-probability below the best token; the last one takes the far tail (its
// tokens are less likely than the best by more than e^32).
constexpr int32_t kBuckets = 513;
constexpr float kBucketsPerUnit = 16.0f;

// What a token counts towards the target: 1 for top_k, its weight for top_p.
enum class Measure { kCount, kWeight };

class Selector {
 public:
  Selector(const LogitRow& row, float temperature, Measure measure)
      : row_(row), inverse_temperature_(1.0f / temperature), measure_(measure) {}

  // Measures each bucket, leaving out the tokens after `last`. Returns the sum.
  double fill(const Candidate& last);
  // The token with which the run of first tokens reaches `target`; the last one at the latest.
  Candidate reach(double target) const;

 private:
  // Monotonous in the logit, so buckets respect the order of tokens.
  int32_t bucket(float logit) const {
    const float depth = (row_.best().logit - logit) * (inverse_temperature_ * kBucketsPerUnit);
    return static_cast<int32_t>(std::min(depth, static_cast<float>(kBuckets - 1)));
  }
  double measure(const Candidate& token) const {
    if (measure_ == Measure::kCount) return 1.0;
    return static_cast<double>(
        exp_nonpositive((token.logit - row_.best().logit) * inverse_temperature_));
  }
  Candidate reach_within(std::vector<Candidate> tokens, double target) const;

  const LogitRow& row_;
  float inverse_temperature_;
  Measure measure_;
  Candidate last_ = kAllTokens;
  std::array<double, kBuckets> sums_{};
};

double Selector::fill(const Candidate& last) {
  last_ = last;
  float weights[LogitRow::kBlock];
  int32_t buckets[LogitRow::kBlock];
  for (size_t b = 0; b < row_.num_blocks(); ++b) {
    if (row_.block_max(b) < last.logit) continue;
    const std::span<const float> logits = row_.block(b);
    weigh_block(row_, b, inverse_temperature_, last, weights);
    for (size_t i = 0; i < logits.size(); ++i) buckets[i] = bucket(logits[i]);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double one = logits[i] >= last.logit ? 1.0 : 0.0;
      sums_[static_cast<size_t>(buckets[i])] +=
          measure_ == Measure::kCount ? one : static_cast<double>(weights[i]);
    }
  }
  double total = 0.0;
  for (const double sum : sums_) total += sum;
  return total;
}

Candidate Selector::reach(double target) const {
  int32_t chosen = 0;  // the last one with anything, should rounding keep the sum below the target
  double before = 0.0;
  double sum = 0.0;
  for (int32_t i = 0; i < kBuckets && sum < target; ++i) {
    const double here = sums_[static_cast<size_t>(i)];
    if (here <= 0.0) continue;
    chosen = i;
    before = sum;
    sum += here;
  }
  std::vector<Candidate> tokens;
  for (size_t b = 0; b < row_.num_blocks(); ++b) {
    if (row_.block_max(b) < last_.logit || bucket(row_.block_max(b)) > chosen) continue;
    const std::span<const float> logits = row_.block(b);
    for (size_t i = 0; i < logits.size(); ++i) {
      const Candidate token{logits[i], static_cast<int32_t>(b * LogitRow::kBlock + i)};
      if (!last_.before(token) && bucket(token.logit) == chosen) tokens.push_back(token);
    }
  }
  return reach_within(std::move(tokens), target - before);
}

// Bisection by partial selection: linear on average, also when all logits are equal.
Candidate Selector::reach_within(std::vector<Candidate> tokens, double target) const {
  auto low = tokens.begin();
  auto high = tokens.end();
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    std::nth_element(low, middle, high,
                     [](const Candidate& a, const Candidate& b) { return a.before(b); });
    double head = 0.0;
    for (auto token = low; token != middle; ++token) head += measure(*token);
    if (head >= target) {
      high = middle;
    } else {
      target -= head;
      low = middle;
    }
  }
  return *low;
}

Candidate last_of_top_k(const LogitRow& row, const Truncation& truncation) {
  if (truncation.top_k <= static_cast<int64_t>(row.num_blocks())) {
    return row.top(truncation.top_k).back();
  }
  Selector selector(row, truncation.temperature, Measure::kCount);
  selector.fill(kAllTokens);
  return selector.reach(static_cast<double>(truncation.top_k));
}

}  // namespace

Candidate last_kept(const LogitRow& row, const Truncation& truncation) {
  Candidate last = kAllTokens;
  if (truncation.top_k > 0 && truncation.top_k < row.size()) last = last_of_top_k(row, truncation);
  if (truncation.top_p < 1.0f) {
    Selector selector(row, truncation.temperature, Measure::kWeight);
    const double total = selector.fill(last);
    last = selector.reach(static_cast<double>(truncation.top_p) * total);
  }
  if (truncation.min_p > 0.0f) {
    const float floor = row.best().logit + std::log(truncation.min_p) * truncation.temperature;
    const Candidate bound{std::min(floor, row.best().logit), kAllTokens.id};
    if (bound.before(last)) last = bound;
  }
  return last;
}

}  // namespace glmoe
