// The mixture of experts alone, for programs with a model of their own: router and experts, or the
// experts with what another router chose. Weights stay the caller's and are read where they lie, in
// the layout of Hugging Face's models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "glmoe/config.h"
#include "glmoe/tensor.h"

namespace glmoe {

// E experts, each silu(x gate^T) * (x up^T) times down^T. Row-major and dense.
struct ExpertWeights {
  const void* gate_up = nullptr;  // [E, 2I, H]: an expert's I rows of gate, then its I rows of up
  const void* down = nullptr;     // [E, H, I]
  ElementKind kind = ElementKind::kBfloat16;
  int64_t num_experts = 0;        // E
  int64_t hidden_size = 0;        // H
  int64_t intermediate_size = 0;  // I
};

struct RouterWeights {
  const void* weight = nullptr;  // [E, H]; widened to float32 where it is of 16 bits
  ElementKind kind = ElementKind::kFloat32;
  const float* selection_bias = nullptr;  // [E] or null; changes the choice, not the weights
  MoeConfig config;                       // num_experts, top_k, mode, groups, factor
};

// What another router chose: K numbers of experts a token, and their weights. A number outside
// 0..E-1 adds nothing.
struct ChosenExperts {
  const void* ids = nullptr;  // [T, K], int64 or int32
  bool ids_64_bit = true;
  const void* weights = nullptr;  // [T, K]
  ElementKind weights_kind = ElementKind::kFloat32;
  int64_t top_k = 0;  // K
};

// out[t] = sum over j of weight[t, j] * Expert(id[t, j])(x[t]), summed in float32 in the order of
// j.
struct FusedMoeCall {
  const void* x = nullptr;  // [T, H] of the experts' kind
  void* out = nullptr;      // the same; not x
  int64_t num_tokens = 0;   // T
  ExpertWeights experts;
  const RouterWeights* router = nullptr;  // null: `chosen` says what runs
  ChosenExperts chosen;
  int device = 0;  // number of the GPU, for gpu_fused_moe
};

// On the CPU: the engine's kernels with a team of threads of their own. bfloat16 experts have the
// inputs of their products rounded to bfloat16, the others none; everything else is float32.
class FusedMoe {
 public:
  explicit FusedMoe(int64_t num_threads = 0);  // 0: one a physical core
  FusedMoe(FusedMoe&&) noexcept;
  FusedMoe& operator=(FusedMoe&&) noexcept;
  ~FusedMoe();

  // All memory of the CPU. From any thread; one call runs at a time. Throws kInvalidArgument.
  void run(const FusedMoeCall& call);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// On a GPU, all memory that of call.device, which becomes the calling thread's current one. Why
// these experts cannot run there ("" where they can): the kernels take bfloat16 and float16, H and
// I multiples of 64.
std::string why_no_gpu_moe(const ExpertWeights& experts);
// Memory that gpu_fused_moe() needs for a call of these shapes; pointers need not be set.
size_t gpu_fused_moe_bytes(const FusedMoeCall& call);
// Enqueues the call on `stream` (a cudaStream_t; null: the default stream) and returns. The host
// waits for nothing and nothing is allocated, so it can be captured in a graph. `workspace` is
// 256-byte aligned, need not be cleared, and is used until the stream has come past the call. All
// pointers are 16-byte aligned (ids and weights as their type). Few tokens an expert: the kernel
// that streams weights; many: grouped products by CUTLASS. Throws kInvalidArgument, kUnsupported
// (why_no_gpu_moe) and kUnavailable without a GPU.
void gpu_fused_moe(const FusedMoeCall& call, void* workspace, size_t workspace_bytes, void* stream);

}  // namespace glmoe
