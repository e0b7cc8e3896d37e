// The functions of gpu_backend.h, gpu_bench.h and gpu_fused_moe.h in a build without CUDA.
#include "base/error.h"
#include "device/gpu_info.h"
#include "gpu/gpu_backend.h"
#include "gpu/gpu_bench.h"
#include "gpu/gpu_fused_moe.h"

namespace glmoe {
namespace {

[[noreturn]] void refuse() { fail(ErrorCode::kUnavailable, "backend cuda: {}", why_no_gpu()); }

}  // namespace

struct GpuBackend::Impl {};

GpuMemoryNeed gpu_memory_need(const Glm4MoeConfig&, DType, const GpuExecutorOptions&) { refuse(); }

std::string GpuBackend::why_not() { return why_no_gpu(); }

GpuBackend::GpuBackend(const Glm4MoeConfig&, const Glm4MoeWeights*, DType, ThreadTeam&) {
  refuse();
}
GpuBackend::~GpuBackend() = default;
std::string GpuBackend::device_name() const { return ""; }
int64_t GpuBackend::free_bytes() const { return 0; }
int64_t GpuBackend::weights_bytes() const { return 0; }
int64_t GpuBackend::workspace_bytes(const GpuExecutorOptions&) const { return 0; }
std::unique_ptr<Executor> GpuBackend::make_executor(const GpuExecutorOptions&, ThreadTeam&) const {
  return nullptr;
}

size_t gpu_fused_moe_workspace(const FusedMoeCall&) { refuse(); }
void enqueue_gpu_fused_moe(const FusedMoeCall&, void*, size_t, void*) { refuse(); }

GpuRates measure_gpu_rates() { refuse(); }
std::vector<GpuMoeRow> bench_gpu_moe(const Glm4MoeConfig&, DType,
                                     const std::vector<MoeBackendKind>&,
                                     const std::vector<int64_t>&) {
  refuse();
}
std::vector<GpuSpeed> bench_gpu_attention(const Glm4MoeConfig&, DType, int64_t,
                                          const std::vector<GpuAttentionShape>&) {
  refuse();
}
std::vector<GpuGemmRow> bench_gpu_gemm(const Glm4MoeConfig&, DType, const std::vector<int64_t>&) {
  refuse();
}

}  // namespace glmoe
