// Matrix products as loops in double: what the fast kernels are compared with.
#pragma once

#include <span>

#include "ops/op_context.h"

namespace glmoe::ref {

// Element i of a plain F32, BF16 or F16 tensor.
double element(const TensorView& tensor, int64_t i);
// x as an input of a product computed in `compute_dtype`: rounded where that is BF16.
double product_input(float x, DType compute_dtype);

// The contracts of ops/linear.h, without its checks; sums in double.
void linear(DType compute_dtype, const TensorView& x, const QuantView& weight,
            std::span<const float> bias, const TensorView& out);
void swiglu_mlp(DType compute_dtype, const TensorView& x, const QuantView& gate_up,
                const QuantView& down, const TensorView& out, bool accumulate = false);

}  // namespace glmoe::ref
