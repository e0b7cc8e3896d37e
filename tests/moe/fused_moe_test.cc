// Mirrors: src/moe/fused_moe.cc, on the CPU; tests/gpu/gpu_fused_moe_test.cc has the GPU's side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "glmoe/error.h"
#include "glmoe/moe.h"
#include "ops/moe.h"
#include "support/op_fixture.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::HasSubstr;

// A layer of random experts in a type, with everything in F32 beside it.
struct Layer {
  static constexpr int64_t kExperts = 6, kHidden = 64, kInner = 96, kTopK = 3;

  explicit Layer(DType element, int64_t tokens) : dtype(element), num_tokens(tokens) {
    x = stored(random_floats(tokens * kHidden, 1));
    gate_up = stored(random_floats(kExperts * 2 * kInner * kHidden, 2, 0.2f));
    down = stored(random_floats(kExperts * kHidden * kInner, 3, 0.2f));
    router = random_floats(kExperts * kHidden, 4, 0.2f);
    bias = random_floats(kExperts, 5, 0.1f);
    for (int64_t i = 0; i < tokens * kTopK; ++i) {
      ids.push_back((i * 7 + i / kTopK) % kExperts);
      weights.push_back(0.1f + 0.05f * static_cast<float>(i % 9));
    }
    out.resize(x.size());
  }
  std::vector<std::byte> stored(const std::vector<float>& values) const {
    std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
    convert_elements(reinterpret_cast<const std::byte*>(values.data()), DType::kF32, bytes.data(),
                     dtype, values.size());
    return bytes;
  }
  std::vector<float> wide(const std::vector<std::byte>& bytes) const {
    std::vector<float> values(bytes.size() / dtype_size(dtype));
    convert_elements(bytes.data(), dtype, reinterpret_cast<std::byte*>(values.data()), DType::kF32,
                     values.size());
    return values;
  }
  FusedMoeCall call() {
    const ElementKind kind = dtype == DType::kF32    ? ElementKind::kFloat32
                             : dtype == DType::kBF16 ? ElementKind::kBfloat16
                                                     : ElementKind::kFloat16;
    return {.x = x.data(),
            .out = out.data(),
            .num_tokens = num_tokens,
            .experts = {gate_up.data(), down.data(), kind, kExperts, kHidden, kInner},
            .chosen = {.ids = ids.data(), .weights = weights.data(), .top_k = kTopK}};
  }
  RouterWeights router_weights() const {
    MoeConfig config;
    config.num_experts = kExperts;
    config.top_k = kTopK;
    config.normalization_mode = ExpertScaleNormalizationMode::kSigmoidBiasRenorm;
    config.routed_scaling_factor = 1.5;
    return {.weight = router.data(), .selection_bias = bias.data(), .config = config};
  }
  // The plain loop over the experts, rounded as the call's result is.
  std::vector<std::byte> reference(const Routing& routing) {
    OpContext ctx = environment.context();
    ctx.compute_dtype = dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
    std::vector<float> wide_x = wide(x), sum(wide_x.size());
    const Shape rows{num_tokens, kHidden};
    looped_experts(
        ctx, {wide_x.data(), DType::kF32, rows}, routing,
        {.gate_up = {.codes = {gate_up.data(), dtype, Shape{kExperts, 2 * kInner, kHidden}}},
         .down = {.codes = {down.data(), dtype, Shape{kExperts, kHidden, kInner}}}},
        {sum.data(), DType::kF32, rows});
    return stored(sum);
  }
  Routing given_routing() {
    narrow_ids.assign(ids.begin(), ids.end());
    const Shape slots{num_tokens, kTopK};
    return {.expert_ids = {narrow_ids.data(), DType::kI32, slots},
            .weights = {weights.data(), DType::kF32, slots}};
  }

  DType dtype;
  int64_t num_tokens;
  std::vector<std::byte> x, gate_up, down, out;
  std::vector<float> router, bias, weights;
  std::vector<int64_t> ids;
  std::vector<int32_t> narrow_ids;
  OpEnvironment environment;
};

std::string refusal(const FusedMoeCall& call) {
  try {
    FusedMoe(1).run(call);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(FusedMoeOnTheCpu, GivesThePlainLoopsBitsInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const int64_t tokens : {1, 2, 17}) {
      Layer layer(dtype, tokens);
      FusedMoe(2).run(layer.call());
      EXPECT_EQ(layer.out, layer.reference(layer.given_routing())) << dtype_name(dtype) << tokens;
    }
  }
}

TEST(FusedMoeOnTheCpu, TakesNumbersOf32BitsAndWeightsOf16) {
  Layer layer(DType::kBF16, 5);
  FusedMoeCall call = layer.call();
  for (float& weight : layer.weights) weight = std::round(weight * 64) / 64;  // exact in bfloat16
  const Routing routing = layer.given_routing();
  const std::vector<std::byte> narrow_weights = layer.stored(layer.weights);
  call.chosen.ids = layer.narrow_ids.data();
  call.chosen.ids_64_bit = false;
  call.chosen.weights = narrow_weights.data();
  call.chosen.weights_kind = ElementKind::kBfloat16;
  FusedMoe(2).run(call);
  EXPECT_EQ(layer.out, layer.reference(routing));
}

TEST(FusedMoeOnTheCpu, RoutesLikeTheEngineInFloat32) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Layer layer(dtype, 9);
    const RouterWeights router = layer.router_weights();
    FusedMoeCall call = layer.call();
    call.router = &router;
    FusedMoe(2).run(call);

    std::vector<float> wide_x = layer.wide(layer.x);
    Routing routing = layer.given_routing();
    route(layer.environment.context(), matrix_view(wide_x, 9, Layer::kHidden),
          {.codes = matrix_view(layer.router, Layer::kExperts, Layer::kHidden)}, layer.bias,
          router.config, routing);
    EXPECT_EQ(layer.out, layer.reference(routing)) << dtype_name(dtype);
  }
}

TEST(FusedMoeOnTheCpu, AnExpertThatIsNoneAddsNothing) {
  Layer layer(DType::kF32, 4);
  const std::vector<int64_t> all = layer.ids;
  for (size_t i = 0; i < all.size(); i += 2) layer.ids[i] = i % 4 == 0 ? -1 : Layer::kExperts;
  FusedMoe moe(2);
  moe.run(layer.call());
  const std::vector<std::byte> found = layer.out;
  layer.ids = all;
  for (size_t i = 0; i < all.size(); i += 2) layer.weights[i] = 0.0f;
  const std::vector<float> wanted = layer.wide(layer.reference(layer.given_routing()));
  const std::vector<float> values = layer.wide(found);
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_FLOAT_EQ(values[i], wanted[i]) << i;
}

TEST(FusedMoeOnTheCpu, NamesWhatIsWrong) {
  Layer layer(DType::kF32, 2);
  const auto changed = [&](const auto& change) {
    FusedMoeCall call = layer.call();
    change(call);
    return refusal(call);
  };
  EXPECT_THAT(changed([](auto& call) { call.x = nullptr; }), HasSubstr("x is null"));
  EXPECT_THAT(changed([](auto& call) { call.chosen.ids = nullptr; }), HasSubstr("ids is null"));
  EXPECT_THAT(changed([](auto& call) { call.chosen.top_k = 0; }), HasSubstr("top_k is 0"));
  EXPECT_THAT(changed([](auto& call) { call.num_tokens = -1; }), HasSubstr("num_tokens is -1"));
  EXPECT_THAT(changed([](auto& call) { call.experts.hidden_size = 0; }), HasSubstr("hidden_size"));
  RouterWeights router = layer.router_weights();
  router.config.num_experts = 5;
  EXPECT_THAT(changed([&](auto& call) { call.router = &router; }),
              HasSubstr("the router has 5 experts, the weights 6"));
  FusedMoeCall empty = layer.call();
  empty.num_tokens = 0;
  empty.x = nullptr;
  EXPECT_EQ(refusal(empty), "");
}

TEST(FusedMoeOnTheCpu, SaysWhyTheGpuDoesNotTakeSomeExperts) {
  const ExpertWeights odd{
      .kind = ElementKind::kFloat32, .num_experts = 4, .hidden_size = 100, .intermediate_size = 96};
  EXPECT_THAT(why_no_gpu_moe(odd), ::testing::AllOf(HasSubstr("float32"), HasSubstr("100"),
                                                    HasSubstr("intermediate_size 96")));
  EXPECT_EQ(why_no_gpu_moe({.num_experts = 4, .hidden_size = 4096, .intermediate_size = 1408}), "");
  Layer layer(DType::kF32, 1);
  EXPECT_THROW(gpu_fused_moe(layer.call(), nullptr, 0, nullptr), Error);
}

}  // namespace
}  // namespace glmoe
