// The routed experts: out = sum_j weight_j * Expert_j(x), each expert a SwiGLU MLP.
#pragma once

#include "ops/op_context.h"
#include "ops/router.h"

namespace glmoe {

struct ExpertsView {
  QuantView gate_up;  // [E, 2I, H]
  QuantView down;     // [E, H, I]
};

// Tokens sorted by expert, one grouped product over all experts that have any, contributions summed
// in F32 in the order of the token's K slots. x: [T, H] F32; out: [T, H] F32, overwritten, or added
// to with `accumulate`. Any distribution of tokens over experts is legal.
void grouped_experts(const OpContext& ctx, const TensorView& x, const Routing& routing,
                     const ExpertsView& experts, const TensorView& out, bool accumulate = false);

// The same by a plain loop over the experts (gather, swiglu_mlp, weighted scatter): the reference
// that the grouped form is compared with, to the bit.
void looped_experts(const OpContext& ctx, const TensorView& x, const Routing& routing,
                    const ExpertsView& experts, const TensorView& out, bool accumulate = false);

}  // namespace glmoe
