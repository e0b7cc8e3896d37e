#include "llm/resolved_config.h"

#include <algorithm>

#include "base/error.h"
#include "spec/kv_geometry.h"

namespace glmoe {
namespace {

void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    fail_argument("{} is {}: {} to {} were wanted", name, value, low, high);
  }
}

void check_quantization(const std::optional<QuantConfig>& quantization) {
  if (!quantization) return;
  quantization->validate();
  if (!quantization->quant_mode().has_any_quant()) return;
  fail(ErrorCode::kUnsupported,
       "quantization {} (kv_cache {}): this version runs float32, bfloat16 and float16 weights and "
       "KV caches; leave the option out to run the weights as they are",
       quant_algo_name(quantization->quant_algo),
       quant_algo_name(quantization->kv_cache_quant_algo));
}

int64_t resolve_kv_tokens(const LlmOptions& options, const ResolvedConfig& resolved,
                          const KvGeometry& geometry, const KvMemory& memory) {
  const int64_t bytes_per_token = geometry.bytes_per_token();
  const int64_t available = std::max<int64_t>(memory.available_bytes(resolved), 0);
  if (options.kv_cache.max_tokens > 0) {
    const int64_t wanted = options.kv_cache.max_tokens * bytes_per_token;
    if (wanted > available) {
      fail(ErrorCode::kOutOfMemory,
           "a KV cache of {} tokens takes {} MiB and {} MiB of memory are available: at most {} "
           "tokens fit",
           options.kv_cache.max_tokens, wanted >> 20, available >> 20, available / bytes_per_token);
    }
    return options.kv_cache.max_tokens;
  }
  const auto budget =
      static_cast<int64_t>(static_cast<double>(available) *
                           options.kv_cache.free_memory_fraction.value_or(memory.default_fraction));
  const int64_t useful = resolved.max_batch_size * resolved.max_seq_len;
  const int64_t tokens = std::min(useful, budget / bytes_per_token);
  if (tokens < geometry.tokens_per_block) {
    fail(ErrorCode::kOutOfMemory,
         "no memory is left for a KV cache: {} MiB are available, one token takes {} KiB",
         available >> 20, bytes_per_token >> 10);
  }
  return tokens;
}

}  // namespace

void check_options(const LlmOptions& options) {
  constexpr int64_t kMany = int64_t{1} << 31;
  if (options.backend != "auto" && options.backend != "cpu" && options.backend != "cuda") {
    fail_argument("backend '{}' is unknown: use auto, cpu or cuda", options.backend);
  }
  check_range("tensor_parallel_size", options.tensor_parallel_size, 1, 4096);
  check_range("pipeline_parallel_size", options.pipeline_parallel_size, 1, 4096);
  check_range("expert_parallel_size", options.expert_parallel_size, 1, 4096);
  const int64_t ranks = options.tensor_parallel_size * options.pipeline_parallel_size;
  if (ranks > 1 || options.expert_parallel_size > 1) {
    fail(ErrorCode::kUnsupported,
         "tensor_parallel_size {} x pipeline_parallel_size {} with expert_parallel_size {} needs "
         "several ranks; this version runs one. Engines made for several ranks load into one",
         options.tensor_parallel_size, options.pipeline_parallel_size,
         options.expert_parallel_size);
  }
  check_quantization(options.quantization);
  check_range("num_threads", options.num_threads, 0, 4096);
  check_range("max_batch_size", options.max_batch_size, 1, 65536);
  check_range("max_num_tokens", options.max_num_tokens, 1, 1 << 20);
  check_range("max_queued_requests", options.max_queued_requests, 1, kMany);
  check_range("max_seq_len", options.max_seq_len, 0, kMany);
  check_range("kv_cache.max_tokens (--kv_cache_tokens)", options.kv_cache.max_tokens, 0, kMany);
  check_range("kv_cache.tokens_per_block (--tokens_per_block)", options.kv_cache.tokens_per_block,
              0, 1024);
  const double fraction = options.kv_cache.free_memory_fraction.value_or(0.5);
  if (!(fraction > 0.0 && fraction <= 1.0)) {
    fail_argument(
        "kv_cache.free_memory_fraction (--kv_cache_fraction) is {}: above 0 and at most 1 was "
        "wanted",
        fraction);
  }
  if (options.load_format != "auto" && options.load_format != "dummy") {
    fail_argument("load_format '{}' is unknown: use auto or dummy", options.load_format);
  }
  DType dtype;
  if (options.dtype != "auto" &&
      (!parse_dtype(options.dtype, dtype) ||
       (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kF16))) {
    fail_argument("dtype '{}' is unknown: use auto, float32, bfloat16 or float16", options.dtype);
  }
  moe_backend_from_name(options.moe_backend);
}

ResolvedConfig resolve_config(const LlmOptions& options, const Glm4MoeConfig& model,
                              DType weight_dtype, int num_threads, const KvMemory& memory) {
  ResolvedConfig resolved;
  resolved.weight_dtype = weight_dtype;
  resolved.compute_dtype = weight_dtype;
  if (options.dtype != "auto") parse_dtype(options.dtype, resolved.compute_dtype);
  resolved.moe_backend = moe_backend_from_name(options.moe_backend);
  resolved.num_threads = num_threads;
  resolved.max_batch_size = options.max_batch_size;
  resolved.max_num_tokens = std::max(options.max_num_tokens, options.max_batch_size);
  if (resolved.max_num_tokens != options.max_num_tokens) {
    resolved.notes.push_back(fmt::format("max_num_tokens raised from {} to max_batch_size {}",
                                         options.max_num_tokens, options.max_batch_size));
  }
  resolved.max_seq_len =
      options.max_seq_len == 0 ? model.max_position_embeddings : options.max_seq_len;
  if (resolved.max_seq_len > model.max_position_embeddings) {
    fail_argument("max_seq_len is {}, but the model has positions for {} tokens",
                  resolved.max_seq_len, model.max_position_embeddings);
  }
  resolved.tokens_per_block = options.kv_cache.tokens_per_block > 0
                                  ? options.kv_cache.tokens_per_block
                                  : memory.default_tokens_per_block;
  const KvGeometry geometry =
      KvGeometry::of(model, resolved.compute_dtype, resolved.tokens_per_block);
  const int64_t kv_tokens = resolve_kv_tokens(options, resolved, geometry, memory);
  resolved.num_kv_blocks = std::max<int64_t>(1, kv_tokens / resolved.tokens_per_block);
  const int64_t cache_tokens = resolved.num_kv_blocks * resolved.tokens_per_block;
  if (cache_tokens < resolved.max_seq_len) {
    resolved.notes.push_back(
        fmt::format("max_seq_len lowered from {} to {}: the KV cache holds no more",
                    resolved.max_seq_len, cache_tokens));
    resolved.max_seq_len = cache_tokens;
  }
  return resolved;
}

}  // namespace glmoe
