#include "gpu/gpu_backend.h"

#include "base/error.h"
#include "device/gpu_info.h"
#include "gpu/gpu_executor.h"
#include "gpu/gpu_weights.h"

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

struct GpuBackend::Impl {
  Glm4MoeConfig config;
  GpuInfo gpu;
  std::shared_ptr<const GpuWeights> weights;
};

std::string GpuBackend::why_not() {
  const GpuQuery query = query_gpus();
  if (query.gpus.empty()) return query.reason;
  const GpuInfo& gpu = query.gpus[0];
  if (gpu.compute_major == 9 && gpu.compute_minor == 0) return "";
  return fmt::format(
      "GPU 0, {}, has compute capability {}.{}: the kernels are built for 9.0 (Hopper: H100, H200)",
      gpu.name, gpu.compute_major, gpu.compute_minor);
}

GpuBackend::GpuBackend(const Glm4MoeConfig& config, const Glm4MoeWeights* weights, DType dtype,
                       ThreadTeam& team)
    : impl_(std::make_shared<Impl>()) {
  const std::string reason = why_not();
  if (!reason.empty()) fail(ErrorCode::kUnavailable, "backend cuda: {}", reason);
  if (dtype != DType::kBF16 && dtype != DType::kF16) {
    fail(ErrorCode::kUnsupported,
         "backend cuda computes in bfloat16 or float16, not in {}: give --dtype bfloat16, or "
         "--backend cpu",
         dtype_long_name(dtype));
  }
  check_shapes(config);
  impl_->config = config;
  impl_->gpu = query_gpus().gpus[0];
  GLMOE_CUDA(cudaSetDevice(impl_->gpu.index));
  const auto type = dtype == DType::kBF16 ? cuda::ElementType::kBf16 : cuda::ElementType::kF16;
  impl_->weights = weights != nullptr
                       ? std::make_shared<const GpuWeights>(config, *weights, type, team)
                       : std::make_shared<const GpuWeights>(config, type, /*seed=*/1);
}
GpuBackend::~GpuBackend() = default;

std::string GpuBackend::device_name() const { return impl_->gpu.name; }

int64_t GpuBackend::free_bytes() const {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  GLMOE_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
  return static_cast<int64_t>(free_bytes);
}

int64_t GpuBackend::weights_bytes() const {
  return static_cast<int64_t>(impl_->weights->num_bytes());
}

int64_t GpuBackend::workspace_bytes(const GpuExecutorOptions& options) const {
  return GpuModel::workspace_bytes(impl_->config, {.max_rows = options.max_num_tokens,
                                                   .max_logit_rows = options.max_batch_size,
                                                   .max_positions = options.max_seq_len});
}

std::unique_ptr<Executor> GpuBackend::make_executor(const GpuExecutorOptions& options,
                                                    ThreadTeam& team) const {
  return std::make_unique<GpuExecutor>(impl_->config, impl_->weights, options, impl_->gpu.sm_count,
                                       team);
}

}  // namespace glmoe
