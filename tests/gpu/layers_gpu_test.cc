// Half a layer at a time beside the CPU (support/half_layers.h): random weights of the widths of
// the published models, and the demo model's real ones over the longest text that it takes.
// Mirrors: src/gpu/gpu_model.cc, src/gpu/gpu_weights.cc
#include <gtest/gtest.h>

#include "base/rng.h"
#include "llm/load.h"
#include "support/gpu.h"
#include "support/half_layers.h"
#include "weights/loaded_weights.h"

namespace glmoe {
namespace {

using namespace testing;

// Attention rounds query and probabilities where the CPU does not, long prefill the experts'
// outputs (docs/kernels/cuda-rounding.md): each a relative 2^-9 at most.
constexpr double kTolerance = 6e-3;

// A dense layer and a MoE layer of the model's widths, with fewer experts and a small vocabulary.
Glm4MoeConfig two_layers(const char* preset) {
  Glm4MoeConfig config = Glm4MoeConfig::preset(preset);
  config.vocab_size = 1024;
  config.num_hidden_layers = 2;
  config.first_k_dense_replace = 1;
  config.num_nextn_predict_layers = 0;
  config.max_position_embeddings = 1024;
  config.moe.num_experts = 24;
  return config;
}

class LayersOnTheGpu : public GpuTest {
 protected:
  // Rows for the streaming kernels, for the library with F32 results, and beyond.
  void compare(const char* preset) {
    const Glm4MoeConfig config = two_layers(preset);
    const LoadedWeights loaded = dummy_weights(config, DType::kBF16, 3, *team_);
    for (const int64_t num_rows : {7, 100, 600}) {
      std::vector<int32_t> ids(static_cast<size_t>(num_rows));
      for (size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<int32_t>(random_bits(5, 1, i) % 1024);
      }
      SCOPED_TRACE(std::string(preset) + ", " + std::to_string(num_rows) + " rows");
      HalfLayers(config, loaded.weights(), ids, *team_).expect_as_on_the_cpu(kTolerance);
    }
  }

  std::shared_ptr<ThreadTeam> team_ = std::make_shared<ThreadTeam>(0);
};

TEST_F(LayersOnTheGpu, OfTheAirModelAgreeWithTheCpu) { compare("glm-4.5-air"); }

TEST_F(LayersOnTheGpu, OfTheLargeModelAgreeWithTheCpu) { compare("glm-4.6"); }

TEST_F(LayersOnTheGpu, OfTheDemoModelAgreeWithTheCpuOver4095Tokens) {
  const LoadedModel model = load_model(demo_options("cpu"), *team_);
  HalfLayers(model.config, model.weights->weights(), demo_text(4095), *team_)
      .expect_as_on_the_cpu(kTolerance);
}

}  // namespace
}  // namespace glmoe
