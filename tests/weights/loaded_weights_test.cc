#include "weights/loaded_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/engine_writer.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using glmoe::testing::error_of;
using glmoe::testing::small_config;
using glmoe::testing::synthetic_source;
using glmoe::testing::TempFolder;
using ::testing::HasSubstr;

class Weights : public ::testing::Test {
 protected:
  BlobSet blobs(const Glm4MoeConfig& config = small_config()) {
    return load_to_memory(synthetic_source(config, DType::kBF16), DType::kBF16, team_);
  }
  ThreadTeam team_{2};
};

TEST_F(Weights, ViewsHaveTheShapesOfTheForwardPass) {
  const LoadedWeights loaded(blobs());
  const Glm4MoeWeights& w = loaded.weights();
  ASSERT_EQ(w.layers.size(), 3u);
  EXPECT_TRUE(w.layers[0].mlp.has_value());
  EXPECT_FALSE(w.layers[0].moe.has_value());
  EXPECT_EQ(w.layers[0].mlp->gate_up.codes.shape, (Shape{44, 16}));
  EXPECT_FALSE(w.layers[1].mlp.has_value());
  EXPECT_EQ(w.layers[1].moe->experts_gate_up.codes.shape, (Shape{8, 12, 16}));
  EXPECT_EQ(w.layers[1].moe->experts_down.matrix(7).codes.shape, (Shape{16, 6}));
  EXPECT_EQ(w.layers[1].moe->router.codes.dtype, DType::kF32);
  EXPECT_EQ(w.layers[1].moe->selection_bias.size(), 8u);
  EXPECT_EQ(w.layers[2].qkv.codes.shape, (Shape{(8 + 4) * 4, 16}));
  EXPECT_EQ(w.layers[2].qkv_bias.size(), 48u);
  EXPECT_EQ(w.layers[2].q_norm.size(), 4u);
  EXPECT_EQ(w.final_norm.size(), 16u);
  ASSERT_EQ(w.mtp.size(), 1u);
  EXPECT_EQ(w.mtp[0].eh_proj.codes.shape, (Shape{16, 32}));
  EXPECT_NE(w.mtp[0].embedding.codes.data, w.embedding.codes.data);  // a copy of its own
}

TEST_F(Weights, ViewsStayGoodWhenTheObjectMoves) {
  LoadedWeights first(blobs());
  const void* data = first.weights().embedding.codes.data;
  const LoadedWeights second = std::move(first);
  EXPECT_EQ(second.weights().embedding.codes.data, data);
  EXPECT_EQ(second.weights().layers.size(), 3u);
}

TEST_F(Weights, TiedHeadAndMtpWithoutCopiesUseTheEmbedding) {
  Glm4MoeConfig config = small_config();
  config.tie_word_embeddings = true;
  BlobSet set = blobs(config);
  set.tensors.erase("transformer.mtp.0.vocab_embedding.weight");
  set.tensors.erase("transformer.mtp.0.lm_head.weight");
  const LoadedWeights loaded(std::move(set));
  const Glm4MoeWeights& w = loaded.weights();
  EXPECT_EQ(w.lm_head.codes.data, w.embedding.codes.data);
  EXPECT_EQ(w.mtp[0].embedding.codes.data, w.embedding.codes.data);
  EXPECT_EQ(w.mtp[0].head.codes.data, w.embedding.codes.data);
}

TEST_F(Weights, WhatIsMissingOrMisshapenIsNamed) {
  BlobSet set = blobs();
  set.tensors.erase("transformer.layers.1.mlp.router.weight");
  set.tensors["transformer.ln_f.weight"].shape = Shape{15};
  const auto message = error_of([&] { LoadedWeights loaded(std::move(set)); });
  EXPECT_THAT(message, HasSubstr("transformer.layers.1.mlp.router.weight is missing"));
  EXPECT_THAT(message, HasSubstr("transformer.ln_f.weight: F32 [16] was wanted, found F32 [15]"));
}

TEST_F(Weights, AStitchedEngineMayLeaveItsMtpLayersOutAndMustFit) {
  TempFolder folder;
  EngineWriteOptions options;
  options.output_dir = folder.file("engine");
  options.mapping.tp_size = 4;
  options.mapping = options.mapping.resolved();
  write_engine(synthetic_source(small_config(), DType::kBF16), options, team_);
  const LoadedWeights whole = load_engine(options.output_dir, team_);
  const LoadedWeights trunk =
      load_engine(options.output_dir, team_, {.memory = {.include_mtp = false}});
  EXPECT_EQ(whole.weights().mtp.size(), 1u);
  EXPECT_EQ(trunk.weights().mtp.size(), 0u);
  EXPECT_EQ(trunk.weights().layers.size(), 3u);
  EXPECT_LT(trunk.resident_bytes(), whole.resident_bytes());
  EXPECT_THAT(error_of([&] {
                load_engine(options.output_dir, team_, {.memory = {.available_bytes = 4096}});
              }),
              HasSubstr("4096 are available"));
}

TEST_F(Weights, AMappedEngineNeedsNoMemoryOfItsOwn) {
  TempFolder folder;
  EngineWriteOptions options;
  options.output_dir = folder.file("engine");
  options.mapping = Mapping{}.resolved();
  write_engine(synthetic_source(small_config(), DType::kBF16), options, team_);
  const EngineLoadOptions little{.memory = {.available_bytes = 4096}};
  EXPECT_EQ(error_of([&] { load_engine(options.output_dir, team_, little); }), "");
}

TEST_F(Weights, AnEngineIsTheSameMappedCopiedAndStitched) {
  TempFolder folder;
  const TensorSource source = synthetic_source(small_config(), DType::kBF16);
  const LoadedWeights direct(load_to_memory(source, DType::kBF16, team_));
  for (const int64_t tp : {1, 4}) {
    EngineWriteOptions options;
    options.output_dir = folder.file("engine");
    options.mapping.tp_size = tp;
    options.mapping = options.mapping.resolved();
    write_engine(source, options, team_);
    for (const bool copy : {false, true}) {
      const LoadedWeights loaded = load_engine(folder.file("engine"), team_, {true, copy});
      EXPECT_EQ(loaded.resident_bytes(), direct.resident_bytes());
      const TensorView a = direct.weights().layers[2].moe->experts_down.codes;
      const TensorView b = loaded.weights().layers[2].moe->experts_down.codes;
      EXPECT_EQ(std::memcmp(a.data, b.data, a.num_bytes()), 0);
    }
  }
}

}  // namespace
}  // namespace glmoe
