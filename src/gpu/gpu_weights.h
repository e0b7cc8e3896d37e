// The model's weights in GPU memory, laid out as the kernels want them: one arena, filled once.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/thread_team.h"
#include "glmoe/config.h"
#include "gpu/cuda_objects.h"
#include "kernels/cuda/common/element_type.h"
#include "weights/glm4_moe_weights.h"

namespace glmoe {

// [rows, cols] of the weights' 16-bit type, dense; cols is a multiple of 64, padded with zeros.
struct GpuMatrix {
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
};

// Gate and up rows take turns by eight: row 16b + r is gate row 8b + r for r < 8, else up row
// 8b + r - 8. Inner widths are padded to multiples of 64, with rows of zeros.
struct GpuMlp {
  GpuMatrix gate_up;  // [2F, H]
  GpuMatrix down;     // [H, F]
};

// The shared experts are experts E .. E + n - 1 of the stacks.
struct GpuMoe {
  // [E, H]; column h times the norm's gamma[h], since the router reads what the norm does.
  const float* router = nullptr;
  const float* selection_bias = nullptr;  // [E] or nullptr
  GpuMatrix gate_up;                      // [(E + n) * 2I, H], by eight
  GpuMatrix down;                         // [(E + n) * H, I]
  int64_t num_experts = 0;                // E + n
};

struct GpuLayer {
  const float* input_norm = nullptr;  // [H]
  GpuMatrix qkv;                      // [(Hq + 2 Hkv) D, H]
  const float* qkv_bias = nullptr;    // [(Hq + 2 Hkv) D] or nullptr
  const void* qkv_bias_16 = nullptr;  // the same in the weights' type
  const float* q_norm = nullptr;      // [D] or nullptr
  const float* k_norm = nullptr;
  GpuMatrix o;                                 // [H, Hq D]
  const float* post_attention_norm = nullptr;  // [H]
  std::optional<GpuMlp> mlp;
  std::optional<GpuMoe> moe;
};

class GpuWeights {
 public:
  // Streams `weights` to the GPU, converting to `type` where they are stored otherwise; the host's
  // copy is not needed afterwards. Throws kUnsupported for shapes that the kernels do not take,
  // kOutOfMemory with the sizes.
  GpuWeights(const Glm4MoeConfig& config, const Glm4MoeWeights& weights, cuda::ElementType type,
             ThreadTeam& team);
  // What the arena takes; nothing is allocated.
  static int64_t bytes_of(const Glm4MoeConfig& config, cuda::ElementType type);
  // Random weights made on the GPU, as dummy_weights makes them on the host.
  GpuWeights(const Glm4MoeConfig& config, cuda::ElementType type, uint64_t seed);

  cuda::ElementType type() const { return type_; }
  size_t num_bytes() const { return arena_.size(); }
  const std::vector<GpuLayer>& layers() const { return layers_; }
  const GpuMatrix& embedding() const { return embedding_; }
  const GpuMatrix& lm_head() const { return lm_head_; }
  const float* final_norm() const { return final_norm_; }

  // Inner width as the GPU holds it: a multiple of 64.
  static int64_t padded(int64_t width) { return (width + 63) / 64 * 64; }

 private:
  class Layout;
  explicit GpuWeights(cuda::ElementType type) : type_(type) {}
  void lay_out(const Glm4MoeConfig& config, const Glm4MoeWeights* weights, Layout& layout);

  cuda::ElementType type_;
  DeviceBuffer arena_;
  std::vector<GpuLayer> layers_;
  GpuMatrix embedding_, lm_head_;
  const float* final_norm_ = nullptr;
};

}  // namespace glmoe
