#include "spec/prefill_flops.h"

namespace glmoe {
namespace {

double real(int64_t count) { return static_cast<double>(count); }

// Multiply-adds of one row in the second half of a layer: MLP or MoE block.
double feed_forward_row(const Glm4MoeConfig& config, int64_t layer) {
  const double hidden = real(config.hidden_size);
  if (!config.is_moe_layer(layer)) return 3 * hidden * real(config.intermediate_size);
  const MoeConfig& moe = config.moe;
  const int64_t width =
      moe.top_k * moe.moe_intermediate_size + moe.shared_expert_intermediate_size();
  return hidden * real(moe.num_experts) + 3 * hidden * real(width);
}

}  // namespace

double prefill_flops(const Glm4MoeConfig& config, int64_t num_tokens) {
  const double tokens = real(num_tokens), hidden = real(config.hidden_size);
  const double q = real(config.q_size()), kv = real(config.kv_size());
  const double projections = tokens * hidden * (2 * q + 2 * kv);
  const double pairs = tokens * (tokens + 1) / 2;
  double multiply_adds = hidden * real(config.vocab_size);
  for (int64_t l = 0; l < config.num_hidden_layers; ++l) {
    const double rows = l + 1 == config.num_hidden_layers ? 1 : tokens;
    multiply_adds += projections + 2 * q * pairs + rows * feed_forward_row(config, l);
  }
  return 2 * multiply_adds;
}

}  // namespace glmoe
