// Runs step plans on one GPU: arrays up, forward pass and head (a captured graph where every
// sequence has one row), sampling, tokens down; the host waits once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "exec/executor.h"
#include "gpu/gpu_backend.h"
#include "gpu/gpu_model.h"
#include "gpu/gpu_sampler.h"
#include "gpu/step_inputs.h"

namespace glmoe {

class GpuExecutor final : public Executor {
 public:
  GpuExecutor(const Glm4MoeConfig& config, std::shared_ptr<const GpuWeights> weights,
              const GpuExecutorOptions& options, int num_sms, ThreadTeam& team);
  // What the constructor takes of the GPU's memory beside weights and KV cache.
  static int64_t workspace_bytes(const Glm4MoeConfig& config, const GpuExecutorOptions& options,
                                 int num_sms);

  // Throws kUnavailable once the GPU's context is lost; after any other failure it goes on.
  StepResult execute(const StepPlan& plan) override;
  std::vector<float> logits(std::span<const int32_t> token_ids, int64_t chunk) override;
  Tensor prompt_rows(PromptRows what, std::span<const int32_t> token_ids, int64_t chunk) override;
  std::string describe_moe() const override;
  std::string failure() const override { return failure_; }
  std::vector<std::vector<uint64_t>> expert_counts() const override;

 private:
  bool runs_as_graph(const StepPlan& plan) const;
  void capture_graphs();
  int bucket_of(size_t num_sequences) const;
  int64_t max_logit_rows() const;
  void run_step(const StepPlan& plan);
  void sample_rows(const StepPlan& plan, int first, int count);
  void settle(const StepPlan& plan, const std::string& error);
  // Runs a text in pieces of `chunk` tokens, all rows wanted, and calls `take(rows)` after each.
  void prefill(std::span<const int32_t> token_ids, int64_t chunk,
               const std::function<void(int64_t)>& take);
  // The model's logits of its last call of head(), [count, V], on the host.
  void fetch_logits(int64_t count, std::vector<float>& to);

  Glm4MoeConfig config_;
  std::shared_ptr<const GpuWeights> weights_;
  GpuExecutorOptions options_;
  CudaStream stream_;
  GpuModel model_;
  StepInputs inputs_;
  GpuSampler sampler_;
  std::map<int, CudaGraph> graphs_;  // by bucket: forward pass and head
  std::string failure_;
};

}  // namespace glmoe
