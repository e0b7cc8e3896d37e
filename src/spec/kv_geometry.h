// How the KV cache is laid out: numbers only, shared by scheduler, cache and attention.
#pragma once

#include <cstdint>

#include "glmoe/config.h"
#include "tensor/dtype.h"

namespace glmoe {

// One block of one layer is K [Hkv, P, D] followed by V [Hkv, P, D].
struct KvGeometry {
  int64_t num_layers = 0;         // L of this rank (MTP layers not counted)
  int64_t num_kv_heads = 0;       // Hkv of this rank
  int64_t head_dim = 0;           // D
  int64_t tokens_per_block = 16;  // P
  DType dtype = DType::kBF16;

  int64_t block_elements() const { return 2 * num_kv_heads * tokens_per_block * head_dim; }
  int64_t block_bytes() const {  // of one layer
    return block_elements() * static_cast<int64_t>(dtype_size(dtype));
  }
  int64_t bytes_per_token() const { return block_bytes() * num_layers / tokens_per_block; }
  int64_t blocks_for(int64_t num_tokens) const {
    return (num_tokens + tokens_per_block - 1) / tokens_per_block;
  }
  static KvGeometry of(const Glm4MoeConfig& config, DType dtype, int64_t tokens_per_block);
};

}  // namespace glmoe
