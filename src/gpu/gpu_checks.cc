#include "gpu/gpu_checks.h"

#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "gpu/gpu_backend.h"
#include "kernels/cuda/common/cuda_check.h"
#include "kernels/cuda/sample/sample.h"

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
  if (config.vocab_size > cuda::kMaxSampleVocab) {
    reasons.push_back(
        fmt::format("vocab_size {} is above {}", config.vocab_size, cuda::kMaxSampleVocab));
  }
  if (reasons.empty()) return;
  fail(ErrorCode::kUnsupported, "backend cuda cannot run this model: {}. Use --backend cpu",
       fmt::join(reasons, "; "));
}

std::string why_not(const GpuQuery& query) {
  if (query.gpus.empty()) return query.reason;
  const GpuInfo& gpu = query.gpus[0];
  if (gpu.compute_major == 9 && gpu.compute_minor == 0) return "";
  return fmt::format(
      "GPU 0, {}, has compute capability {}.{}: the kernels are built for 9.0 (Hopper: H100, H200)",
      gpu.name, gpu.compute_major, gpu.compute_minor);
}

}  // namespace

std::string GpuBackend::why_not() { return glmoe::why_not(query_gpus()); }

GpuInfo use_gpu() {
  const GpuQuery query = query_gpus();
  const std::string reason = why_not(query);
  if (!reason.empty()) fail(ErrorCode::kUnavailable, "backend cuda: {}", reason);
  GLMOE_CUDA(cudaSetDevice(query.gpus[0].index));
  return query.gpus[0];
}

cuda::ElementType check_gpu_runs(const Glm4MoeConfig& config, DType dtype) {
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
