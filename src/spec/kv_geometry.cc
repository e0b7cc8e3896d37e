#include "spec/kv_geometry.h"

namespace glmoe {

KvGeometry KvGeometry::of(const Glm4MoeConfig& config, DType dtype, int64_t tokens_per_block) {
  return {.num_layers = config.num_hidden_layers,
          .num_kv_heads = config.num_key_value_heads,
          .head_dim = config.head_dim,
          .tokens_per_block = tokens_per_block,
          .dtype = dtype};
}

}  // namespace glmoe
