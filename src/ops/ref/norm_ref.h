// RMSNorm as model_spec 2.1 writes it, in double: what the fast kernels are compared with.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace glmoe::ref {

// The contracts of ops/norm.h, without its checks.
void rms_norm(const TensorView& x, std::span<const float> gamma, float eps, const TensorView& out);
void add_rms_norm(const TensorView& residual, const TensorView& delta, std::span<const float> gamma,
                  float eps, const TensorView& out);

// One row of `n` values; out may be x.
void rms_norm_row(const float* x, const float* gamma, int64_t n, float eps, float* out);

}  // namespace glmoe::ref
