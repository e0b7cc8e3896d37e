// Choice of experts for one token (docs/kernels/cpu-router.md). F32; a token depends on its logits
// alone. NaN never chooses: it ranks below everything, lowest index first.
#pragma once

#include <cstdint>

namespace glmoe::kernels {

enum class RouterMode : uint8_t {
  kNone,
  kRenormalize,
  kSparseMixer,
  kDeviceLimited,
  kDeviceLimitedRenorm,
  kSigmoidBias,
};

struct RouterParams {
  RouterMode mode = RouterMode::kNone;
  int64_t num_experts = 0;  // E
  int64_t top_k = 0;        // K, at most E
  int64_t n_group = 1;      // divides E
  int64_t topk_group = 1;
  float epsilon = 0.0f;         // kSparseMixer
  float scaling_factor = 1.0f;  // kDeviceLimited, kSigmoidBias
  bool normalize = false;       // kSigmoidBias
  const float* bias = nullptr;  // [E] or null
};

// Floats of scratch memory that select_token needs.
constexpr int64_t router_scratch_floats(const RouterParams& params) {
  return 2 * params.num_experts + 32;
}

// logits: [E]; ids and weights: [K], by descending selection score.
void select_token(const RouterParams& params, const float* logits, float* scratch, int32_t* ids,
                  float* weights);

}  // namespace glmoe::kernels
