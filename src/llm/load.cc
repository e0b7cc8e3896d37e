#include "llm/load.h"

#include <optional>

#include "artifact/model_folder.h"
#include "base/clock.h"
#include "base/error.h"
#include "checkpoint/hf_folder.h"
#include "convert/load_checkpoint.h"
#include "device/cpu_info.h"

namespace glmoe {
namespace {

SamplingDefaults sampling_defaults(const GenerationConfig& generation) {
  return {.do_sample = generation.do_sample,
          .temperature = generation.temperature,
          .top_k = generation.top_k,
          .top_p = generation.top_p,
          .min_p = generation.min_p,
          .repetition_penalty = generation.repetition_penalty};
}

// No limit where the system does not say.
uint64_t available_bytes() {
  const int64_t available = cpu_info().available_bytes;
  return available > 0 ? static_cast<uint64_t>(available) : UINT64_MAX;
}

LoadedWeights load_weights(const LlmOptions& options, ModelFolderKind kind, ThreadTeam& team) {
  // MTP layers are not run: no memory for them. A mapped engine's are never read.
  const MemoryLoadOptions memory{.include_mtp = false, .available_bytes = available_bytes()};
  if (kind == ModelFolderKind::kEngine) {
    return load_engine(options.model, team,
                       {.verify_checksums = options.verify_checksums, .memory = memory});
  }
  return LoadedWeights(load_checkpoint_to_blobs(options.model, std::nullopt, team, memory));
}

LoadedModel load_dummy(const LlmOptions& options, ThreadTeam& team, bool on_gpu) {
  if (!options.config) fail_argument("load_format dummy: a configuration (a preset) is wanted");
  DType dtype = DType::kBF16;
  if (options.dtype != "auto") parse_dtype(options.dtype, dtype);
  Glm4MoeConfig config = *options.config;
  config.num_nextn_predict_layers = 0;  // MTP layers are not run: no memory for them
  LoadedModel model;
  model.config = config;
  if (!on_gpu) {
    model.weights = std::make_shared<const LoadedWeights>(
        dummy_weights(config, dtype, 1, team, available_bytes()));
  }
  model.dtype = dtype;
  model.source_kind = "dummy weights";
  return model;
}

}  // namespace

LoadedModel load_model(const LlmOptions& options, ThreadTeam& team, bool on_gpu) {
  const SteadyClock clock;
  const double start_ms = clock.now_ms();
  LoadedModel model;
  if (options.load_format == "dummy") {
    model = load_dummy(options, team, on_gpu);
  } else {
    if (options.model.empty()) fail_argument("model: a folder is wanted");
    const ModelFolderKind kind = detect_model_folder(options.model);
    model.weights = std::make_shared<const LoadedWeights>(load_weights(options, kind, team));
    model.config = model.weights->config();
    model.dtype = model.weights->dtype();
    model.folder = options.model;
    model.source_kind = model_folder_kind_name(kind);
    const GenerationConfig generation = read_generation_config(options.model);
    model.sampling_defaults = sampling_defaults(generation);
    // As the peers do: the generation file's end tokens are the ones that count.
    if (!generation.eos_token_ids.empty()) model.config.eos_token_ids = generation.eos_token_ids;
  }
  model.load_ms = clock.now_ms() - start_ms;
  return model;
}

}  // namespace glmoe
