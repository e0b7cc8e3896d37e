// Faults on demand, so that tests (and whoever runs the program) can see what happens when a step
// or a device fails: GLMOE_FAULT, described in docs/errors.md.
#pragma once

#include <cstdint>
#include <string_view>

namespace glmoe {

enum class FaultKind {
  kNone,
  kNanLogits,      // the first sequence that samples in the step finds NaN among its logits
  kStepError,      // the step fails as a whole
  kGpuLost,        // a kernel of the step reads where no memory is: the GPU's context is lost
  kGpuOutOfMemory  // the GPU has no free memory when the model is loaded
};

struct Fault {
  FaultKind kind = FaultKind::kNone;
  uint64_t step = 0;  // counted from 1, over all requests

  bool strikes(FaultKind asked, uint64_t step_id) const { return kind == asked && step == step_id; }
};

// "" (none), "nan_logits:STEP", "step_error:STEP", "gpu_lost:STEP" or "gpu_oom". Throws
// kInvalidArgument naming the text.
Fault parse_fault(std::string_view text);

// Throws kInternal where `fault` is an error of this step.
void maybe_fail_step(const Fault& fault, uint64_t step_id);

}  // namespace glmoe
