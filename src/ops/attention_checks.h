// The shape checks that both attention ops open with.
#pragma once

#include <span>

#include "ops/attention.h"
#include "ops/checks.h"

namespace glmoe::ops_internal {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline void check_attention(const char* op, const TensorView& qkv, const AttentionShape& shape,
                            std::span<const AttentionSequence> sequences, const KvLayerView& kv) {
  GLMOE_CHECK(shape.num_kv_heads >= 1 && shape.head_dim >= 1 && shape.tokens_per_block >= 1 &&
                  shape.num_heads >= 1 && shape.num_heads % shape.num_kv_heads == 0,
              "{}: wanted Hkv dividing Hq, D and P of at least 1, found Hq {}, Hkv {}, D {}, P {}",
              op, shape.num_heads, shape.num_kv_heads, shape.head_dim, shape.tokens_per_block);
  const int64_t num_rows = qkv.shape.rank() == 2 ? qkv.shape[0] : 0;
  check_matrix(op, "qkv", qkv, DType::kF32, num_rows,
               (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
  const TensorView& blocks = kv.blocks;
  GLMOE_CHECK(is_float_kind(blocks.dtype),
              "{}: type of the KV blocks: wanted F32, BF16 or F16, found {}", op,
              dtype_name(blocks.dtype));
  const int64_t num_blocks = blocks.shape.rank() == 2 ? blocks.shape[0] : 0;
  check_matrix(op, "the KV blocks", blocks, blocks.dtype, num_blocks,
               2 * shape.num_kv_heads * shape.tokens_per_block * shape.head_dim);
  for (const AttentionSequence& sequence : sequences) {
    GLMOE_CHECK(sequence.row_begin >= 0 && sequence.num_rows >= 0 &&
                    sequence.row_begin + sequence.num_rows <= num_rows,
                "{}: rows of a sequence: wanted some of 0 to {}, found {} from {}", op, num_rows,
                sequence.num_rows, sequence.row_begin);
    GLMOE_CHECK(sequence.start_position >= 0, "{}: start_position: wanted 0 or more, found {}", op,
                sequence.start_position);
    if (sequence.num_rows == 0) continue;
    const int64_t wanted =
        ceil_div(sequence.start_position + sequence.num_rows, shape.tokens_per_block);
    GLMOE_CHECK(static_cast<int64_t>(sequence.block_table.size()) >= wanted,
                "{}: blocks of a sequence: wanted {}, found {}", op, wanted,
                sequence.block_table.size());
    for (const int32_t block : sequence.block_table.first(static_cast<size_t>(wanted))) {
      GLMOE_CHECK(block >= 0 && block < num_blocks, "{}: block: wanted 0 to {}, found {}", op,
                  num_blocks - 1, block);
    }
  }
}

}  // namespace glmoe::ops_internal
