#include "layers/kernel_choice.h"

#include <fmt/format.h>

#include <memory>

namespace glmoe {

std::vector<KernelChoice> explain_on_cpu(const Glm4MoeConfig& config, MoeBackendKind moe_backend,
                                         DType compute_dtype, const std::string& target) {
  const std::string simd = fmt::format("SIMD kernel for {}", target);
  const std::string products = fmt::format("matrix products, {}", simd);
  const std::string type =
      compute_dtype == DType::kF32
          ? "inputs and sums are float32"
          : fmt::format("inputs rounded to {}, sums float32", dtype_long_name(compute_dtype));
  std::vector<KernelChoice> choices = {
      {"every layer", "norms", simd, "float32 throughout"},
      {"every layer", "attention, projections", products, type},
      {"every layer", "attention, decode and prefill", simd,
       "one kernel for any number of rows: a row's result does not depend on the others"}};
  const int64_t moe_layers = config.num_moe_layers();
  if (moe_layers < config.num_hidden_layers) {
    choices.push_back({"dense layers", "MLP", products, type});
  }
  if (moe_layers > 0) {
    const std::unique_ptr<MoeBackend> backend = make_cpu_moe_backend(moe_backend, config);
    choices.push_back({"MoE layers", "router", simd, "float32 throughout, whatever the type"});
    choices.push_back({"MoE layers", "routed experts",
                       fmt::format("{}: {}", backend->name(), backend->implementation()),
                       moe_backend == MoeBackendKind::kAuto
                           ? "AUTO takes the first backend that runs this model"
                           : fmt::format("asked for as {}", moe_backend_name(moe_backend))});
    if (config.moe.num_shared_experts > 0) {
      choices.push_back({"MoE layers", "shared expert", products, type});
    }
  }
  choices.push_back({"once a step", "head", products, type});
  choices.push_back({"once a step", "sampling", "plain C++, a sequence a thread",
                     "exact, and the same for any batch"});
  return choices;
}

}  // namespace glmoe
