// The router in double, as docs/kernels/cpu-router.md says it: scores by which experts are chosen,
// and the weights that a given choice has.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cuda/moe/moe_router.h"

namespace glmoe::cuda_test {

using Doubles = std::vector<double>;

inline double rank_of(double score) {
  return std::isnan(score) ? -std::numeric_limits<double>::infinity() : score;
}

inline bool is_grouped(cuda::MoeRouterMode mode) {
  return mode == cuda::MoeRouterMode::kDeviceLimited ||
         mode == cuda::MoeRouterMode::kDeviceLimitedRenorm ||
         mode == cuda::MoeRouterMode::kSigmoidBias;
}

// Indices in descending order of score, lowest first where equal; NaN as minus infinity.
inline std::vector<int32_t> descending(const Doubles& scores) {
  std::vector<int32_t> ids(scores.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return rank_of(scores[static_cast<size_t>(a)]) > rank_of(scores[static_cast<size_t>(b)]);
  });
  return ids;
}

inline void limit_groups(const cuda::MoeRouterParams& p, Doubles& scores) {
  const size_t groups = static_cast<size_t>(p.n_group), width = scores.size() / groups;
  if (p.topk_group >= p.n_group) return;
  Doubles group_scores;
  for (size_t g = 0; g < groups; ++g) {
    Doubles own;
    for (size_t i = 0; i < width; ++i) own.push_back(rank_of(scores[g * width + i]));
    std::sort(own.rbegin(), own.rend());
    const bool two = p.mode == cuda::MoeRouterMode::kSigmoidBias && width > 1;
    group_scores.push_back(two ? own[0] + own[1] : own[0]);
  }
  const std::vector<int32_t> order = descending(group_scores);
  for (size_t rank = static_cast<size_t>(p.topk_group); rank < groups; ++rank) {
    std::fill_n(scores.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(order[rank]) * width),
                width, 0.0);
  }
}

inline Doubles softmax(const Doubles& logits) {
  double highest = -std::numeric_limits<double>::infinity();
  for (const double logit : logits) highest = std::max(highest, rank_of(logit));
  Doubles values;
  for (const double logit : logits) values.push_back(std::exp(logit - highest));
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  for (double& value : values) value /= sum;
  return values;
}

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline Doubles selection_scores(const cuda::MoeRouterParams& p, const float* bias,
                                const Doubles& logits) {
  if (!is_grouped(p.mode)) return logits;
  Doubles scores = softmax(logits);
  if (p.mode == cuda::MoeRouterMode::kSigmoidBias) {
    for (size_t e = 0; e < logits.size(); ++e) {
      scores[e] = sigmoid(logits[e]) + (bias == nullptr ? 0.0 : static_cast<double>(bias[e]));
    }
  }
  limit_groups(p, scores);
  return scores;
}

// The weights of the choice `ids` (in order). `scores`: selection_scores' of the token. Sparse
// mixer leaves experts out by a threshold, which a logit's rounding may cross: it is moved out by
// what `logit_error` may cost there (in where negative).
inline Doubles choice_weights(const cuda::MoeRouterParams& p, const Doubles& logits,
                              const Doubles& scores, const std::vector<int32_t>& ids,
                              double logit_error) {
  using Mode = cuda::MoeRouterMode;
  const Doubles probabilities = softmax(logits);
  Doubles weights;
  for (size_t k = 0; k < ids.size(); ++k) {
    const size_t e = static_cast<size_t>(ids[k]);
    if (p.mode == Mode::kSigmoidBias) {
      weights.push_back(sigmoid(logits[e]));
    } else if (p.mode == Mode::kSparseMixer) {
      double sum = 0.0;
      for (size_t other = 0; other < logits.size(); ++other) {
        if (std::find(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(k),
                      static_cast<int32_t>(other)) != ids.begin() + static_cast<ptrdiff_t>(k)) {
          continue;
        }
        const double size = std::max(std::abs(logits[other]), logits[e]);
        const double distance = (logits[e] - logits[other]) / size;
        const double slack = 2.0 * logit_error * (1.0 + std::abs(distance)) / size;
        if (distance > 2.0 * static_cast<double>(p.epsilon) + slack) continue;
        sum += std::exp(logits[other] - logits[e]);
      }
      weights.push_back(1.0 / sum);
    } else {
      weights.push_back(is_grouped(p.mode) ? scores[e] : probabilities[e]);
    }
  }
  const double chosen = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) {
    const bool share = p.mode == Mode::kRenormalize || p.mode == Mode::kDeviceLimitedRenorm ||
                       (p.mode == Mode::kSigmoidBias && p.normalize);
    if (share) weight /= chosen;
    if (p.mode == Mode::kSigmoidBias || p.mode == Mode::kDeviceLimited) {
      weight *= static_cast<double>(p.scaling_factor);
    }
  }
  return weights;
}

}  // namespace glmoe::cuda_test
