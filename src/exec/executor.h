// Runs step plans: batch -> model -> sampler. The scheduler never sees it, it never sees the
// scheduler.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fault.h"
#include "base/thread_team.h"
#include "cache/kv_pool.h"
#include "glmoe/config.h"
#include "glmoe/tensor.h"
#include "layers/moe_backend.h"
#include "model/glm4_moe.h"
#include "sample/sampler.h"
#include "step/step.h"
#include "weights/loaded_weights.h"

namespace glmoe {

// What a prefill leaves of every position.
enum class PromptRows {
  kLogits,        // [T, V] F32
  kHiddenStates,  // [T, H], after the final norm: what the head reads
};

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs one step to its end. Throws kInternal when the step as a whole failed.
  virtual StepResult execute(const StepPlan& plan) = 0;
  // Logits of every position of one text, [T, V], by a prefill in pieces of `chunk` tokens through
  // blocks that the caller guarantees to be unused.
  virtual std::vector<float> logits(std::span<const int32_t> token_ids, int64_t chunk) = 0;
  // The same rows, or the hidden states, as a tensor on the executor's device that owns its memory.
  // Throws kUnsupported where the executor has no model.
  virtual Tensor prompt_rows(PromptRows /*what*/, std::span<const int32_t> /*token_ids*/,
                             int64_t /*chunk*/) {
    fail(ErrorCode::kUnsupported, "this engine runs no model: there are no logits");
  }
  // The MoE backend and what really runs: "CUTLASS (grouped products ...)".
  virtual std::string describe_moe() const = 0;
  // Why no further step can run (a device is lost): then every call of execute() throws. ""
  // otherwise; it never becomes "" again.
  virtual std::string failure() const { return ""; }
  // Tokens routed to each expert since the start: [L][E], empty for dense layers. Between steps.
  virtual std::vector<std::vector<uint64_t>> expert_counts() const = 0;
};

struct CpuExecutorOptions {
  DType compute_dtype = DType::kBF16;
  MoeBackendKind moe_backend = MoeBackendKind::kAuto;
  int64_t tokens_per_block = 16;
  int64_t num_blocks = 0;
  int64_t num_valid_tokens = 0;  // ids from here on are padding and never sampled; 0: all are valid
  Fault fault;
};

// One rank on the CPU. Keeps a copy of the configuration and the weights alive; shares the thread
// team with whoever loads.
class CpuExecutor final : public Executor {
 public:
  CpuExecutor(const Glm4MoeConfig& config, std::shared_ptr<const LoadedWeights> weights,
              std::shared_ptr<ThreadTeam> team, const CpuExecutorOptions& options);

  // Its parts point at each other.
  CpuExecutor(const CpuExecutor&) = delete;
  CpuExecutor& operator=(const CpuExecutor&) = delete;

  StepResult execute(const StepPlan& plan) override;

  std::vector<float> logits(std::span<const int32_t> token_ids, int64_t chunk) override;
  Tensor prompt_rows(PromptRows what, std::span<const int32_t> token_ids, int64_t chunk) override;
  std::string describe_moe() const override;
  std::vector<std::vector<uint64_t>> expert_counts() const override {
    return model_.model().expert_counts();
  }

  const KvPool& kv_pool() const { return kv_; }
  const Glm4MoeForCausalLM& model() const { return model_; }
  Glm4MoeForCausalLM& model() { return model_; }
  size_t workspace_bytes() const { return workspace_.capacity(); }

 private:
  void sample_rows(const StepPlan& plan, const TensorView& logits, StepResult& result);
  // Calls `take(batch)` for each piece of a text, with all its rows wanted.
  void prefill(std::span<const int32_t> token_ids, int64_t chunk,
               const std::function<void(const BatchInput&)>& take);

  const Glm4MoeConfig config_;  // the model refers to it
  std::shared_ptr<const LoadedWeights> weights_;
  std::shared_ptr<ThreadTeam> team_;
  KvPool kv_;
  Workspace workspace_;
  OpContext ctx_;
  Glm4MoeForCausalLM model_;
  Sampler sampler_;
  const Fault fault_;
};

}  // namespace glmoe
