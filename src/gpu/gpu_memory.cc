#include "gpu/gpu_memory.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "gpu/gpu_checks.h"
#include "gpu/gpu_executor.h"
#include "gpu/gpu_weights.h"
#include "spec/kv_geometry.h"
#include "spec/memory_plan.h"

namespace glmoe {
namespace {

std::string line(const std::string& name, int64_t bytes, const std::string& about = "") {
  return fmt::format("  {:<18}{:>10.3f} GiB{}{}\n", name, static_cast<double>(bytes) / (1 << 30),
                     about.empty() ? "" : "  ", about);
}

std::string free_line(const GpuInfo& gpu, int64_t free_bytes) {
  return line("free", free_bytes,
              fmt::format("of {:.3f} GiB on GPU 0, {}",
                          static_cast<double>(gpu.memory_bytes) / (1 << 30), gpu.name));
}

// The weights' parts, and what rows and columns that fill up tiles add to them.
std::string weight_lines(const Glm4MoeConfig& config, DType dtype, int64_t on_gpu) {
  const MemoryPlan plan = plan_memory(config, {.weight_dtype = dtype, .kv_dtype = dtype});
  std::string lines;
  for (const auto& [name, bytes] : {std::pair{"embedding", plan.embedding},
                                    {"attention", plan.attention},
                                    {"dense MLPs", plan.dense_mlp},
                                    {"routed experts", plan.routed_experts},
                                    {"shared experts", plan.shared_experts},
                                    {"routers", plan.router},
                                    {"norms", plan.norms},
                                    {"lm_head", plan.lm_head}}) {
    if (bytes > 0) lines += line(name, bytes);
  }
  return lines +
         line("weights", on_gpu, fmt::format("in {}, with padding", dtype_long_name(dtype)));
}

std::string describe_step(const GpuExecutorOptions& options) {
  return fmt::format("max_num_tokens {}, max_batch_size {}, max_seq_len {}", options.max_num_tokens,
                     options.max_batch_size, options.max_seq_len);
}

// The most rows a step may have for workspace and one block to find room; 0: none.
int64_t largest_num_tokens(const Glm4MoeConfig& config, DType dtype, GpuExecutorOptions options,
                           int num_sms, int64_t free_bytes) {
  int64_t fits = 0;
  int64_t too_many = options.max_num_tokens;
  while (too_many - fits > 1) {
    options.max_num_tokens = (fits + too_many) / 2;
    const GpuMemoryNeed need = gpu_memory_need(config, dtype, options, num_sms);
    (need.workspace_bytes + need.kv_block_bytes <= free_bytes ? fits : too_many) =
        options.max_num_tokens;
  }
  return fits;
}

}  // namespace

GpuMemoryNeed gpu_memory_need(const Glm4MoeConfig& config, DType dtype,
                              const GpuExecutorOptions& options, int num_sms) {
  return {.weights_bytes = GpuWeights::bytes_of(config, check_gpu_runs(config, dtype)),
          .workspace_bytes = GpuExecutor::workspace_bytes(config, options, num_sms),
          .kv_block_bytes = config.num_hidden_layers *
                            KvGeometry::of(config, dtype, options.tokens_per_block).block_bytes()};
}

void check_weights_fit(const Glm4MoeConfig& config, DType dtype, const GpuInfo& gpu,
                       int64_t free_bytes) {
  const int64_t wanted = GpuWeights::bytes_of(config, check_gpu_runs(config, dtype));
  if (wanted <= free_bytes) return;
  fail(ErrorCode::kOutOfMemory,
       "the GPU has no room for the model's weights:\n{}{}Take a smaller model (--layers) or a "
       "larger GPU, end other programs on it, or give --backend cpu",
       weight_lines(config, dtype, wanted), free_line(gpu, free_bytes));
}

void check_workspace_fits(const Glm4MoeConfig& config, DType dtype,
                          const GpuExecutorOptions& options, const GpuInfo& gpu,
                          int64_t free_bytes) {
  const GpuMemoryNeed need = gpu_memory_need(config, dtype, options, gpu.sm_count);
  if (need.workspace_bytes + need.kv_block_bytes <= free_bytes) return;
  const int64_t fits =
      std::max<int64_t>(largest_num_tokens(config, dtype, options, gpu.sm_count, free_bytes), 0);
  const std::string advice =
      fits > 0
          ? fmt::format("--max_num_tokens {} or less fits, less leaves more for the KV cache", fits)
          : "No --max_num_tokens fits beside the weights: lower --max_batch_size and "
            "--max_seq_len, take a smaller model or a larger GPU, or give --backend cpu";
  fail(ErrorCode::kOutOfMemory,
       "the GPU has no room for the workspace and a KV cache beside the model's weights:\n"
       "{}{}{}{}{}",
       weight_lines(config, dtype, need.weights_bytes),
       line("workspace", need.workspace_bytes, describe_step(options)),
       line("a KV block", need.kv_block_bytes, fmt::format("{} tokens", options.tokens_per_block)),
       free_line(gpu, free_bytes), advice);
}

}  // namespace glmoe
