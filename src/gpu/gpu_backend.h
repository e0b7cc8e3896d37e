// The engine on one NVIDIA GPU: weights in its memory, and an executor that runs step plans there.
// Nothing of CUDA shows here; a build without CUDA has these functions too, and they say so.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fault.h"
#include "base/thread_team.h"
#include "exec/executor.h"
#include "glmoe/config.h"
#include "layers/moe_backend.h"
#include "tensor/dtype.h"
#include "weights/glm4_moe_weights.h"

namespace glmoe {

struct GpuExecutorOptions {
  MoeBackendKind moe_backend = MoeBackendKind::kAuto;
  int64_t max_num_tokens = 0;  // rows of a step
  int64_t max_batch_size = 0;  // sequences of a step
  int64_t max_seq_len = 0;     // positions
  int64_t tokens_per_block = 16;
  int64_t num_blocks = 0;
  int64_t num_valid_tokens = 0;  // ids from here on are padding and never sampled; 0: all are valid
  bool cuda_graphs = true;
  Fault fault;
};

struct GpuMemoryNeed {
  int64_t weights_bytes = 0;
  int64_t workspace_bytes = 0;  // of an executor beside the KV cache
  int64_t kv_block_bytes = 0;   // of all layers
};
// Of a model on the first GPU, or on an H100 where there is none. Throws kUnsupported for what the
// kernels do not take, and kUnavailable in a build without CUDA.
GpuMemoryNeed gpu_memory_need(const Glm4MoeConfig& config, DType dtype,
                              const GpuExecutorOptions& options);

class GpuBackend {
 public:
  // "" where the first GPU can run the engine, else the reason.
  static std::string why_not();

  // Puts the weights on the first GPU, matrices as `dtype` (kBF16 or kF16). Without `weights`
  // random ones of config's shapes are made there. Throws kUnavailable without a GPU, kUnsupported
  // for a GPU or shapes that the kernels do not take, kOutOfMemory with every part's size.
  GpuBackend(const Glm4MoeConfig& config, const Glm4MoeWeights* weights, DType dtype,
             ThreadTeam& team);
  ~GpuBackend();

  std::string device_name() const;  // "NVIDIA H100 80GB HBM3"
  int64_t free_bytes() const;
  int64_t weights_bytes() const;
  // What an executor takes beside the KV cache. Throws kOutOfMemory, with every part's size and
  // what would fit, where it and one block of the cache find no room.
  int64_t workspace_bytes(const GpuExecutorOptions& options) const;
  // Shares the weights; this object may go.
  std::unique_ptr<Executor> make_executor(const GpuExecutorOptions& options,
                                          ThreadTeam& team) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace glmoe
