// Runs step plans by a caller's forward pass (glmoe/forward.h) and the engine's own sampler.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "exec/executor.h"
#include "glmoe/forward.h"
#include "sample/sampler.h"

namespace glmoe {

class ForwardExecutor final : public Executor {
 public:
  // `name` says what runs, for describe(). `num_valid_tokens`: ids from here on are never sampled;
  // 0: all are valid.
  ForwardExecutor(const Glm4MoeConfig& config, ForwardFunction forward, std::string name,
                  int64_t num_valid_tokens);

  StepResult execute(const StepPlan& plan) override;
  std::vector<float> logits(std::span<const int32_t> token_ids, int64_t chunk) override;
  std::string describe_moe() const override { return name_; }
  std::vector<std::vector<uint64_t>> expert_counts() const override;

 private:
  // Runs it; the logits stay until the next call.
  std::span<float> run(const ForwardBatch& batch);
  std::span<float> row(int64_t index) const;

  Glm4MoeConfig config_;
  ForwardFunction forward_;
  std::string name_;
  Sampler sampler_;
  std::vector<uint64_t> released_;  // not told yet
  std::vector<float> logits_;
};

}  // namespace glmoe
