#include "ops/ref/linear_ref.h"

#include <cmath>
#include <vector>

namespace glmoe::ref {
namespace {

double dot(DType compute_dtype, const float* x, const QuantView& weight, int64_t n) {
  const int64_t k = weight.cols();
  double sum = 0.0;
  for (int64_t i = 0; i < k; ++i) {
    sum += product_input(x[i], compute_dtype) * element(weight.codes, n * k + i);
  }
  return sum;
}

}  // namespace

double element(const TensorView& tensor, int64_t i) {
  if (tensor.dtype == DType::kBF16) return bf16_to_f32(tensor.as<const uint16_t>()[i]);
  if (tensor.dtype == DType::kF16) return f16_to_f32(tensor.as<const uint16_t>()[i]);
  return tensor.as<const float>()[i];
}

double product_input(float x, DType compute_dtype) {
  return compute_dtype == DType::kBF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

void linear(DType compute_dtype, const TensorView& x, const QuantView& weight,
            std::span<const float> bias, const TensorView& out) {
  const int64_t n = weight.rows(), k = weight.cols();
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    for (int64_t i = 0; i < n; ++i) {
      const double sum = dot(compute_dtype, x.as<const float>() + t * k, weight, i);
      out.as<float>()[t * n + i] =
          static_cast<float>(bias.empty() ? sum : sum + bias[static_cast<size_t>(i)]);
    }
  }
}

void swiglu_mlp(DType compute_dtype, const TensorView& x, const QuantView& gate_up,
                const QuantView& down, const TensorView& out, bool accumulate) {
  const int64_t width = x.shape[1], hidden = down.cols();
  std::vector<float> h(static_cast<size_t>(hidden));
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    const float* row = x.as<const float>() + t * width;
    for (int64_t f = 0; f < hidden; ++f) {
      const double gate = dot(compute_dtype, row, gate_up, f);
      const double up = dot(compute_dtype, row, gate_up, hidden + f);
      h[static_cast<size_t>(f)] = static_cast<float>(gate / (1.0 + std::exp(-gate)) * up);
    }
    float* target = out.as<float>() + t * width;
    for (int64_t i = 0; i < width; ++i) {
      const double sum = dot(compute_dtype, h.data(), down, i);
      target[i] = static_cast<float>(accumulate ? target[i] + sum : sum);
    }
  }
}

}  // namespace glmoe::ref
