// What tests of ops share: a team, a workspace, random numbers that don't change, small views.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "ops/op_context.h"

namespace glmoe::testing {

// `count` numbers uniform in [-scale, scale).
inline std::vector<float> random_floats(int64_t count, uint64_t seed, float scale = 1.0f) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = scale * static_cast<float>(2.0 * random_uniform(seed, 0, i) - 1.0);
  }
  return values;
}

inline TensorView matrix_view(std::vector<float>& values, int64_t rows, int64_t cols) {
  return {.data = values.data(), .dtype = DType::kF32, .shape = Shape{rows, cols}};
}

struct OpEnvironment {
  explicit OpEnvironment(int num_threads = 2) : team(num_threads) {}
  OpContext context() { return {.team = &team, .workspace = &workspace}; }
  ThreadTeam team;
  Workspace workspace;
};

}  // namespace glmoe::testing
