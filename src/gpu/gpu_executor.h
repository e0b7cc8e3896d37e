// Runs step plans on one GPU: arrays up, forward pass (a captured graph where every sequence has
// one row), sampling, tokens down.
#pragma once

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "exec/executor.h"
#include "gpu/gpu_backend.h"
#include "gpu/gpu_model.h"
#include "gpu/step_inputs.h"
#include "kernels/cuda/sample/sample_outcome.h"
#include "sample/sampler.h"

namespace glmoe {

class GpuExecutor final : public Executor {
 public:
  GpuExecutor(const Glm4MoeConfig& config, std::shared_ptr<const GpuWeights> weights,
              const GpuExecutorOptions& options, int num_sms, ThreadTeam& team);

  StepResult execute(const StepPlan& plan) override;
  std::vector<float> logits(std::span<const int32_t> token_ids, int64_t chunk) override;
  std::string describe_moe() const override;

 private:
  bool runs_as_graph(const StepPlan& plan) const;
  void capture_graphs();
  int bucket_of(size_t num_sequences) const;
  void sample(const StepPlan& plan, StepResult& result);
  // Logits of rows [first, first + count) of the last forward pass on the host, row by row.
  const float* fetch_logits(int first, int count);
  void enqueue_argmax(int num_rows);

  Glm4MoeConfig config_;
  std::shared_ptr<const GpuWeights> weights_;
  GpuExecutorOptions options_;
  int64_t num_valid_tokens_;
  CudaStream stream_;
  GpuModel model_;
  StepInputs inputs_;
  DeviceBuffer outcomes_;
  PinnedBuffer outcomes_host_;
  std::vector<float> logits_host_;
  std::map<int, CudaGraph> graphs_;  // by bucket
  Sampler sampler_;
  // Whether the next token is plainly the highest logit, with nothing else wanted.
  std::unordered_map<SequenceId, bool> is_greedy_;
};

}  // namespace glmoe
