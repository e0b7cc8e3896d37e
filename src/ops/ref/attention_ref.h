// Causal attention over the paged cache, row by row in double: two passes, no blocks, no tricks.
#pragma once

#include <span>

#include "ops/attention.h"

namespace glmoe::ref {

// Index of the first element of a position's K (or V) row of one KV head in the layer's blocks.
int64_t kv_offset(const AttentionShape& shape, const AttentionSequence& sequence, int64_t position,
                  int64_t kv_head, bool is_value);

// The contract of ops/attention.h, without its checks.
void paged_attention(const TensorView& qkv, const AttentionShape& shape,
                     std::span<const AttentionSequence> sequences, const KvLayerView& kv,
                     const TensorView& out);

}  // namespace glmoe::ref
