// What the sampling kernels say about a row.
#pragma once

#include <cstdint>

namespace glmoe::cuda {

enum class SampleStatus : int32_t {
  kSampled = 0,
  kNanLogits = 1,       // first_nan says where
  kNothingToSample = 2  // all logits are -infinity
};

struct SampleOutcome {
  int32_t token_id;      // -1 where status is not kSampled
  SampleStatus status;   // a row's own; its neighbours go on
  int32_t first_nan;     // the first token whose logit is NaN; -1 without one
  int32_t num_logprobs;  // entries written for this row; 0 where none were asked for
};

}  // namespace glmoe::cuda
