// What runs a part of the model and why, for `glmoe explain`: pure functions of the configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "glmoe/config.h"
#include "layers/moe_backend.h"
#include "tensor/dtype.h"

namespace glmoe {

struct KernelChoice {
  std::string layers;  // "every layer", "dense layers", "MoE layers", "once a step"
  std::string part;    // "attention, decode"
  std::string kernel;
  std::string reason;
};

// What the CPU runs. `target` is the instruction set in use (kernels/cpu/target.h). Throws
// kUnsupported with every reason for a backend that the CPU does not run.
std::vector<KernelChoice> explain_on_cpu(const Glm4MoeConfig& config, MoeBackendKind moe_backend,
                                         DType compute_dtype, const std::string& target);

}  // namespace glmoe
