// GLM-4 MoE's forward pass on one GPU, written out as model/glm4_moe.cc writes the CPU's. The
// residual stream is F32, everything that a matrix product reads is of the weights' 16-bit type,
// sums are F32; the router reads the residual stream itself and is F32 throughout. Every rounding:
// docs/kernels/cuda-rounding.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "glmoe/config.h"
#include "gpu/cuda_objects.h"
#include "gpu/gpu_batch.h"
#include "gpu/gpu_moe_backend.h"
#include "gpu/gpu_product.h"
#include "gpu/gpu_weights.h"
#include "gpu/gpu_workspace.h"
#include "kernels/cuda/attention/attention_params.h"
#include "kernels/cuda/gemm/dense_gemm.h"
#include "spec/kv_geometry.h"

namespace glmoe {

// Copies out the residual stream on its way (half -1: the embedding; 2l: after layer l's attention;
// 2l + 1: after layer l), for finding where two runs part. Called while work is enqueued.
using GpuLayerProbe = std::function<void(int64_t half, const float* residual, int num_rows)>;

class GpuModel {
 public:
  // `weights` outlives it.
  GpuModel(const Glm4MoeConfig& config, const GpuWeights& weights, const GpuModelOptions& options,
           ThreadTeam& team);

  // Bytes that the constructor takes beside weights and KV cache.
  static int64_t workspace_bytes(const Glm4MoeConfig& config, const GpuModelOptions& options);

  // Enqueues the layers: writes the cache and leaves the normalised rows that want logits, in the
  // order of batch.logit_rows, for head().
  void forward(const GpuBatch& batch, cudaStream_t stream);
  // Enqueues the logits of those rows [first, first + count) into logits(), count at most
  // max_logit_rows.
  void head(int first, int count, cudaStream_t stream);

  float* logits() const { return at_.logits; }  // [count, V]
  int64_t logits_stride() const { return at_.logits_stride; }
  // The rows that forward() left for head(), [rows, H] of the weights' type.
  const void* normed() const { return at_.normed; }
  const unsigned long long* expert_counts() const { return at_.expert_counts; }  // [L, E]
  const GpuRouting& routing() const { return at_.routing; }  // of the last MoE layer that ran
  const GpuMoeBackend& moe_backend() const { return *moe_backend_; }
  const KvGeometry& kv_geometry() const { return kv_; }
  // Enqueues the copy of one block's whole content, in every layer, to another.
  void copy_block(int32_t from, int32_t to, cudaStream_t stream);
  void set_probe(GpuLayerProbe probe) { probe_ = std::move(probe); }

 private:
  void attention(const GpuBatch& batch, const GpuLayer& layer, int64_t index, cudaStream_t stream);
  void mlp(const GpuMlp& mlp, float* residual, int num_rows, cudaStream_t stream);
  void moe(const GpuMoe& moe, int64_t index, float* residual, int num_rows,
           const int32_t* num_valid, cudaStream_t stream);
  // To at_.normed and at_.row_factors.
  void norm(const float* gamma, const float* x, int num_rows, cudaStream_t stream);
  void project_qkv(const GpuLayer& layer, int num_rows, bool wide, cudaStream_t stream);
  // By the faster kernel for so many rows.
  void multiply(const GpuProduct& product, cudaStream_t stream);
  cuda::PagedKv layer_cache(int64_t layer) const;

  Glm4MoeConfig config_;
  const GpuWeights& weights_;
  GpuModelOptions options_;
  KvGeometry kv_;
  cuda::AttentionHeads heads_;
  cuda::ElementType type_;
  std::unique_ptr<GpuMoeBackend> moe_backend_;
  DeviceBuffer workspace_, cache_;
  GpuWorkspace at_;  // in workspace_
  std::unique_ptr<cuda::DenseGemm> dense_gemm_;
  GpuLayerProbe probe_;
};

}  // namespace glmoe
