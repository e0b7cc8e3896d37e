// The routed experts on the GPU behind one interface; shared experts are further experts that every
// token takes (gpu_weights.h). The router stays outside.
#pragma once

#include <memory>
#include <string_view>

#include "gpu/gpu_choices.h"
#include "gpu/gpu_weights.h"
#include "layers/moe_backend.h"

namespace glmoe {

// Slots of T tokens, K' = K + n each; device memory (kernels/cuda/moe/moe_sort.h).
struct GpuRouting {
  int32_t* expert_ids = nullptr;      // [T, K']
  float* weights = nullptr;           // [T, K']
  int32_t* expert_offsets = nullptr;  // [E' + 1]
  int32_t* sorted_slot = nullptr;     // [T * K']
  int32_t* position_of = nullptr;     // [T * K']
  int slots_per_row = 0;              // K'
};

// Scratch memory of the largest step.
struct GpuMoeScratch {
  void* gathered = nullptr;      // [T * K', H] of the weights' type
  void* inner = nullptr;         // [T * K', I]
  void* outer = nullptr;         // [T * K', H] F32
  unsigned* counters = nullptr;  // two, zero at first (grouped_gemm.h)
};

struct GpuMoeCall {
  const void* x = nullptr;    // [T, H] of the weights' type
  float* residual = nullptr;  // [T, H] += the experts' weighted sum
  int num_rows = 0;           // T
  const int32_t* num_valid = nullptr;
  GpuRouting routing;
  GpuMoeScratch scratch;
};

class GpuMoeBackend {
 public:
  virtual ~GpuMoeBackend() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view implementation() const = 0;
  // Enqueues it. Nothing is allocated and the host learns nothing: it can be captured in a graph.
  virtual void forward(const GpuMoeCall& call, const GpuMoe& weights,
                       cudaStream_t stream) const = 0;
};

// AUTO and CUTLASS give the grouped products, VANILLA the loop over experts. Throws kUnsupported
// with every reason for the others.
std::unique_ptr<GpuMoeBackend> make_gpu_moe_backend(MoeBackendKind kind,
                                                    const Glm4MoeConfig& config,
                                                    cuda::ElementType type, int num_sms);

}  // namespace glmoe
