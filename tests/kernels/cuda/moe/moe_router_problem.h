// The router's inputs and outputs on the device for one case, and the logits in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/moe/moe_router.h"
#include "moe/moe_router_reference.h"
#include "test_values.h"

namespace glmoe::cuda_test {

struct RouterCase {
  int64_t num_rows;
  int hidden_size, num_experts, top_k, num_shared;
  int n_group = 1, topk_group = 1;

  size_t rows() const { return static_cast<size_t>(num_rows); }
  size_t width() const { return static_cast<size_t>(hidden_size); }
  size_t experts() const { return static_cast<size_t>(num_experts); }
  double numbers() const { return static_cast<double>((rows() + experts()) * width()); }
  size_t slots() const { return static_cast<size_t>(top_k + num_shared); }
};

inline std::string describe(const RouterCase& c, cuda::MoeRouterMode mode) {
  return std::to_string(c.num_rows) + " x " + std::to_string(c.hidden_size) + ", " +
         std::to_string(c.top_k) + " of " + std::to_string(c.num_experts) + ", mode " +
         std::to_string(static_cast<int>(mode)) + " ";
}

struct RouterProblem {
  explicit RouterProblem(const RouterCase& c)
      : RouterProblem(c, normal_values<float>(c.rows() * c.width(), 1.0f, 21),
                      // Logits of about 2 whatever H.
                      normal_values<float>(c.experts() * c.width(),
                                           2.0f / std::sqrt(static_cast<float>(c.hidden_size)), 22),
                      normal_values<float>(c.experts(), 0.1f, 23)) {}
  RouterProblem(const RouterCase& c, std::vector<float> x_values, std::vector<float> weight_values,
                std::vector<float> bias_values)
      : shape(c),
        x(std::move(x_values)),
        weight(std::move(weight_values)),
        bias(std::move(bias_values)),
        ids(c.rows() * c.slots()),
        weights(c.rows() * c.slots()),
        slots(c.rows() * c.slots()),
        positions(c.rows() * c.slots()),
        offsets(c.experts() + static_cast<size_t>(c.num_shared) + 1) {
    params.x = x_dev.data();
    params.weight = weight_dev.data();
    params.selection_bias = bias_dev.data();
    params.expert_ids = ids.data();
    params.weights = weights.data();
    params.num_rows = c.num_rows;
    params.hidden_size = c.hidden_size;
    params.num_experts = c.num_experts;
    params.top_k = c.top_k;
    params.num_shared = c.num_shared;
    params.n_group = c.n_group;
    params.topk_group = c.topk_group;
    params.epsilon = 0.2f;
    params.scaling_factor = 1.5f;
    params.normalize = true;
    workspace = std::make_unique<cuda::DeviceArray<char>>(
        cuda::moe_router_workspace_bytes(c.num_rows, params));
    GLMOE_CUDA(cudaMemset(workspace->data(), 0, workspace->num_bytes()));
    params.workspace = workspace->data();
    params.workspace_bytes = workspace->num_bytes();
  }
  // The rows are `by` times as large, and come with a factor that makes up for it, or nearly so.
  void scale_rows(float by) {
    for (float& value : x) value *= by;
    factors = normal_values<float>(shape.rows(), 0.1f / by, 24);
    for (float& value : factors) value += 1.0f / by;
    x_dev.upload(x);
    factors_dev = std::make_unique<cuda::DeviceArray<float>>(factors);
    params.row_factors = factors_dev->data();
    known_logits.clear();
  }
  void sorted() {
    params.expert_offsets = offsets.data();
    params.sorted_slot = slots.data();
    params.position_of = positions.data();
  }
  void run(cuda::MoeRouterMode mode) {
    params.mode = mode;
    poison(ids), poison(weights), poison(slots), poison(positions), poison(offsets);
    cuda::launch_moe_router(params, nullptr);
    found_ids = ids.download();
    found_weights = weights.download();
  }
  // Of token t; with the sum of the products' sizes, which says what their rounding may cost.
  Doubles logits(size_t t, double* sizes) {
    const auto [known, is_new] = known_logits.try_emplace(t);
    if (is_new) known->second = make_logits(t);
    *sizes = known->second.sizes;
    return known->second.values;
  }
  std::vector<int32_t> ids_of(size_t t) const {
    const auto first = found_ids.begin() + static_cast<ptrdiff_t>(t * shape.slots());
    return std::vector<int32_t>(first, first + shape.top_k);
  }

  struct Logits {
    Doubles values;
    double sizes = 0.0;
  };
  Logits make_logits(size_t t) const {
    const double factor = factors.empty() ? 1.0 : static_cast<double>(factors[t]);
    Logits logits;
    for (size_t e = 0; e < shape.experts(); ++e) {
      double sum = 0.0, size = 0.0;
      for (size_t i = 0; i < shape.width(); ++i) {
        const double product = factor * static_cast<double>(x[t * shape.width() + i]) *
                               static_cast<double>(weight[e * shape.width() + i]);
        sum += product;
        size += std::abs(product);
      }
      logits.values.push_back(sum);
      logits.sizes = std::max(logits.sizes, size);
    }
    return logits;
  }

  RouterCase shape;
  std::vector<float> x, weight, bias, factors;
  std::map<size_t, Logits> known_logits;  // all modes start from the same
  cuda::DeviceArray<float> x_dev{x}, weight_dev{weight}, bias_dev{bias};
  std::unique_ptr<cuda::DeviceArray<float>> factors_dev;
  cuda::DeviceArray<int32_t> ids;
  cuda::DeviceArray<float> weights;
  cuda::DeviceArray<int32_t> slots, positions, offsets;
  std::unique_ptr<cuda::DeviceArray<char>> workspace;
  cuda::MoeRouterParams params;
  std::vector<int32_t> found_ids;
  std::vector<float> found_weights;
};

}  // namespace glmoe::cuda_test
