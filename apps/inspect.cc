// glmoe inspect and glmoe plan: what a folder holds, and what a model would need in memory.
#include <algorithm>
#include <cstdio>

#include "apps/command.h"
#include "base/error.h"
#include "convert/inspect.h"
#include "gpu/gpu_backend.h"
#include "spec/memory_plan.h"

namespace glmoe::apps {
namespace {

struct PlanOptions {
  std::string model, preset, backend = "cpu", dtype = "auto", kv_dtype = "auto", memory;
  MemoryPlanOptions plan;
  Mapping mapping;
  int64_t num_layers = 0;
  bool json = false;
};

// With what the GPU's layout adds to the weights, and its workspace.
MemoryPlan plan_on_gpu(const Glm4MoeConfig& config, const MemoryPlanOptions& options) {
  if (options.mapping.resolved().world_size != 1) {
    fail_argument("plan: --backend cuda is for one GPU: leave the parallel sizes at 1");
  }
  MemoryPlan plan = plan_memory(config, options);
  const GpuMemoryNeed need =
      gpu_memory_need(config, options.weight_dtype,
                      {.max_num_tokens = std::max(options.max_num_tokens, options.max_batch_size),
                       .max_batch_size = options.max_batch_size,
                       .max_seq_len = config.max_position_embeddings,
                       .tokens_per_block = 64});
  plan.padding = need.weights_bytes - plan.weight_bytes();
  plan.workspace = need.workspace_bytes;
  return plan;
}

void plan(PlanOptions options) {
  if (options.model.empty() == options.preset.empty()) {
    fail_argument("plan: either --model FOLDER or --preset NAME is wanted");
  }
  DType dtype = DType::kBF16;
  Glm4MoeConfig config;
  if (!options.preset.empty()) {
    config = Glm4MoeConfig::preset(options.preset);
    parse_dtype(config.dtype, dtype);
  } else {
    const FolderSummary summary = inspect_folder(options.model);
    config = summary.config;
    dtype = summary.dtype;
  }
  if (options.num_layers > 0) config.num_hidden_layers = options.num_layers;
  options.plan.mapping = options.mapping;
  options.plan.weight_dtype = parse_float_dtype(options.dtype, "--dtype").value_or(dtype);
  options.plan.kv_dtype =
      parse_float_dtype(options.kv_dtype, "--kv_dtype").value_or(options.plan.weight_dtype);
  if (options.backend != "cpu" && options.backend != "cuda") {
    fail_argument("plan: --backend '{}' is unknown: use cpu or cuda", options.backend);
  }
  const MemoryPlan result = options.backend == "cuda" ? plan_on_gpu(config, options.plan)
                                                      : plan_memory(config, options.plan);
  const int64_t memory = options.memory.empty() ? 0 : parse_bytes(options.memory, "--memory");
  if (options.json) {
    Json json = result.to_json();
    if (memory > 0) json["largest_context"] = result.largest_context(memory);
    print_json(json);
    return;
  }
  std::printf("%s", result.to_string().c_str());
  if (memory > 0) {
    std::printf("largest context in %s: %lld tokens\n",
                human_bytes(static_cast<double>(memory)).c_str(),
                static_cast<long long>(result.largest_context(memory)));
  }
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto path = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("inspect", "What a model folder holds");
  command->add_option("--model", *path, "Hugging Face folder, converted folder or engine")
      ->required();
  command->add_flag("--json", *json);
  command->callback([path, json] {
    const FolderSummary summary = inspect_folder(*path);
    if (*json) {
      print_json(summary_to_json(summary));
    } else {
      std::printf("%s", summary_to_text(summary).c_str());
    }
  });
}

void add_plan(CLI::App& app) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "Memory by part, without loading the weights");
  command->add_option("--model", options->model, "Model folder");
  command->add_option("--preset", options->preset, "Shapes of a published model");
  command->add_option("--layers,--num_layers", options->num_layers, "Only so many layers")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--backend", options->backend, "cpu, or cuda for a GPU's layout and workspace")
      ->capture_default_str();
  command->add_option("--dtype", options->dtype, "Type of the matrices")->capture_default_str();
  command->add_option("--kv_dtype", options->kv_dtype, "Type of the KV cache")
      ->capture_default_str();
  command->add_option("--kv_cache_tokens", options->plan.kv_tokens,
                      "Tokens that the KV cache holds");
  command->add_option("--max_num_tokens", options->plan.max_num_tokens)->capture_default_str();
  command->add_option("--max_batch_size", options->plan.max_batch_size)->capture_default_str();
  command->add_option("--memory", options->memory, "Memory to fit in, for example 80G");
  command->add_flag("--json", options->json);
  add_mapping_flags(*command, options->mapping);
  command->callback([options] { plan(*options); });
}

}  // namespace glmoe::apps
