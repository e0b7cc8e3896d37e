#include "gpu/gpu_backend.h"

#include "base/env.h"
#include "base/error.h"
#include "gpu/gpu_checks.h"
#include "gpu/gpu_executor.h"
#include "gpu/gpu_weights.h"
#include "spec/memory_plan.h"

namespace glmoe {
namespace {

int64_t free_gpu_bytes() {
  if (env::get().fault.kind == FaultKind::kGpuOutOfMemory) return 0;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  GLMOE_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
  return static_cast<int64_t>(free_bytes);
}

std::string gib(int64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
}

// Before minutes of copying: whether the weights find room at all.
void check_weights_fit(const Glm4MoeConfig& config, DType dtype, const GpuInfo& gpu) {
  const MemoryPlan plan = plan_memory(config, {.weight_dtype = dtype, .kv_dtype = dtype});
  const int64_t free_bytes = free_gpu_bytes();
  if (plan.weight_bytes() <= free_bytes) return;
  fail(ErrorCode::kOutOfMemory,
       "the weights take {} of GPU memory in {} (embedding {}, attention {}, dense MLPs {}, routed "
       "experts {}, shared experts {}, routers {}, norms {}, lm_head {}), and on GPU 0, {}, {} of "
       "{} are free: take a smaller model or a larger GPU, end other programs on it, or give "
       "--backend cpu (glmoe plan shows every part)",
       gib(plan.weight_bytes()), dtype_long_name(dtype), gib(plan.embedding), gib(plan.attention),
       gib(plan.dense_mlp), gib(plan.routed_experts), gib(plan.shared_experts), gib(plan.router),
       gib(plan.norms), gib(plan.lm_head), gpu.name, gib(free_bytes), gib(gpu.memory_bytes));
}

}  // namespace

struct GpuBackend::Impl {
  Glm4MoeConfig config;
  GpuInfo gpu;
  std::shared_ptr<const GpuWeights> weights;
};

GpuBackend::GpuBackend(const Glm4MoeConfig& config, const Glm4MoeWeights* weights, DType dtype,
                       ThreadTeam& team)
    : impl_(std::make_shared<Impl>()) {
  impl_->gpu = use_gpu();
  const cuda::ElementType type = check_gpu_runs(config, dtype);
  impl_->config = config;
  check_weights_fit(config, dtype, impl_->gpu);
  impl_->weights = weights != nullptr
                       ? std::make_shared<const GpuWeights>(config, *weights, type, team)
                       : std::make_shared<const GpuWeights>(config, type, /*seed=*/1);
}
GpuBackend::~GpuBackend() = default;

std::string GpuBackend::device_name() const { return impl_->gpu.name; }

int64_t GpuBackend::free_bytes() const { return free_gpu_bytes(); }

int64_t GpuBackend::weights_bytes() const {
  return static_cast<int64_t>(impl_->weights->num_bytes());
}

int64_t GpuBackend::workspace_bytes(const GpuExecutorOptions& options) const {
  return GpuExecutor::workspace_bytes(impl_->config, options, impl_->gpu.sm_count);
}

std::unique_ptr<Executor> GpuBackend::make_executor(const GpuExecutorOptions& options,
                                                    ThreadTeam& team) const {
  return std::make_unique<GpuExecutor>(impl_->config, impl_->weights, options, impl_->gpu.sm_count,
                                       team);
}

}  // namespace glmoe
