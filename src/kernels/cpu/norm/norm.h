// RMSNorm of rows, and the work on a token's heads between the QKV product and the cache: QK norm,
// rotary embedding, rounding. A row's result depends on that row alone.
#pragma once

#include <cstdint>

namespace glmoe::kernels {

// out = gamma * x / sqrt(mean(x^2) + eps), n values; out may be x.
void rms_norm_row(const float* x, const float* gamma, int64_t n, float eps, float* out);
// residual += delta, then out = rms_norm(residual).
void add_rms_norm_row(float* residual, const float* delta, const float* gamma, int64_t n, float eps,
                      float* out);

struct HeadTransform {
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;        // even, at most head_dim
  const float* table = nullptr;  // rotary_dim / 2 cosines, then as many sines
  const float* gamma = nullptr;  // [head_dim]; null: no norm
  float eps = 0.0f;
};
// In place on `count` adjoining heads: norm, then NeoX rotation of the first rotary_dim values.
void transform_heads(const HeadTransform& transform, int64_t count, float* heads);

// Round to nearest even; NaN stays NaN.
void narrow_to_bf16(const float* x, int64_t n, uint16_t* out);

}  // namespace glmoe::kernels
