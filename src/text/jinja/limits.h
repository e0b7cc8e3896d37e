// What one rendering may cost; beyond it, it ends with an error that names the limit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glmoe::jinja {

struct Limits {
  size_t max_steps = 10'000'000;               // evaluated nodes and turns of inner loops
  size_t max_output_bytes = size_t{4} << 20;   // of the rendered text, and of any one string
  size_t max_value_bytes = size_t{256} << 20;  // of all strings and lists made on the way
  int max_call_depth = 128;                    // macros that call macros
  int64_t max_time_ms = 1000;                  // of computing, not of waiting for a processor
};

// range() gives at most this many numbers, as in Jinja's sandbox.
constexpr int64_t kMaxRange = 100'000;

}  // namespace glmoe::jinja
