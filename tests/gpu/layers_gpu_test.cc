// Layer by layer beside the CPU, at the widths of the published models: the residual stream after
// each layer, normalised, from the same random weights.
// Mirrors: src/gpu/gpu_model.cc, src/gpu/gpu_weights.cc
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "cache/kv_pool.h"
#include "device/gpu_info.h"
#include "gpu/gpu_model.h"
#include "gpu/step_inputs.h"
#include "model/glm4_moe.h"
#include "support/gpu.h"
#include "weights/loaded_weights.h"

namespace glmoe {
namespace {

using namespace testing;

constexpr int64_t kBlockTokens = 16;

// A dense layer and a MoE layer of the model's widths, with fewer experts and a small vocabulary.
Glm4MoeConfig two_layers(const char* preset) {
  Glm4MoeConfig config = Glm4MoeConfig::preset(preset);
  config.vocab_size = 1024;
  config.num_hidden_layers = 2;
  config.first_k_dense_replace = 1;
  config.num_nextn_predict_layers = 0;
  config.max_position_embeddings = 256;
  config.moe.num_experts = 24;
  return config;
}

class LayersOnTheGpu : public GpuTest {
 protected:
  void compare(const char* preset, int64_t num_rows) {
    const Glm4MoeConfig config = two_layers(preset);
    const LoadedWeights loaded = dummy_weights(config, DType::kBF16, 3, *team_);
    std::vector<int32_t> ids(static_cast<size_t>(num_rows));
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>(random_bits(5, 1, i) % 1024);
    }
    const std::vector<std::vector<float>> found = on_gpu(config, loaded.weights(), ids);
    // The CPU's probe shows the whole stream only behind the last layer: so one model a layer.
    for (int64_t depth = 1; depth <= config.num_hidden_layers; ++depth) {
      const std::vector<float> wanted = on_cpu(config, loaded.weights(), ids, depth);
      const double error =
          relative_error(normalised(found[static_cast<size_t>(depth - 1)], config), wanted);
      std::printf("%s, %ld rows, layer %ld: relative error %.5f\n", preset, long{num_rows},
                  long{depth - 1}, error);
      EXPECT_LE(error, 2e-2) << preset << ", layer " << depth - 1;
      EXPECT_GT(error, 1e-6) << "nothing was rounded";
    }
  }

 private:
  // By layer: [T, H].
  std::vector<std::vector<float>> on_gpu(const Glm4MoeConfig& config, const Glm4MoeWeights& weights,
                                         const std::vector<int32_t>& ids) {
    const GpuWeights on_device(config, weights, cuda::ElementType::kBf16, *team_);
    const int64_t rows = static_cast<int64_t>(ids.size());
    GpuModel model(config, on_device,
                   {.max_rows = 256,
                    .max_logit_rows = 256,
                    .max_positions = 256,
                    .tokens_per_block = kBlockTokens,
                    .num_blocks = 16,
                    .num_sms = query_gpus().gpus[0].sm_count},
                   *team_);
    StepInputs inputs(
        {.max_rows = 256, .max_sequences = 4, .max_blocks = 16, .tokens_per_block = kBlockTokens});
    StepPlan plan;
    SequenceStep& step = plan.sequences.emplace_back();
    step.token_ids = ids;
    step.prompt_logprobs = true;  // every row goes through the last layer
    step.block_table.resize(16);
    std::iota(step.block_table.begin(), step.block_table.end(), 0);
    const CudaStream stream;
    std::vector<std::vector<float>> layers;
    model.set_probe([&](int64_t layer, const float* residual, int num_rows) {
      ASSERT_EQ(num_rows, rows);
      if (layer < 0) return;
      auto& to = layers.emplace_back(static_cast<size_t>(rows * config.hidden_size));
      stream.synchronize();
      GLMOE_CUDA(cudaMemcpy(to.data(), residual, to.size() * 4, cudaMemcpyDeviceToHost));
    });
    model.forward(inputs.upload(plan, stream.get()), stream.get());
    stream.synchronize();
    return layers;
  }

  // The first `depth` layers and the final norm, whose weights are ones.
  std::vector<float> on_cpu(Glm4MoeConfig config, Glm4MoeWeights weights,
                            const std::vector<int32_t>& ids, int64_t depth) {
    config.num_hidden_layers = depth;
    weights.layers.resize(static_cast<size_t>(depth));
    const auto rows = static_cast<int64_t>(ids.size());
    KvPool kv(KvGeometry::of(config, DType::kBF16, kBlockTokens), 16);
    Workspace workspace;
    const OpContext ctx{
        .team = team_.get(), .workspace = &workspace, .compute_dtype = DType::kBF16};
    Glm4MoeForCausalLM model(config, weights, MoeBackendKind::kAuto, kBlockTokens);
    std::vector<float> hidden;
    model.model().set_probe([&](int64_t layer, const TensorView& view) {
      if (layer != depth) return;
      hidden.assign(view.as<float>(), view.as<float>() + view.num_elements());
    });
    std::vector<int32_t> blocks(16);
    std::iota(blocks.begin(), blocks.end(), 0);
    BatchInput batch{.token_ids = ids};
    batch.sequences.push_back({.num_rows = rows, .block_table = blocks});
    batch.logit_rows.resize(static_cast<size_t>(rows));
    std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
    workspace.reset();
    model.forward(ctx, batch, kv);
    return hidden;
  }

  static std::vector<float> normalised(std::vector<float> rows, const Glm4MoeConfig& config) {
    const auto width = static_cast<size_t>(config.hidden_size);
    for (size_t begin = 0; begin < rows.size(); begin += width) {
      double sum = 0.0;
      for (size_t i = 0; i < width; ++i) sum += double{rows[begin + i]} * rows[begin + i];
      const double scale = 1.0 / std::sqrt(sum / static_cast<double>(width) + config.rms_norm_eps);
      for (size_t i = 0; i < width; ++i) {
        rows[begin + i] = static_cast<float>(rows[begin + i] * scale);
      }
    }
    return rows;
  }

  std::shared_ptr<ThreadTeam> team_ = std::make_shared<ThreadTeam>(0);
};

TEST_F(LayersOnTheGpu, OfTheAirModelAgreeWithTheCpu) {
  compare("glm-4.5-air", 7);
  compare("glm-4.5-air", 100);
}

TEST_F(LayersOnTheGpu, OfTheLargeModelAgreeWithTheCpu) {
  compare("glm-4.6", 7);
  compare("glm-4.6", 100);
}

}  // namespace
}  // namespace glmoe
