// The routed experts, a token and a slot at a time, in double.
#pragma once

#include "ops/moe.h"

namespace glmoe::ref {

// The contract of ops/moe.h, without its checks.
void routed_experts(DType compute_dtype, const TensorView& x, const Routing& routing,
                    const ExpertsView& experts, const TensorView& out, bool accumulate = false);

}  // namespace glmoe::ref
