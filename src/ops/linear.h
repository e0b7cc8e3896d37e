// Matrix products with weights stored [out, in], and the SwiGLU MLP made of them.
#pragma once

#include <span>

#include "ops/op_context.h"

namespace glmoe {

// out = x W^T + bias. x: [T, K] F32; weight: [N, K] F32, BF16 or F16; bias: [N] or empty;
// out: [T, N] F32. Inputs are rounded to ctx.compute_dtype, sums are F32.
void linear(const OpContext& ctx, const TensorView& x, const QuantView& weight,
            std::span<const float> bias, const TensorView& out);

// SwiGLU MLP: out = (silu(x G^T) * (x U^T)) D^T. x: [T, H]; gate_up: [2F, H], rows 0..F-1 G and
// F..2F-1 U; down: [H, F]; out: [T, H]. With `accumulate` the result is added to out.
void swiglu_mlp(const OpContext& ctx, const TensorView& x, const QuantView& gate_up,
                const QuantView& down, const TensorView& out, bool accumulate = false);

}  // namespace glmoe
