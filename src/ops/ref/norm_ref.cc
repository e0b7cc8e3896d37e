#include "ops/ref/norm_ref.h"

#include <cmath>

namespace glmoe::ref {

void rms_norm_row(const float* x, const float* gamma, int64_t n, float eps, float* out) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(x[i] * scale * gamma[i]);
}

void rms_norm(const TensorView& x, std::span<const float> gamma, float eps, const TensorView& out) {
  const int64_t width = x.shape[1];
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    rms_norm_row(x.as<float>() + t * width, gamma.data(), width, eps, out.as<float>() + t * width);
  }
}

void add_rms_norm(const TensorView& residual, const TensorView& delta, std::span<const float> gamma,
                  float eps, const TensorView& out) {
  for (int64_t i = 0; i < residual.num_elements(); ++i) {
    residual.as<float>()[i] += delta.as<float>()[i];
  }
  rms_norm(residual, gamma, eps, out);
}

}  // namespace glmoe::ref
