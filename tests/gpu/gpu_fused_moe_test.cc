// One MoE call on the GPU against the same call on the CPU, in both kernels' ranges, and its bits
// among neighbours and as a captured graph.
#include "gpu/gpu_fused_moe.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "gpu/cuda_objects.h"
#include "support/gpu.h"
#include "tensor/dtype.h"

namespace glmoe {
namespace {

using namespace testing;

constexpr int64_t kExperts = 8, kHidden = 256, kInner = 192, kTopK = 3;

struct Values {
  Values(int64_t count, float size, uint32_t seed, DType dtype) : bytes(count * dtype_size(dtype)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, size);
    std::vector<float> wide(static_cast<size_t>(count));
    for (float& value : wide) value = normal(random);
    convert_elements(reinterpret_cast<const std::byte*>(wide.data()), DType::kF32, bytes.data(),
                     dtype, wide.size());
    device = DeviceBuffer(bytes.size(), "test values");
    GLMOE_CUDA(cudaMemcpy(device.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
  }
  std::vector<std::byte> bytes;
  DeviceBuffer device;
};

class FusedMoeOnTheGpu : public GpuTest {
 protected:
  // Runs T tokens on both; the relative error of the whole result.
  double error_of(int64_t tokens, DType dtype, bool routed, bool as_graph = false) {
    const ElementKind kind = dtype == DType::kBF16 ? ElementKind::kBfloat16 : ElementKind::kFloat16;
    const Values x(tokens * kHidden, 1.0f, 1, dtype);
    const Values gate_up(kExperts * 2 * kInner * kHidden, 0.06f, 2, dtype);
    const Values down(kExperts * kHidden * kInner, 0.06f, 3, dtype);
    const Values router(kExperts * kHidden, 0.06f, 4, dtype);
    const Values bias(kExperts, 0.05f, 5, DType::kF32);
    const Values weights(tokens * kTopK, 0.4f, 6, DType::kF32);
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < tokens * kTopK; ++i) ids.push_back((i * 5 + i / 7) % (kExperts + 1));
    const DeviceBuffer ids_device(ids.size() * 8, "test values");
    GLMOE_CUDA(
        cudaMemcpy(ids_device.data(), ids.data(), ids_device.size(), cudaMemcpyHostToDevice));
    RouterWeights router_weights{
        .weight = router.bytes.data(),
        .kind = kind,
        .selection_bias = reinterpret_cast<const float*>(bias.bytes.data())};
    router_weights.config.num_experts = kExperts;
    router_weights.config.top_k = kTopK;
    router_weights.config.normalization_mode = ExpertScaleNormalizationMode::kSigmoidBiasRenorm;
    std::vector<std::byte> wanted(x.bytes.size());
    FusedMoeCall call{
        .x = x.bytes.data(),
        .out = wanted.data(),
        .num_tokens = tokens,
        .experts = {gate_up.bytes.data(), down.bytes.data(), kind, kExperts, kHidden, kInner},
        .router = routed ? &router_weights : nullptr,
        .chosen = {.ids = ids.data(), .weights = weights.bytes.data(), .top_k = kTopK}};
    FusedMoe(0).run(call);

    const DeviceBuffer out(x.bytes.size(), "test values");
    GLMOE_CUDA(cudaMemset(out.data(), 0xff, out.size()));
    call.x = x.device.data();
    call.out = out.data();
    call.experts.gate_up = gate_up.device.data();
    call.experts.down = down.device.data();
    router_weights.weight = router.device.data();
    router_weights.selection_bias = reinterpret_cast<const float*>(bias.device.data());
    call.chosen.ids = ids_device.data();
    call.chosen.weights = weights.device.data();
    const DeviceBuffer workspace(gpu_fused_moe_bytes(call), "the workspace");
    GLMOE_CUDA(cudaMemset(workspace.data(), 0xff, workspace.size()));  // it need not be cleared
    const CudaStream stream;
    const auto enqueue = [&] {
      gpu_fused_moe(call, workspace.data(), workspace.size(), stream.get());
    };
    if (as_graph) {
      const CudaGraph graph(stream.get(), enqueue);
      graph.launch(stream.get());
      graph.launch(stream.get());
    } else {
      enqueue();
    }
    stream.synchronize();
    std::vector<std::byte> found(wanted.size());
    GLMOE_CUDA(cudaMemcpy(found.data(), out.data(), found.size(), cudaMemcpyDeviceToHost));
    return distance(found, wanted, dtype);
  }
  static double distance(const std::vector<std::byte>& a, const std::vector<std::byte>& b,
                         DType dtype) {
    const size_t count = a.size() / dtype_size(dtype);
    std::vector<float> wide_a(count), wide_b(count);
    const auto widen = [&](const std::vector<std::byte>& from, std::vector<float>& to) {
      convert_elements(from.data(), dtype, reinterpret_cast<std::byte*>(to.data()), DType::kF32,
                       count);
    };
    widen(a, wide_a), widen(b, wide_b);
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; ++i) {
      difference += std::pow(double{wide_a[i]} - wide_b[i], 2);
      size += std::pow(double{wide_b[i]}, 2);
    }
    EXPECT_GT(size, 0);
    return std::sqrt(difference / size);
  }
};

// Both round the inputs of products to 16 bits and the result once; sums are F32 in other orders. A
// grouped product's result is rounded before it is combined as well.
TEST_F(FusedMoeOnTheGpu, AgreesWithTheCpuForFewTokensAndForMany) {
  for (const bool routed : {false, true}) {
    for (const int64_t tokens : {1, 2, 8, 33, 42, 43, 600}) {  // from 43 on: grouped products
      EXPECT_LT(error_of(tokens, DType::kBF16, routed), 6e-3) << tokens << routed;
      if (!routed) EXPECT_LT(error_of(tokens, DType::kF16, routed), 1.5e-3) << tokens;
    }
  }
}

TEST_F(FusedMoeOnTheGpu, CanBeCapturedAndReplayed) {
  EXPECT_LT(error_of(4, DType::kBF16, true, /*as_graph=*/true), 6e-3);
  EXPECT_LT(error_of(300, DType::kBF16, false, /*as_graph=*/true), 6e-3);
}

TEST_F(FusedMoeOnTheGpu, RefusesAWorkspaceThatIsTooSmall) {
  const DeviceBuffer memory(size_t{1} << 20, "test values");
  const FusedMoeCall call{
      .x = memory.data(),
      .out = memory.data(),
      .num_tokens = 1,
      .experts = {memory.data(), memory.data(), ElementKind::kBfloat16, 2, 64, 64},
      .chosen = {.ids = memory.data(), .weights = memory.data(), .top_k = 1}};
  try {
    gpu_fused_moe(call, memory.data(), 16, nullptr);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr("workspace has 16 bytes"));
  }
}

}  // namespace
}  // namespace glmoe
