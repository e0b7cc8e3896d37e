// The functions of gpu_backend.h in a build without CUDA.
#include "base/error.h"
#include "device/gpu_info.h"
#include "gpu/gpu_backend.h"

namespace glmoe {

struct GpuBackend::Impl {};

std::string GpuBackend::why_not() { return why_no_gpu(); }

GpuBackend::GpuBackend(const Glm4MoeConfig&, const Glm4MoeWeights*, DType, ThreadTeam&) {
  fail(ErrorCode::kUnavailable, "backend cuda: {}", why_no_gpu());
}
GpuBackend::~GpuBackend() = default;
std::string GpuBackend::device_name() const { return ""; }
int64_t GpuBackend::free_bytes() const { return 0; }
int64_t GpuBackend::weights_bytes() const { return 0; }
int64_t GpuBackend::workspace_bytes(const GpuExecutorOptions&) const { return 0; }
std::unique_ptr<Executor> GpuBackend::make_executor(const GpuExecutorOptions&, ThreadTeam&) const {
  return nullptr;
}

}  // namespace glmoe
