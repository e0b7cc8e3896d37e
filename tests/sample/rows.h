// Rows of logits for the tests of this room.
#pragma once

#include <cmath>
#include <random>
#include <vector>

namespace glmoe::testing {

// 0 spread, 1 almost flat, 2 many ties, 3 a third banned, 4 all equal.
inline std::vector<float> logits_of_kind(int kind, uint32_t seed, size_t size) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, kind == 1 ? 0.01f : 3.0f);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = normal(random);
    if (kind == 2) logit = std::round(logit);               // many ties
    if (kind == 3 && random() % 3 == 0) logit = -INFINITY;  // bans
    if (kind == 4) logit = 0.0f;                            // all equal
  }
  return logits;
}

}  // namespace glmoe::testing
