#include "sample/logprobs.h"

#include <cmath>
#include <limits>

#include "base/check.h"
#include "sample/row_weights.h"

namespace glmoe {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// log sum exp(l) of the row, less its maximum.
double log_total(const LogitRow& row) {
  if (row.best().logit == kInfinity) {
    return std::log(static_cast<double>(row.at_least(kInfinity).size()));
  }
  return std::log(RowWeights(row, 1.0f).total());
}

}  // namespace

PositionLogprobs position_logprobs(const LogitRow& row, int32_t token_id,
                                   int64_t num_alternatives) {
  GLMOE_CHECK(token_id >= 0 && static_cast<size_t>(token_id) < row.logits().size(),
              "token {} of {}", token_id, row.logits().size());
  const float maximum = row.best().logit;
  const double total = log_total(row);
  const auto logprob = [&](float logit) {
    // The difference alone would be NaN where both are infinite.
    const double below = logit == maximum ? 0.0 : static_cast<double>(logit) - maximum;
    return static_cast<float>(below - total);
  };
  const Candidate token{row.logits()[static_cast<size_t>(token_id)], token_id};
  PositionLogprobs position{{token_id, logprob(token.logit), row.rank(token)}};
  int64_t rank = 0;
  for (const Candidate& other : row.top(num_alternatives > 0 ? num_alternatives + 1 : 0)) {
    ++rank;
    if (other.id == token_id) continue;
    if (static_cast<int64_t>(position.size()) > num_alternatives) break;
    const float value = logprob(other.logit);
    if (std::isinf(value)) break;  // beside +infinity nothing else has a probability
    position.push_back({other.id, value, rank});
  }
  return position;
}

}  // namespace glmoe
