// The router on the GPU: logits, choice of experts and their weights, and for those who want it the
// slots in expert order. Meaning and modes as docs/kernels/cpu-router.md; how and how fast:
// docs/kernels/cuda-moe-router.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace glmoe::cuda {

// In the order of kernels::RouterMode.
enum class MoeRouterMode : uint8_t {
  kNone,
  kRenormalize,
  kSparseMixer,
  kDeviceLimited,
  kDeviceLimitedRenorm,
  kSigmoidBias,
};

inline constexpr int kMoeMaxExperts = 1024;  // E
inline constexpr int kMoeMaxTopK = 32;       // K
inline constexpr int kMoeMaxShared = 8;      // n

// Device memory throughout; x, weight and workspace 16-byte aligned, rows dense. E routed experts,
// n shared ones behind them (numbers E..E+n-1) that every token takes with weight 1, K' = K + n.
struct MoeRouterParams {
  const float* x = nullptr;               // [T, H]
  const float* row_factors = nullptr;     // [T] or nullptr: row t's logits are multiplied by it
  const float* weight = nullptr;          // [E, H]
  const float* selection_bias = nullptr;  // [E]; may be nullptr; for kSigmoidBias
  const int* num_valid = nullptr;         // one number or nullptr: rows from it on are padding
  int32_t* expert_ids = nullptr;          // [T, K'], -1 in padding
  float* weights = nullptr;               // [T, K'], 0 in padding
  unsigned long long* expert_counts = nullptr;  // [E]; may be nullptr; tokens are added to it
  // All three or none: what launch_moe_sort makes of expert_ids, with E + n experts.
  int32_t* expert_offsets = nullptr;  // [E + n + 1]
  int32_t* sorted_slot = nullptr;     // [T * K']
  int32_t* position_of = nullptr;     // [T * K']
  // moe_router_workspace_bytes(); zeros before its first use, and then one stream's at a time.
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  int64_t num_rows = 0;  // T, 0 to 2^20; 0 does nothing
  int hidden_size = 0;   // H: a multiple of 8
  MoeRouterMode mode = MoeRouterMode::kNone;
  int num_experts = 0;  // E: 1 to 1024
  int top_k = 0;        // K: 1 to 32, at most E
  int num_shared = 0;   // n: 0 to 8
  int n_group = 1;      // divides E
  int topk_group = 1;
  float epsilon = 0.0f;         // kSparseMixer
  float scaling_factor = 1.0f;  // kDeviceLimited, kSigmoidBias
  bool normalize = false;       // kSigmoidBias
};

// Enough for any num_rows up to max_rows, the sort included.
size_t moe_router_workspace_bytes(int64_t max_rows, const MoeRouterParams& shape);
// Of its beginning: what really has to be zero before the first use.
inline constexpr size_t kMoeRouterZeroBytes = 128;

// Enqueues one kernel for few tokens, a few for many; none depends on more than the parameters. A
// token's ids and weights are the same bits in any batch. Infinite activations give NaN logits.
// Throws Error{kInvalidArgument} for parameters outside the above.
void launch_moe_router(const MoeRouterParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
