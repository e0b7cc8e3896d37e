// glmoe explain: what would run a model, layer kind by layer kind, and why; no weights are loaded.
#include <cstdio>
#include <memory>

#include "apps/command.h"
#include "base/error.h"
#include "convert/inspect.h"
#include "gpu/gpu_backend.h"
#include "gpu/gpu_choices.h"
#include "kernels/cpu/target.h"
#include "layers/kernel_choice.h"

namespace glmoe::apps {
namespace {

struct ExplainOptions {
  std::string model, preset, backend = "auto", dtype = "auto", moe_backend = "AUTO";
  int64_t num_layers = 0;
  int64_t tokens_per_block = 64;
  bool json = false;
};

struct Device {
  bool gpu = false;
  std::string reason;
};

Device choose_device(const std::string& backend, DType dtype) {
  if (backend == "cpu") return {false, "asked for"};
  const std::string why_not = GpuBackend::why_not();
  if (backend == "cuda") {
    return {true, why_not.empty() ? "asked for" : "asked for, but it cannot run here: " + why_not};
  }
  if (backend != "auto") fail_argument("backend '{}' is unknown: use auto, cpu or cuda", backend);
  if (!why_not.empty()) return {false, "auto: " + why_not};
  if (dtype == DType::kF32) return {false, "auto: the GPU does not compute in float32"};
  return {true, "auto: there is a GPU for it"};
}

// "AUTO CUTLASS VANILLA", and the others with their reasons.
std::vector<std::pair<std::string, std::string>> verdicts(bool gpu, const Glm4MoeConfig& config) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const MoeBackendKind kind : {MoeBackendKind::kCutlass, MoeBackendKind::kTrtllm,
                                    MoeBackendKind::kVanilla, MoeBackendKind::kWideep}) {
    const BackendVerdict verdict =
        gpu ? can_implement_on_gpu(kind, config) : can_implement_on_cpu(kind, config);
    all.emplace_back(moe_backend_name(kind), verdict.ok() ? "yes" : "no: " + verdict.to_string());
  }
  return all;
}

void explain(const ExplainOptions& options) {
  if (options.model.empty() == options.preset.empty()) {
    fail_argument("explain: either --model FOLDER or --preset NAME is wanted");
  }
  Glm4MoeConfig config;
  DType dtype = DType::kBF16;
  if (options.preset.empty()) {
    const FolderSummary summary = inspect_folder(options.model);
    config = summary.config;
    dtype = summary.dtype;
  } else {
    config = Glm4MoeConfig::preset(options.preset);
    parse_dtype(config.dtype, dtype);
  }
  if (options.num_layers > 0) config.num_hidden_layers = options.num_layers;
  dtype = parse_float_dtype(options.dtype, "--dtype").value_or(dtype);
  const Device device = choose_device(options.backend, dtype);
  const MoeBackendKind kind = moe_backend_from_name(options.moe_backend);
  const std::vector<KernelChoice> choices =
      device.gpu ? explain_on_gpu(config, kind, options.tokens_per_block)
                 : explain_on_cpu(config, kind, dtype, cpu_target_name());
  const auto backends = verdicts(device.gpu, config);
  const std::string name = device.gpu ? "cuda" : "cpu";
  const int64_t moe_layers = config.num_moe_layers();
  if (options.json) {
    Json out = {{"backend", name},
                {"reason", device.reason},
                {"dtype", dtype_long_name(dtype)},
                {"dense_layers", config.num_hidden_layers - moe_layers},
                {"moe_layers", moe_layers},
                {"kernels", Json::array()},
                {"moe_backends", Json::object()}};
    for (const KernelChoice& c : choices) {
      out["kernels"].push_back(
          {{"layers", c.layers}, {"part", c.part}, {"kernel", c.kernel}, {"reason", c.reason}});
    }
    for (const auto& [backend, verdict] : backends) out["moe_backends"][backend] = verdict;
    return print_json(out);
  }
  std::printf("backend: %s (%s)\n", name.c_str(), device.reason.c_str());
  std::printf("computed in %s; %lld layers: %lld dense, %lld MoE\n",
              std::string(dtype_long_name(dtype)).c_str(),
              static_cast<long long>(config.num_hidden_layers),
              static_cast<long long>(config.num_hidden_layers - moe_layers),
              static_cast<long long>(moe_layers));
  std::string layers;
  for (const KernelChoice& c : choices) {
    if (c.layers != layers) std::printf("%s\n", c.layers.c_str());
    layers = c.layers;
    std::printf("  %-30s %s\n  %-30s   since: %s\n", c.part.c_str(), c.kernel.c_str(), "",
                c.reason.c_str());
  }
  if (moe_layers == 0) return;
  std::printf("moe_backend\n");
  for (const auto& [backend, verdict] : backends) {
    std::printf("  %-30s %s\n", backend.c_str(), verdict.c_str());
  }
}

}  // namespace

void add_explain(CLI::App& app) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* command = app.add_subcommand("explain", "What runs which part of a model, and why");
  command->add_option("--model", options->model, "Model folder");
  command->add_option("--preset", options->preset, "Shapes of a published model");
  command->add_option("--layers,--num_layers", options->num_layers, "Only so many layers")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--backend", options->backend, "auto, cpu or cuda")->capture_default_str();
  command
      ->add_option("--dtype", options->dtype,
                   "Type computed in: auto (the weights' own), float32, bfloat16 or float16")
      ->capture_default_str();
  command
      ->add_option("--moe_backend", options->moe_backend,
                   "AUTO, CUTLASS, TRTLLM, VANILLA or "
                   "WIDEEP")
      ->capture_default_str();
  command->add_option("--tokens_per_block", options->tokens_per_block, "KV block size")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
  command->add_flag("--json", options->json);
  command->callback([options] { explain(*options); });
}

}  // namespace glmoe::apps
