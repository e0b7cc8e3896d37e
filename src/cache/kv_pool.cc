#include "cache/kv_pool.h"

#include <cstring>

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

void KvPool::copy_block(int64_t from, int64_t to) {
  GLMOE_CHECK(from >= 0 && from < num_blocks_ && to >= 0 && to < num_blocks_, "blocks {} and {}",
              from, to);
  const auto bytes = static_cast<size_t>(geometry_.block_bytes());
  for (int64_t l = 0; l < geometry_.num_layers; ++l) {
    std::byte* blocks = buffer_.data() + l * num_blocks_ * geometry_.block_bytes();
    std::memmove(blocks + to * geometry_.block_bytes(), blocks + from * geometry_.block_bytes(),
                 bytes);
  }
}

}  // namespace glmoe
