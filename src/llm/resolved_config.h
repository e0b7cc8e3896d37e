// Options become one const configuration, printed once: what runs, and why.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "glmoe/llm.h"
#include "layers/moe_backend.h"
#include "tensor/dtype.h"

namespace glmoe {

struct ResolvedConfig {
  DType weight_dtype = DType::kBF16;
  DType compute_dtype = DType::kBF16;
  MoeBackendKind moe_backend = MoeBackendKind::kAuto;
  int64_t num_threads = 1;
  int64_t max_batch_size = 0;
  int64_t max_num_tokens = 0;
  int64_t max_seq_len = 0;
  int64_t tokens_per_block = 0;
  int64_t num_kv_blocks = 0;
  std::vector<std::string> notes;  // choices that could not be made as asked, with the reason
};

// Checks that need no model: ranges, names, backend, rank counts. Throws kInvalidArgument or
// kUnsupported.
void check_options(const LlmOptions& options);

// Where the KV cache will lie.
struct KvMemory {
  // Bytes that are free for it, once all else is known.
  std::function<int64_t(const ResolvedConfig&)> available_bytes;
  // Where the options name none: the share of them, and the size of a block.
  double default_fraction = 0.5;
  int64_t default_tokens_per_block = 16;
};

ResolvedConfig resolve_config(const LlmOptions& options, const Glm4MoeConfig& model,
                              DType weight_dtype, int num_threads, const KvMemory& memory);

}  // namespace glmoe
