#include "gpu/gpu_workspace.h"

#include <algorithm>

#include "gpu/gpu_choices.h"
#include "gpu/gpu_router.h"
#include "kernels/cuda/attention/attention_decode.h"

namespace glmoe {
namespace {

constexpr size_t kGemmBytes = size_t{64} << 20;

class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}
  template <class T>
  void place(T*& pointer, int64_t num_bytes) {
    pointer = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(base_) + used_);
    used_ += (static_cast<size_t>(num_bytes) + 255) / 256 * 256;
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

}  // namespace

cuda::AttentionHeads attention_heads(const Glm4MoeConfig& config) {
  return {static_cast<int>(config.num_attention_heads),
          static_cast<int>(config.num_key_value_heads), static_cast<int>(config.head_dim)};
}

GpuWorkspace::GpuWorkspace(const Glm4MoeConfig& c, const GpuModelOptions& options,
                           cuda::ElementType type, std::byte* base) {
  const int64_t rows = options.max_rows;
  const int64_t wide_rows = std::min<int64_t>(rows, kMaxWideRows);
  const auto size = static_cast<int64_t>(cuda::element_size(type));
  const int64_t dense_inner = GpuWeights::padded(c.intermediate_size);
  logits_stride = (c.vocab_size + 3) / 4 * 4;
  if (has_fast_heads(c, options.tokens_per_block)) {
    attention_bytes = cuda::attention_decode_workspace_bytes(attention_heads(c), options.num_sms);
  }
  if (c.num_moe_layers() > 0) {
    router_bytes = cuda::moe_router_workspace_bytes(rows, moe_router_shape(c));
  }
  gemm_bytes = kGemmBytes;
  Arena arena(base);
  arena.place(residual, rows * c.hidden_size * 4);
  arena.place(tail, rows * c.hidden_size * 4);
  arena.place(normed, rows * c.hidden_size * size);
  arena.place(row_factors, rows * 4);
  arena.place(qkv, rows * (c.q_size() + 2 * c.kv_size()) * size);
  arena.place(wide_qkv, wide_rows * (c.q_size() + 2 * c.kv_size()) * 4);
  arena.place(attended, rows * GpuWeights::padded(c.q_size()) * size);
  arena.place(gate_up, std::max(rows * size, wide_rows * 4) * 2 * dense_inner);
  arena.place(inner, rows * dense_inner * size);
  arena.place(logits, options.max_logit_rows * logits_stride * 4);
  arena.place(rope_table, options.max_positions * c.rotary_dim() * 4);
  arena.place(attention, static_cast<int64_t>(attention_bytes));
  arena.place(router, static_cast<int64_t>(router_bytes));
  arena.place(gemm, static_cast<int64_t>(gemm_bytes));
  arena.place(expert_counts, c.num_hidden_layers * c.moe.num_experts * 8);
  if (c.num_moe_layers() > 0) {
    const int64_t experts = c.moe.num_experts + c.moe.num_shared_experts;
    const int64_t slots_per_row = c.moe.top_k + c.moe.num_shared_experts;
    const int64_t slots = rows * slots_per_row;
    routing.slots_per_row = static_cast<int>(slots_per_row);
    arena.place(routing.expert_ids, slots * 4);
    arena.place(routing.weights, slots * 4);
    arena.place(routing.expert_offsets, (experts + 1) * 4);
    arena.place(routing.sorted_slot, slots * 4);
    arena.place(routing.position_of, slots * 4);
    arena.place(moe.gathered, slots * c.hidden_size * size);
    arena.place(moe.inner, slots * GpuWeights::padded(c.moe.moe_intermediate_size) * size);
    arena.place(moe.outer, slots * c.hidden_size * 4);
    arena.place(moe.counters, 2 * 4);
  }
  num_bytes = arena.used();
}

}  // namespace glmoe
