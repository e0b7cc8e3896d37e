// `glmoe verify --model A --source B`: tensor by tensor, what differs, what is missing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_team.h"

namespace glmoe {

struct TensorDifference {
  std::string name;
  std::vector<int64_t> position;  // of the first element that differs
  double max_abs_diff = 0.0;      // infinite where a NaN stands against a number
  int64_t num_different = 0;
};

struct CompareReport {
  int64_t compared = 0;                     // tensors in both
  std::vector<TensorDifference> different;  // in the plan's order
  std::vector<std::string> missing;         // in the source, not in the engine
  std::vector<std::string> extra;           // in the engine, not in the source
  bool equal() const { return different.empty() && missing.empty() && extra.empty(); }
};

// Both may be any kind of model folder, of any number of ranks. The source is brought to the
// engine's element types first; then every bit counts.
CompareReport compare_engine_with_source(const std::string& engine_path,
                                         const std::string& source_path, ThreadTeam& team);

}  // namespace glmoe
