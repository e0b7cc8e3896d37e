// What a model needs in memory, by part, from shapes alone: nothing is loaded.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "glmoe/config.h"
#include "tensor/dtype.h"

namespace glmoe {

struct MemoryPlanOptions {
  Mapping mapping;
  DType weight_dtype = DType::kBF16;  // of matrices; vectors and routers are F32
  DType kv_dtype = DType::kBF16;
  int64_t tokens_per_block = 16;
  int64_t max_num_tokens = 2048;  // rows of one step
  int64_t max_batch_size = 16;    // rows of logits in one step
  int64_t kv_tokens = 0;          // tokens that the KV cache holds, over all sequences
  bool include_mtp = false;       // whether MTP weights are kept in memory
};

// Bytes of the rank that needs most (they differ by pipeline stage alone).
struct MemoryPlan {
  int64_t embedding = 0, attention = 0, dense_mlp = 0, routed_experts = 0, shared_experts = 0;
  int64_t router = 0, norms = 0, lm_head = 0, mtp = 0;
  int64_t padding = 0;  // what a GPU's layout adds to the weights; plan_memory leaves it 0
  int64_t kv_bytes_per_token = 0;
  int64_t kv_tokens = 0;  // asked for, rounded up to whole blocks
  int64_t workspace = 0;
  int64_t tokens_per_block = 1;

  // For active_weight_bytes_per_token and largest_context.
  int64_t head_read = 0;  // the matrix read for logits: lm_head or, where tied, the embedding
  int64_t num_experts = 0, top_k = 0;
  int64_t max_position_embeddings = 0;

  int64_t weight_bytes() const;
  int64_t kv_bytes() const { return kv_bytes_per_token * kv_tokens; }
  int64_t total_bytes() const { return weight_bytes() + kv_bytes() + workspace; }
  // Weights that one decoded token reads: all but the embedding (one row), the experts that were
  // not chosen and the MTP layers.
  double active_weight_bytes_per_token() const;
  // Tokens of one sequence that fit beside weights and workspace, at most max_position_embeddings;
  // 0 where not even those fit.
  int64_t largest_context(int64_t memory_bytes) const;

  std::string to_string() const;  // a table
  Json to_json() const;           // parts in bytes
};

// Throws kInvalidArgument for a mapping that the model does not allow, or sizes out of range.
MemoryPlan plan_memory(const Glm4MoeConfig& config, const MemoryPlanOptions& options);

// Parameters of the whole model. The router's selection biases are counted apart, as published
// figures leave them out.
struct ParameterCount {
  int64_t trunk = 0;           // without selection biases and MTP
  int64_t selection_bias = 0;  // of the trunk
  int64_t mtp = 0;             // with its copies of embedding and head, without selection bias
  int64_t active = 0;          // of the trunk, a token; without embedding and lm_head
  int64_t lm_head = 0;         // 0 where tied
};
ParameterCount count_parameters(const Glm4MoeConfig& config);

}  // namespace glmoe
