#include "step/step.h"

namespace glmoe {

int64_t StepPlan::num_tokens() const {
  int64_t count = 0;
  for (const SequenceStep& sequence : sequences) {
    count += static_cast<int64_t>(sequence.token_ids.size());
  }
  return count;
}

}  // namespace glmoe
