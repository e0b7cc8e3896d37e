// The tokens of one forward pass: rows of several sequences, each with its place in the KV cache.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/attention.h"

namespace glmoe {

struct BatchInput {
  std::vector<int32_t> token_ids;            // [T], rows of one sequence side by side
  std::vector<AttentionSequence> sequences;  // spans point into the caller's block tables
  std::vector<int64_t> logit_rows;           // rows whose logits are wanted, ascending
  int64_t num_tokens() const { return static_cast<int64_t>(token_ids.size()); }
};

}  // namespace glmoe
