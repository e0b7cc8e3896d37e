#include "layers/moe_backend.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace glmoe {
namespace {

struct NamedKind {
  MoeBackendKind kind;
  std::string_view name;
};
constexpr NamedKind kKinds[] = {
    {MoeBackendKind::kAuto, "AUTO"},     {MoeBackendKind::kCutlass, "CUTLASS"},
    {MoeBackendKind::kTrtllm, "TRTLLM"}, {MoeBackendKind::kVanilla, "VANILLA"},
    {MoeBackendKind::kWideep, "WIDEEP"},
};

// Tokens sorted by expert, then one grouped product over all experts.
class GroupedCpuBackend final : public MoeBackend {
 public:
  std::string_view name() const override { return "CUTLASS"; }
  std::string_view implementation() const override {
    return "grouped products by the CPU's SIMD kernels";
  }
  void forward(const OpContext& ctx, const TensorView& x, const Routing& routing,
               const MoeWeights& weights, const TensorView& out) const override {
    grouped_experts(ctx, x, routing, {weights.experts_gate_up, weights.experts_down}, out,
                    /*accumulate=*/true);
  }
};

class VanillaBackend final : public MoeBackend {
 public:
  std::string_view name() const override { return "VANILLA"; }
  std::string_view implementation() const override { return "a plain loop over the experts"; }
  void forward(const OpContext& ctx, const TensorView& x, const Routing& routing,
               const MoeWeights& weights, const TensorView& out) const override {
    looped_experts(ctx, x, routing, {weights.experts_gate_up, weights.experts_down}, out,
                   /*accumulate=*/true);
  }
};

}  // namespace

std::string_view moe_backend_name(MoeBackendKind kind) {
  for (const NamedKind& entry : kKinds) {
    if (entry.kind == kind) return entry.name;
  }
  return "AUTO";
}

MoeBackendKind moe_backend_from_name(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  for (const NamedKind& entry : kKinds) {
    if (entry.name == upper) return entry.kind;
  }
  fail_argument("moe_backend '{}' is unknown: use AUTO, CUTLASS, TRTLLM, VANILLA or WIDEEP", name);
}

std::string BackendVerdict::to_string() const {
  return fmt::format("{}", fmt::join(reasons, "; "));
}

void BackendVerdict::require(MoeBackendKind kind) const {
  if (ok()) return;
  fail(ErrorCode::kUnsupported,
       "moe_backend {} cannot be used: {}. Use CUTLASS (the default) or VANILLA",
       moe_backend_name(kind), to_string());
}

BackendVerdict can_implement_on_one_rank(MoeBackendKind kind, const Glm4MoeConfig& config) {
  BackendVerdict verdict;
  const QuantMode mode = config.quantization.quant_mode();
  if (kind == MoeBackendKind::kTrtllm && !mode.has_fp8_block_scales() && !mode.has_nvfp4()) {
    verdict.reasons.push_back(
        fmt::format("it takes FP8 block scales or NVFP4 weights only, and these are {}",
                    config.quantization.quant_algo == QuantAlgo::kNone
                        ? config.dtype
                        : std::string(quant_algo_name(config.quantization.quant_algo))));
  }
  if (kind == MoeBackendKind::kWideep) {
    verdict.reasons.push_back("wide expert parallelism needs several ranks, and there is one");
  }
  return verdict;
}

BackendVerdict can_implement_on_cpu(MoeBackendKind kind, const Glm4MoeConfig& config) {
  BackendVerdict verdict = can_implement_on_one_rank(kind, config);
  if (kind == MoeBackendKind::kTrtllm) {
    verdict.reasons.insert(verdict.reasons.begin(),
                           "it runs on an NVIDIA GPU only, and the device is the CPU");
  }
  return verdict;
}

std::unique_ptr<MoeBackend> make_cpu_moe_backend(MoeBackendKind kind, const Glm4MoeConfig& config) {
  can_implement_on_cpu(kind, config).require(kind);
  if (kind == MoeBackendKind::kVanilla) return std::make_unique<VanillaBackend>();
  return std::make_unique<GroupedCpuBackend>();
}

}  // namespace glmoe
