#include "spec/step_floor.h"

#include <algorithm>

#include "base/check.h"
#include "spec/prefill_flops.h"

namespace glmoe {
namespace {

double real(int64_t count) { return static_cast<double>(count); }

}  // namespace

double step_bytes(const Glm4MoeConfig& config, const MemoryPlan& plan, double experts,
                  double kv_tokens) {
  double bytes = real(plan.attention + plan.dense_mlp + plan.shared_experts + plan.router +
                      plan.norms + plan.head_read);
  const int64_t stacked = config.num_moe_layers() * config.moe.num_experts;
  if (stacked > 0) bytes += real(plan.routed_experts) / real(stacked) * experts;
  return bytes + real(plan.kv_bytes_per_token) * kv_tokens;
}

double decode_flops(const Glm4MoeConfig& config, double num_sequences, double context) {
  const double further_pairs =
      4.0 * real(config.q_size()) * real(config.num_hidden_layers) * (context - 1.0);
  return num_sequences * (prefill_flops(config, 1) + further_pairs);
}

int64_t experts_between(const std::vector<std::vector<uint64_t>>& before,
                        const std::vector<std::vector<uint64_t>>& after) {
  GLMOE_CHECK_EQ(before.size(), after.size());
  int64_t count = 0;
  for (size_t l = 0; l < before.size(); ++l) {
    GLMOE_CHECK_EQ(before[l].size(), after[l].size());
    for (size_t e = 0; e < before[l].size(); ++e) count += after[l][e] > before[l][e] ? 1 : 0;
  }
  return count;
}

double floor_us(double bytes, double flops, double read_gb_per_s, double matrix_tflop_per_s) {
  const double reading = read_gb_per_s > 0.0 ? bytes / read_gb_per_s * 1e-3 : 0.0;
  const double computing = matrix_tflop_per_s > 0.0 ? flops / matrix_tflop_per_s * 1e-6 : 0.0;
  return std::max(reading, computing);
}

}  // namespace glmoe
