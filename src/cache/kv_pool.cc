#include "cache/kv_pool.h"

#include "base/check.h"

namespace glmoe {

KvPool::KvPool(const KvGeometry& geometry, int64_t num_blocks)
    : geometry_(geometry),
      num_blocks_(num_blocks),
      buffer_(static_cast<size_t>(geometry.num_layers * num_blocks * geometry.block_bytes())) {}

TensorView KvPool::layer(int64_t layer) const {
  GLMOE_CHECK_LT(layer, geometry_.num_layers);
  return {.data = buffer_.data() + layer * num_blocks_ * geometry_.block_bytes(),
          .dtype = geometry_.dtype,
          .shape = Shape{num_blocks_, geometry_.block_elements()}};
}

}  // namespace glmoe
