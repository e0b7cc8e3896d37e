// The router's modes written down once more, in double with sorting: what select_experts is
// compared with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "glmoe/config.h"

namespace glmoe::ref {

struct RoutedToken {
  std::vector<int32_t> expert_ids;  // K, by descending selection score
  std::vector<double> weights;      // K
};

// The experts of one token from its E logits; selection_bias: [E] or empty.
RoutedToken select_experts(std::span<const float> logits, std::span<const float> selection_bias,
                           const MoeConfig& config);

}  // namespace glmoe::ref
