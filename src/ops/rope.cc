// QK norm, rotary embedding and the write into the paged cache.
#include <algorithm>

#include "kernels/cpu/norm/norm.h"
#include "ops/attention.h"
#include "ops/attention_checks.h"

namespace glmoe {
namespace {

// A position's K row of KV head 0 in the layer's blocks, in elements.
int64_t key_offset(const AttentionShape& shape, const AttentionSequence& sequence,
                   int64_t position) {
  const int64_t page = shape.tokens_per_block;
  const int64_t block = sequence.block_table[static_cast<size_t>(position / page)];
  return (block * 2 * shape.num_kv_heads * page + position % page) * shape.head_dim;
}

void write_head(const float* head, int64_t count, const TensorView& blocks, int64_t offset) {
  if (blocks.dtype == DType::kBF16) {
    kernels::narrow_to_bf16(head, count, blocks.as<uint16_t>() + offset);
  } else {
    convert_elements(
        head, DType::kF32,
        blocks.as<std::byte>() + static_cast<size_t>(offset) * dtype_size(blocks.dtype),
        blocks.dtype, static_cast<size_t>(count));
  }
}

}  // namespace

void rope_and_write_kv(const OpContext& ctx, const TensorView& qkv, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, const RopeTable& rope,
                       std::span<const float> q_norm, std::span<const float> k_norm, float eps,
                       const KvLayerView& kv) {
  constexpr const char* kOp = "rope_and_write_kv";
  ops_internal::check_attention(kOp, qkv, shape, sequences, kv);
  ops_internal::check_optional(kOp, "q_norm", q_norm, shape.head_dim);
  ops_internal::check_optional(kOp, "k_norm", k_norm, shape.head_dim);
  GLMOE_CHECK(rope.rotary_dim() <= shape.head_dim,
              "{}: rotary dimensions: wanted at most {}, found {}", kOp, shape.head_dim,
              rope.rotary_dim());

  const int64_t dim = shape.head_dim;
  const int64_t plane = shape.tokens_per_block * dim;
  const auto do_row = [&](const AttentionSequence& sequence, int64_t r) {
    const int64_t position = sequence.start_position + r;
    float* row = qkv.as<float>() + (sequence.row_begin + r) * qkv.shape[1];
    kernels::HeadTransform transform{.head_dim = dim,
                                     .rotary_dim = rope.rotary_dim(),
                                     .table = rope.at(position).data(),
                                     .gamma = q_norm.empty() ? nullptr : q_norm.data(),
                                     .eps = eps};
    kernels::transform_heads(transform, shape.num_heads, row);
    transform.gamma = k_norm.empty() ? nullptr : k_norm.data();
    const float* keys = row + shape.num_heads * dim;
    kernels::transform_heads(transform, shape.num_kv_heads, row + shape.num_heads * dim);
    const int64_t at = key_offset(shape, sequence, position);
    for (int64_t h = 0; h < 2 * shape.num_kv_heads; ++h) {  // K's heads, then V's
      write_head(keys + h * dim, dim, kv.blocks, at + h * plane);
    }
  };
  int64_t num_rows = 0;
  for (const AttentionSequence& sequence : sequences) num_rows += sequence.num_rows;
  // About a microsecond a row at a hundred heads.
  ctx.team->parallel_for(num_rows, 8, [&](int64_t begin, int64_t end, int) {
    int64_t first = 0;
    for (const AttentionSequence& sequence : sequences) {
      const int64_t from = std::max<int64_t>(begin - first, 0);
      const int64_t to = std::min(end - first, sequence.num_rows);
      for (int64_t r = from; r < to; ++r) do_row(sequence, r);
      first += sequence.num_rows;
    }
  });
}

}  // namespace glmoe
