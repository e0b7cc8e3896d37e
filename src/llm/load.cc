#include "llm/load.h"

#include <climits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "artifact/model_folder.h"
#include "base/clock.h"
#include "base/error.h"
#include "checkpoint/hf_folder.h"
#include "convert/load_checkpoint.h"
#include "convert/source_plan.h"
#include "device/cpu_info.h"
#include "tensor/element_kind.h"

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

// What a model's folder, if there is one, has beside configuration and weights.
void take_folder(const std::string& folder, LoadedModel& model) {
  if (folder.empty()) return;
  model.folder = folder;
  const GenerationConfig generation = read_generation_config(folder);
  model.sampling_defaults = sampling_defaults(generation);
  // As the peers do: the generation file's end tokens are the ones that count.
  if (!generation.eos_token_ids.empty()) model.config.eos_token_ids = generation.eos_token_ids;
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

// The configuration that comes without weights: given, or the folder's. `what` asks for it.
Glm4MoeConfig given_config(const LlmOptions& options, const char* what) {
  if (!options.config && options.model.empty()) {
    fail_argument("{}: a folder with config.json (model) or a configuration is wanted", what);
  }
  Glm4MoeConfig config =
      options.config ? *options.config : Glm4MoeConfig::from_file(options.model + "/config.json");
  config.validate();
  return config;
}

// The caller's tensors as a checkpoint's, and what keeps their memory.
std::shared_ptr<const HfFolder> lent_checkpoint(const LlmOptions& options, Glm4MoeConfig config) {
  auto owners = std::make_shared<std::vector<std::shared_ptr<const void>>>();
  std::vector<HostTensor> tensors;
  for (const NamedTensor& named : options.state_dict) {
    const Tensor& tensor = named.tensor;
    if (tensor.device != Tensor::kCpu) {
      fail_argument("state_dict: tensor '{}' is on GPU {}: one on the CPU was wanted", named.name,
                    tensor.device);
    }
    if (tensor.data == nullptr || tensor.shape.empty() || tensor.shape.size() > 3) {
      fail_argument("state_dict: tensor '{}': memory and 1 to 3 dimensions were wanted, found {}",
                    named.name, tensor.data == nullptr ? 0 : tensor.shape.size());
    }
    HostTensor& made = tensors.emplace_back();
    made.name = named.name;
    made.dtype = dtype_of(tensor.kind, "state_dict");
    for (const int64_t dim : tensor.shape) {
      if (dim < 1 || dim > INT32_MAX) {
        fail_argument("state_dict: tensor '{}' has a dimension of {}", named.name, dim);
      }
    }
    made.shape = Shape(std::span<const int64_t>(tensor.shape));
    made.bytes = {static_cast<const std::byte*>(tensor.data),
                  static_cast<size_t>(made.shape.num_elements()) * dtype_size(made.dtype)};
    owners->push_back(tensor.owner);
  }
  return std::make_shared<const HfFolder>("state_dict", std::move(config), std::move(tensors),
                                          std::move(owners));
}

LoadedModel load_without_weights(const LlmOptions& options) {
  LoadedModel model;
  model.config = given_config(options, "forward");
  parse_dtype(model.config.dtype, model.dtype);
  model.source_kind = options.forward_name;
  take_folder(options.model, model);
  return model;
}

LoadedModel load_state_dict(const LlmOptions& options, ThreadTeam& team) {
  const TensorSource source =
      resolve_source(lent_checkpoint(options, given_config(options, "state_dict")));
  LoadedModel model;
  model.weights = std::make_shared<const LoadedWeights>(
      load_to_memory(source, source.dtype, team,
                     {.include_mtp = false, .available_bytes = available_bytes(), .borrow = true}));
  model.config = model.weights->config();
  model.dtype = model.weights->dtype();
  const size_t borrowed = model.weights->borrowed_bytes();
  model.source_kind = fmt::format("state_dict, {} of {} MiB read in place", borrowed >> 20,
                                  model.weights->resident_bytes() >> 20);
  take_folder(options.model, model);
  return model;
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
  if (options.forward) {
    model = load_without_weights(options);
  } else if (!options.state_dict.empty()) {
    model = load_state_dict(options, team);
  } else if (options.load_format == "dummy") {
    model = load_dummy(options, team, on_gpu);
  } else {
    if (options.model.empty()) fail_argument("model: a folder is wanted");
    const ModelFolderKind kind = detect_model_folder(options.model);
    model.weights = std::make_shared<const LoadedWeights>(load_weights(options, kind, team));
    model.config = model.weights->config();
    model.dtype = model.weights->dtype();
    model.source_kind = model_folder_kind_name(kind);
    take_folder(options.model, model);
  }
  model.load_ms = clock.now_ms() - start_ms;
  return model;
}

}  // namespace glmoe
