#include "gpu/gpu_checks.h"

#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "gpu/gpu_backend.h"

namespace glmoe {
namespace {

// The widths that the kernels take: matrices in panels of 64 columns, rows in chunks of 8 values.
void check_shapes(const Glm4MoeConfig& config) {
  std::vector<std::string> reasons;
  if (config.hidden_size % 64 != 0) {
    reasons.push_back(fmt::format("hidden_size {} is not a multiple of 64", config.hidden_size));
  }
  if (config.q_size() % 8 != 0 || config.kv_size() % 8 != 0) {
    reasons.push_back(
        fmt::format("heads of size {} make rows that are no multiple of 8", config.head_dim));
  }
  if (config.head_dim > 256) {
    reasons.push_back(fmt::format("head_dim {} is above 256", config.head_dim));
  }
  if (config.moe.top_k > 32 || config.moe.num_experts > 1024 || config.moe.num_shared_experts > 8) {
    reasons.push_back("more than 1024 experts, 32 of them a token, or 8 shared ones");
  }
  if (reasons.empty()) return;
  fail(ErrorCode::kUnsupported, "backend cuda cannot run this model: {}. Use --backend cpu",
       fmt::join(reasons, "; "));
}

}  // namespace

void require_gpu() {
  const std::string reason = GpuBackend::why_not();
  if (!reason.empty()) fail(ErrorCode::kUnavailable, "backend cuda: {}", reason);
}

cuda::ElementType check_gpu_runs(const Glm4MoeConfig& config, DType dtype) {
  require_gpu();
  if (dtype != DType::kBF16 && dtype != DType::kF16) {
    fail(ErrorCode::kUnsupported,
         "backend cuda computes in bfloat16 or float16, not in {}: give --dtype bfloat16, or "
         "--backend cpu",
         dtype_long_name(dtype));
  }
  check_shapes(config);
  return dtype == DType::kBF16 ? cuda::ElementType::kBf16 : cuda::ElementType::kF16;
}

}  // namespace glmoe
