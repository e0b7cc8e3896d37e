// The KV cache's memory: [layer][block] with the block layout of KvGeometry.
#pragma once

#include "spec/kv_geometry.h"
#include "tensor/tensor.h"

namespace glmoe {

class KvPool {
 public:
  KvPool(const KvGeometry& geometry, int64_t num_blocks);

  const KvGeometry& geometry() const { return geometry_; }
  int64_t num_blocks() const { return num_blocks_; }
  // All blocks of one layer: [num_blocks, 2, Hkv, P, D].
  TensorView layer(int64_t layer) const;
  // The whole content of one block, in every layer, to another.
  void copy_block(int64_t from, int64_t to);

 private:
  KvGeometry geometry_;
  int64_t num_blocks_;
  Buffer buffer_;
};

}  // namespace glmoe
