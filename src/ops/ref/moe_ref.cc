#include "ops/ref/moe_ref.h"

#include <algorithm>
#include <vector>

#include "ops/ref/linear_ref.h"

namespace glmoe::ref {

void routed_experts(DType compute_dtype, const TensorView& x, const Routing& routing,
                    const ExpertsView& experts, const TensorView& out, bool accumulate) {
  const int64_t width = x.shape[1], top_k = routing.expert_ids.shape[1];
  std::vector<float> one(static_cast<size_t>(width));
  std::vector<double> sum(static_cast<size_t>(width));
  const Shape row_shape{1, width};
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    std::fill(sum.begin(), sum.end(), 0.0);
    const TensorView row{x.as<float>() + t * width, DType::kF32, row_shape};
    for (int64_t j = t * top_k; j < (t + 1) * top_k; ++j) {
      const int64_t e = routing.expert_ids.as<const int32_t>()[j];
      swiglu_mlp(compute_dtype, row, experts.gate_up.matrix(e), experts.down.matrix(e),
                 {one.data(), DType::kF32, row_shape});
      for (size_t i = 0; i < sum.size(); ++i) {
        sum[i] += static_cast<double>(routing.weights.as<const float>()[j]) * one[i];
      }
    }
    float* target = out.as<float>() + t * width;
    for (size_t i = 0; i < sum.size(); ++i) {
      target[i] = static_cast<float>(accumulate ? target[i] + sum[i] : sum[i]);
    }
  }
}

}  // namespace glmoe::ref
