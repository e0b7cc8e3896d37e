// Attention over the paged KV cache: QK norm, rotary embedding and cache write, then causal
// attention (model_spec 2.2).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ops/op_context.h"

namespace glmoe {

// cos and sin of position * theta^(-2i/R), R rotary dimensions; computed in double, kept F32.
// Filled piece by piece as positions are first asked for, so that a long context costs nothing at
// start-up. Any number of threads may ask at once.
class RopeTable {
 public:
  RopeTable(int64_t max_positions, int64_t rotary_dim, double theta);
  RopeTable(RopeTable&&) noexcept;
  RopeTable& operator=(RopeTable&&) noexcept;
  ~RopeTable();

  int64_t rotary_dim() const { return rotary_dim_; }
  int64_t max_positions() const { return max_positions_; }
  // R/2 cosines followed by R/2 sines of one position.
  std::span<const float> at(int64_t position) const;

 private:
  struct Pieces;
  int64_t max_positions_, rotary_dim_;
  std::unique_ptr<Pieces> pieces_;
};

struct AttentionShape {
  int64_t num_heads = 0;         // Hq
  int64_t num_kv_heads = 0;      // Hkv, divides Hq; query head j uses KV head j / (Hq / Hkv)
  int64_t head_dim = 0;          // D
  int64_t tokens_per_block = 0;  // P
};

// One sequence's rows [row_begin, row_begin + num_rows) of the batch sit at positions
// [start_position, start_position + num_rows); its KV block i holds positions [i*P, (i+1)*P).
struct AttentionSequence {
  int64_t row_begin = 0;
  int64_t num_rows = 0;
  int64_t start_position = 0;
  std::span<const int32_t> block_table;
};

// KV blocks of one layer, [num_blocks] x (K [Hkv, P, D] then V [Hkv, P, D]), F32, BF16 or F16.
struct KvLayerView {
  TensorView blocks;  // [num_blocks, 2 * Hkv * P * D]
};

// In place on qkv [T, (Hq + 2 Hkv) D] F32: per-head RMSNorm of q and k (where q_norm and k_norm [D]
// are not empty), then NeoX rotation of the first R dimensions of each q and k head. k and v go to
// the cache, rounded to its type; q stays in qkv's first Hq*D columns.
void rope_and_write_kv(const OpContext& ctx, const TensorView& qkv, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, const RopeTable& rope,
                       std::span<const float> q_norm, std::span<const float> k_norm, float eps,
                       const KvLayerView& kv);

// Row r at position p attends to positions 0..p of its sequence, scale D^-0.5, softmax in F32.
// q: the first Hq*D columns of qkv [T, (Hq + 2 Hkv) D]; out: [T, Hq*D] F32.
void paged_attention(const OpContext& ctx, const TensorView& qkv, const AttentionShape& shape,
                     std::span<const AttentionSequence> sequences, const KvLayerView& kv,
                     const TensorView& out);

}  // namespace glmoe
