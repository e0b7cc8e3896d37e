// RMSNorm (model_spec 2.1): y = gamma * x * rsqrt(mean(x^2) + eps), in F32.
#pragma once

#include <span>

#include "ops/op_context.h"

namespace glmoe {

// x, out: [T, H] F32 (may be the same memory); gamma: [H].
void rms_norm(const OpContext& ctx, const TensorView& x, std::span<const float> gamma, float eps,
              const TensorView& out);

// residual += delta, then out = rms_norm(residual). All [T, H] F32.
void add_rms_norm(const OpContext& ctx, const TensorView& residual, const TensorView& delta,
                  std::span<const float> gamma, float eps, const TensorView& out);

}  // namespace glmoe
