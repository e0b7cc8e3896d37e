#include "gpu/gpu_backend.h"

#include "base/env.h"
#include "base/error.h"
#include "gpu/gpu_checks.h"
#include "gpu/gpu_executor.h"
#include "gpu/gpu_memory.h"
#include "gpu/gpu_weights.h"

namespace glmoe {
namespace {

int64_t free_gpu_bytes() {
  if (env::get().fault.kind == FaultKind::kGpuOutOfMemory) return 0;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  GLMOE_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
  return static_cast<int64_t>(free_bytes);
}

}  // namespace

GpuMemoryNeed gpu_memory_need(const Glm4MoeConfig& config, DType dtype,
                              const GpuExecutorOptions& options) {
  constexpr int kSmsOfAnH100 = 132;
  const GpuQuery query = query_gpus();
  return gpu_memory_need(config, dtype, options,
                         query.gpus.empty() ? kSmsOfAnH100 : query.gpus[0].sm_count);
}

struct GpuBackend::Impl {
  Glm4MoeConfig config;
  DType dtype;
  GpuInfo gpu;
  std::shared_ptr<const GpuWeights> weights;
};

GpuBackend::GpuBackend(const Glm4MoeConfig& config, const Glm4MoeWeights* weights, DType dtype,
                       ThreadTeam& team)
    : impl_(std::make_shared<Impl>()) {
  impl_->gpu = use_gpu();
  const cuda::ElementType type = check_gpu_runs(config, dtype);
  impl_->config = config;
  impl_->dtype = dtype;
  check_weights_fit(config, dtype, impl_->gpu, free_gpu_bytes());
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
  check_workspace_fits(impl_->config, impl_->dtype, options, impl_->gpu, free_gpu_bytes());
  return GpuExecutor::workspace_bytes(impl_->config, options, impl_->gpu.sm_count);
}

std::unique_ptr<Executor> GpuBackend::make_executor(const GpuExecutorOptions& options,
                                                    ThreadTeam& team) const {
  return std::make_unique<GpuExecutor>(impl_->config, impl_->weights, options, impl_->gpu.sm_count,
                                       team);
}

}  // namespace glmoe
