#include "gpu/gpu_choices.h"

#include <fmt/format.h>

namespace glmoe {

bool has_fast_heads(const Glm4MoeConfig& config, int64_t tokens_per_block) {
  return config.head_dim == 128 && config.rotary_dim() % 16 == 0 && tokens_per_block >= 16 &&
         tokens_per_block <= 128 && (tokens_per_block & (tokens_per_block - 1)) == 0;
}

BackendVerdict can_implement_on_gpu(MoeBackendKind kind, const Glm4MoeConfig& config) {
  BackendVerdict verdict = can_implement_on_one_rank(kind, config);
  if (kind == MoeBackendKind::kTrtllm && verdict.ok()) {
    verdict.reasons.push_back("quantised weights do not run on the GPU yet");
  }
  return verdict;
}

std::vector<KernelChoice> explain_on_gpu(const Glm4MoeConfig& config, MoeBackendKind moe_backend,
                                         int64_t tokens_per_block) {
  const std::string products =
      fmt::format("weight-streaming kernel to {} rows, cuBLASLt beyond", kMaxStreamedRows);
  const std::string products_why =
      "few rows take the time of reading the weights, many that of the tensor cores";
  const bool fast = has_fast_heads(config, tokens_per_block);
  const std::string heads = fmt::format("head_dim {}, rotary size {}, blocks of {} tokens",
                                        config.head_dim, config.rotary_dim(), tokens_per_block);
  const std::string plain = "plain kernel, a warp a head";
  const std::string plain_why = heads +
                                ": the fast kernels take head_dim 128, a rotary size that "
                                "is a multiple of 16 and blocks of 16, 32, 64 or 128";
  std::vector<KernelChoice> choices = {
      {"every layer", "norms", "rms_norm", "one kernel for all widths"},
      {"every layer", "attention, projections", products, products_why},
      {"every layer", "rotation and KV write", fast ? "rope_kv_write" : plain,
       fast ? heads : plain_why},
      {"every layer", "attention, decode", fast ? "attention_decode" : plain,
       fast ? heads : plain_why},
      {"every layer", "attention, prefill", fast ? "attention_prefill" : plain,
       fast ? heads : plain_why}};
  const int64_t moe_layers = config.num_moe_layers();
  if (moe_layers < config.num_hidden_layers) {
    choices.push_back({"dense layers", "MLP", products, products_why});
  }
  if (moe_layers > 0) {
    can_implement_on_gpu(moe_backend, config).require(moe_backend);
    const bool vanilla = moe_backend == MoeBackendKind::kVanilla;
    const int64_t experts = config.moe.num_experts + config.moe.num_shared_experts;
    const int64_t slots = config.moe.top_k + config.moe.num_shared_experts;
    choices.push_back({"MoE layers", "router", "moe_router", "float32 throughout, and the sort"});
    choices.push_back(
        {"MoE layers", "routed and shared experts",
         vanilla ? "VANILLA: weight-streaming kernel, one expert after the other"
                 : fmt::format("CUTLASS: weight-streaming kernel to {} tokens a step, CUTLASS "
                               "grouped GEMM beyond",
                               kMaxStreamedRowsPerExpert * experts / slots),
         moe_backend == MoeBackendKind::kAuto
             ? "AUTO takes the first backend that runs this model"
             : fmt::format("asked for as {}", moe_backend_name(moe_backend))});
  }
  choices.push_back({"once a step", "head", products, products_why});
  choices.push_back({"once a step", "steps of one row a sequence", "captured graphs",
                     "no launch waits for the host"});
  return choices;
}

}  // namespace glmoe
