// GLM-4 MoE's forward pass on one GPU, written out as model/glm4_moe.cc writes the CPU's. The
// residual stream is F32, everything that a matrix product reads is of the weights' 16-bit type,
// sums are F32, router logits and weights F32 throughout.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "glmoe/config.h"
#include "gpu/cuda_objects.h"
#include "gpu/gpu_batch.h"
#include "gpu/gpu_choices.h"
#include "gpu/gpu_moe_backend.h"
#include "gpu/gpu_weights.h"
#include "kernels/cuda/attention/attention_params.h"
#include "kernels/cuda/gemm/dense_gemm.h"
#include "kernels/cuda/moe/moe_router.h"
#include "spec/kv_geometry.h"

namespace glmoe {

// The shape of the router's problem, without its pointers and rows.
cuda::MoeRouterParams moe_router_shape(const Glm4MoeConfig& config, cuda::ElementType type);

struct GpuModelOptions {
  MoeBackendKind moe_backend = MoeBackendKind::kAuto;
  int64_t max_rows = 0;        // T of the largest step
  int64_t max_logit_rows = 0;  // of one call of head()
  int64_t max_positions = 0;
  int64_t tokens_per_block = 16;
  int64_t num_blocks = 0;
  int num_sms = 0;
};

// Copies out what a forward pass computes on the way (layer -1: the embedding; l: the residual
// stream after layer l), for finding where two runs part. Called while work is enqueued.
using GpuLayerProbe = std::function<void(int64_t layer, const float* residual, int num_rows)>;

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

  float* logits() const { return logits_; }  // [count, V]
  int64_t logits_stride() const { return logits_stride_; }
  const unsigned long long* expert_counts() const { return expert_counts_; }  // [L, E]
  const GpuMoeBackend& moe_backend() const { return *moe_backend_; }
  const KvGeometry& kv_geometry() const { return kv_; }
  void set_probe(GpuLayerProbe probe) { probe_ = std::move(probe); }

 private:
  void lay_out(class Arena& arena);
  void attention(const GpuBatch& batch, const GpuLayer& layer, int64_t index, cudaStream_t stream);
  void mlp(const GpuMlp& mlp, int num_rows, cudaStream_t stream);
  void moe(const GpuMoe& moe, int64_t index, int num_rows, const int32_t* num_valid,
           cudaStream_t stream);
  void norm(const float* gamma, const float* x, void* out, int num_rows, cudaStream_t stream);
  // out [T, N] of the weights' type = x w^T + bias
  void project(const void* x, const GpuMatrix& w, const float* bias, const void* bias_16, void* out,
               int num_rows, cudaStream_t stream);
  // residual [T, N] += x w^T
  void project_onto(const void* x, const GpuMatrix& w, float* residual, int num_rows,
                    cudaStream_t stream);
  cuda::PagedKv layer_cache(int64_t layer) const;

  Glm4MoeConfig config_;
  const GpuWeights& weights_;
  GpuModelOptions options_;
  KvGeometry kv_;
  cuda::AttentionHeads heads_;
  cuda::ElementType type_;
  int64_t logits_stride_;
  std::unique_ptr<GpuMoeBackend> moe_backend_;
  DeviceBuffer workspace_, cache_;
  // In the workspace; see lay_out().
  float* residual_ = nullptr;
  float* tail_ = nullptr;
  void* normed_ = nullptr;
  void* qkv_ = nullptr;
  void* attended_ = nullptr;
  void* gate_up_ = nullptr;
  void* inner_ = nullptr;
  float* logits_ = nullptr;
  float* rope_table_ = nullptr;
  void* attention_workspace_ = nullptr;
  size_t attention_workspace_bytes_ = 0;
  void* router_workspace_ = nullptr;
  size_t router_workspace_bytes_ = 0;
  void* gemm_workspace_ = nullptr;
  unsigned long long* expert_counts_ = nullptr;
  GpuRouting routing_;
  GpuMoeScratch moe_scratch_;
  std::unique_ptr<cuda::DenseGemm> dense_gemm_;
  GpuLayerProbe probe_;
};

}  // namespace glmoe
