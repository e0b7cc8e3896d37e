// The GPU's forward pass taken apart: what every half layer (attention, then MLP or experts) adds
// to the residual stream, beside what the CPU makes of the same input. No difference can grow from
// layer to layer, and a token that goes to other experts is told from one that is computed wrongly.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "cache/kv_pool.h"
#include "device/gpu_info.h"
#include "gpu/gpu_model.h"
#include "gpu/step_inputs.h"
#include "model/glm4_moe.h"
#include "ops/router.h"
#include "support/golden.h"

namespace glmoe::testing {

class HalfLayers {
 public:
  static constexpr int64_t kBlockTokens = 16;

  // One sequence, in one step. config, weights and team outlive it.
  HalfLayers(const Glm4MoeConfig& config, const Glm4MoeWeights& weights, std::vector<int32_t> ids,
             ThreadTeam& team)
      : config_(config), weights_(weights), ids_(std::move(ids)), team_(team) {
    blocks_.resize(static_cast<size_t>((rows() + kBlockTokens - 1) / kBlockTokens));
    std::iota(blocks_.begin(), blocks_.end(), 0);
    run_gpu();
  }

  // Every half layer's addition within `tolerance` of the CPU's, and the experts those that float32
  // chooses from the GPU's own input.
  void expect_as_on_the_cpu(double tolerance) {
    const std::unique_ptr<MoeBackend> backend =
        make_cpu_moe_backend(MoeBackendKind::kAuto, config_);
    KvPool kv(KvGeometry::of(config_, DType::kBF16, kBlockTokens), num_blocks());
    const RopeTable rope(rows(), config_.rotary_dim(), config_.rope_theta);
    BatchInput batch{.token_ids = ids_};
    batch.sequences.push_back({.num_rows = rows(), .block_table = blocks_});
    std::vector<uint64_t> counts(static_cast<size_t>(config_.moe.num_experts));
    for (int64_t l = 0; l < config_.num_hidden_layers; ++l) {
      const LayerWeights& weights = weights_.layers[static_cast<size_t>(l)];
      const Glm4MoeDecoderLayer layer(config_, weights, *backend, kBlockTokens);
      compare(l, "attention", 2 * l, tolerance, [&](const TensorView& x, const TensorView& delta) {
        layer.attend(context(), x, delta, /*first=*/l == 0, batch, rope, {kv.layer(l)});
      });
      compare(l, weights.moe ? "experts" : "MLP", 2 * l + 1, tolerance,
              [&](const TensorView& x, const TensorView& delta) {
                layer.feed_forward(context(), x, delta, counts);
              });
      if (weights.moe) expect_choice(l, weights);
    }
  }

 private:
  int64_t rows() const { return static_cast<int64_t>(ids_.size()); }
  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  OpContext context() {
    return {.team = &team_, .workspace = &workspace_, .compute_dtype = DType::kBF16};
  }
  TensorView view(std::vector<float>& values) const {
    return {values.data(), DType::kF32, Shape{rows(), config_.hidden_size}};
  }
  // The residual stream behind half layer `half`; -1: the embedding.
  std::vector<float>& stream(int64_t half) { return streams_[static_cast<size_t>(half + 1)]; }

  void run_gpu() {
    const GpuWeights weights(config_, weights_, cuda::ElementType::kBf16, team_);
    GpuModel model(config_, weights,
                   {.max_rows = rows(),
                    .max_logit_rows = 16,
                    .max_positions = rows(),
                    .tokens_per_block = kBlockTokens,
                    .num_blocks = num_blocks(),
                    .num_sms = query_gpus().gpus[0].sm_count},
                   team_);
    StepInputs inputs({.max_rows = rows(),
                       .max_sequences = 1,
                       .max_blocks = num_blocks(),
                       .tokens_per_block = kBlockTokens});
    StepPlan plan;
    SequenceStep& step = plan.sequences.emplace_back();
    step.token_ids = ids_;
    step.prompt_logprobs = true;  // every row goes through the last layer
    step.block_table = blocks_;
    const CudaStream stream;
    const size_t slots_per_row =
        static_cast<size_t>(config_.moe.top_k + config_.moe.num_shared_experts);
    model.set_probe([&](int64_t half, const float* residual, int num_rows) {
      ASSERT_EQ(num_rows, rows());
      stream.synchronize();
      auto& to = streams_.emplace_back(ids_.size() * static_cast<size_t>(config_.hidden_size));
      GLMOE_CUDA(cudaMemcpy(to.data(), residual, to.size() * 4, cudaMemcpyDeviceToHost));
      if (half < 0 || half % 2 == 0) return;
      auto& chosen = chosen_.emplace_back(ids_.size() * slots_per_row);
      if (!config_.is_moe_layer(half / 2)) return;
      GLMOE_CUDA(cudaMemcpy(chosen.data(), model.routing().expert_ids, chosen.size() * 4,
                            cudaMemcpyDeviceToHost));
    });
    model.forward(inputs.upload(plan, stream.get()), stream.get());
    stream.synchronize();
  }

  template <class Half>
  void compare(int64_t layer, const char* what, int64_t half, double tolerance, const Half& run) {
    std::vector<float> x = stream(half - 1);
    std::vector<float> wanted(x.size(), 0.0f);
    workspace_.reset();
    run(view(x), view(wanted));
    std::vector<float> found = stream(half);
    for (size_t i = 0; i < found.size(); ++i) found[i] -= stream(half - 1)[i];
    const double error = relative_error(found, wanted);
    std::printf("layer %ld, %-9s of %ld rows: relative error %.5f\n", long{layer}, what,
                long{rows()}, error);
    EXPECT_LE(error, tolerance) << "layer " << layer << ", " << what;
    EXPECT_GT(error, 1e-6) << "layer " << layer << ", " << what << ": nothing was rounded";
  }

  // The scores of the chosen experts are the K highest, but for what float32's sums may exchange.
  void expect_choice(int64_t layer, const LayerWeights& weights) {
    const size_t num_experts = static_cast<size_t>(config_.moe.num_experts);
    const size_t top_k = static_cast<size_t>(config_.moe.top_k);
    const size_t slots_per_row = top_k + static_cast<size_t>(config_.moe.num_shared_experts);
    ASSERT_EQ(config_.moe.n_group, 1) << "groups are not looked at here";
    int exchanged = 0;
    for (size_t row = 0; row < ids_.size(); ++row) {
      const std::vector<double> scores = selection_scores(layer, weights, row);
      std::vector<double> ordered = scores;
      std::ranges::sort(ordered, std::greater<>());
      const int32_t* ids = chosen_[static_cast<size_t>(layer)].data() + row * slots_per_row;
      double lowest = std::numeric_limits<double>::infinity();
      for (size_t k = 0; k < top_k; ++k) {
        ASSERT_LT(static_cast<size_t>(ids[k]), num_experts);
        EXPECT_EQ(std::count(ids, ids + top_k, ids[k]), 1) << "row " << row;
        lowest = std::min(lowest, scores[static_cast<size_t>(ids[k])]);
      }
      EXPECT_GE(lowest, ordered[top_k - 1] - 4e-6) << "layer " << layer << ", row " << row;
      exchanged += lowest < ordered[top_k - 1];
    }
    std::printf("layer %ld, router: %d of %ld rows choose the next best by float32's last bits\n",
                long{layer}, exchanged, long{rows()});
    EXPECT_LE(exchanged, rows() / 500 + 1) << "layer " << layer;
  }

  // In double, from the GPU's residual stream.
  std::vector<double> selection_scores(int64_t layer, const LayerWeights& weights, size_t row) {
    const auto width = static_cast<size_t>(config_.hidden_size);
    const float* x = stream(2 * layer).data() + row * width;
    double squares = 0.0;
    for (size_t i = 0; i < width; ++i) squares += double{x[i]} * x[i];
    const double scale =
        1.0 / std::sqrt(squares / static_cast<double>(width) + config_.rms_norm_eps);
    const TensorView& router = weights.moe->router.codes;
    std::vector<float> values(width);
    std::vector<double> scores;
    for (int64_t e = 0; e < config_.moe.num_experts; ++e) {
      convert_elements(
          router.as<std::byte>() + static_cast<size_t>(e) * width * dtype_size(router.dtype),
          router.dtype, values.data(), DType::kF32, width);
      double logit = 0.0;
      for (size_t i = 0; i < width; ++i) {
        logit += scale * double{x[i]} * weights.post_attention_norm[i] * values[i];
      }
      const double bias = weights.moe->selection_bias.empty()
                              ? 0.0
                              : double{weights.moe->selection_bias[static_cast<size_t>(e)]};
      scores.push_back(1.0 / (1.0 + std::exp(-logit)) + bias);
    }
    return scores;
  }

  const Glm4MoeConfig& config_;
  const Glm4MoeWeights& weights_;
  std::vector<int32_t> ids_;
  ThreadTeam& team_;
  std::vector<int32_t> blocks_;
  Workspace workspace_;
  std::vector<std::vector<float>> streams_;   // [1 + 2 L] of [T, H]
  std::vector<std::vector<int32_t>> chosen_;  // [L] of [T, K']
};

}  // namespace glmoe::testing
