#include "ops/ref/router_ref.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace glmoe::ref {
namespace {

using Mode = ExpertScaleNormalizationMode;
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

std::vector<double> softmax(const std::vector<double>& logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> values(logits.size(), 0.0);
  double total = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) total += values[i] = std::exp(logits[i] - highest);
  for (double& value : values) value /= total;
  return values;
}

// Indices of the `count` highest, lowest index first on ties.
std::vector<int32_t> highest(const std::vector<double>& scores, int64_t count) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(count));
  return order;
}

// Scores outside of the best `topk_group` groups become 0.
std::vector<double> limit_groups(const std::vector<double>& scores, const MoeConfig& config,
                                 int64_t num_summed) {
  const int64_t width = config.num_experts / config.n_group;
  std::vector<double> group_scores;
  for (int64_t g = 0; g < config.n_group; ++g) {
    std::vector<double> members(scores.begin() + g * width, scores.begin() + (g + 1) * width);
    std::sort(members.rbegin(), members.rend());
    members.resize(static_cast<size_t>(std::min(num_summed, width)));
    group_scores.push_back(std::accumulate(members.begin(), members.end(), 0.0));
  }
  std::vector<double> limited(scores.size(), 0.0);
  for (const int32_t g : highest(group_scores, config.topk_group)) {
    std::copy_n(scores.begin() + g * width, width, limited.begin() + g * width);
  }
  return limited;
}

// Each pick's weight is a softmax over the experts that are close enough to the highest one left.
RoutedToken sparse_mixer(std::vector<double> logits, const MoeConfig& config) {
  const std::vector<double> original = logits;
  RoutedToken routed;
  for (int64_t k = 0; k < config.top_k; ++k) {
    const int32_t best = highest(logits, 1)[0];
    const double top = logits[static_cast<size_t>(best)];
    double total = 0.0;
    for (size_t e = 0; e < logits.size(); ++e) {
      if (logits[e] == kMinusInfinity) continue;
      const double scale = std::max(std::abs(original[e]), top);
      const bool far = (top - original[e]) / scale > 2.0 * config.sparse_mixer_epsilon;
      if (!far) total += std::exp(original[e] - top);
    }
    routed.expert_ids.push_back(best);
    routed.weights.push_back(1.0 / total);
    logits[static_cast<size_t>(best)] = kMinusInfinity;
  }
  return routed;
}

}  // namespace

RoutedToken select_experts(std::span<const float> logits, std::span<const float> selection_bias,
                           const MoeConfig& config) {
  const std::vector<double> wide(logits.begin(), logits.end());
  const Mode mode = config.normalization_mode;
  if (mode == Mode::kSparseMixer) return sparse_mixer(wide, config);

  const bool limited = mode == Mode::kDeviceLimited || mode == Mode::kDeviceLimitedRenorm;
  std::vector<double> scores, selection;
  if (mode == Mode::kSigmoidBiasRenorm) {
    for (const double logit : wide) scores.push_back(1.0 / (1.0 + std::exp(-logit)));
    selection = scores;
    for (size_t e = 0; e < selection_bias.size(); ++e) selection[e] += selection_bias[e];
    selection = limit_groups(selection, config, 2);
  } else {
    scores = softmax(wide);
    if (limited) scores = limit_groups(scores, config, 1);
    selection = limited ? scores : wide;  // logits rank like probabilities, without rounding to 0
  }
  RoutedToken routed{.expert_ids = highest(selection, config.top_k), .weights = {}};
  double sum = 0.0;
  for (const int32_t e : routed.expert_ids) {
    routed.weights.push_back(scores[static_cast<size_t>(e)]);
    sum += routed.weights.back();
  }
  const bool sigmoid = mode == Mode::kSigmoidBiasRenorm;
  const bool renorm = mode == Mode::kRenormalize || mode == Mode::kDeviceLimitedRenorm ||
                      (sigmoid && config.norm_topk_prob);
  const bool scaled = sigmoid || mode == Mode::kDeviceLimited;
  for (double& weight : routed.weights) {
    if (renorm) weight /= sigmoid ? sum + 1e-20 : sum;
    if (scaled) weight *= config.routed_scaling_factor;
  }
  return routed;
}

}  // namespace glmoe::ref
