#include "convert/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "artifact/manifest.h"
#include "artifact/model_json.h"
#include "convert/load_checkpoint.h"
#include "spec/config_json.h"

namespace glmoe {
namespace {

constexpr const char* kParts[] = {"embedding",      "attention", "dense mlp", "router", "experts",
                                  "shared experts", "norms",     "lm head",   "mtp"};

std::string part_of(const LogicalTensor& tensor, const Glm4MoeConfig& config) {
  const std::string& name = tensor.name;
  const auto has = [&](std::string_view text) { return name.find(text) != std::string::npos; };
  if (tensor.layer >= config.num_hidden_layers) return "mtp";
  if (has("vocab_embedding")) return "embedding";
  if (has("lm_head")) return "lm head";
  if (has("norm") || has("ln_f")) return "norms";
  if (has("attention.")) return "attention";
  if (has("router.")) return "router";
  if (has("shared_experts.")) return "shared experts";
  if (has("experts.")) return "experts";
  return "dense mlp";
}

// Of a tensor's parameters those that one token meets: the chosen experts, one row of embedding.
int64_t active_parameters(const LogicalTensor& tensor, const std::string& part,
                          const Glm4MoeConfig& config) {
  const int64_t all = tensor.shape.num_elements();
  if (part == "mtp") return 0;
  if (part == "experts") return all / config.moe.num_experts * config.moe.top_k;
  if (part == "embedding" && !config.tie_word_embeddings) return config.hidden_size;
  return all;
}

std::string readable_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < std::size(kUnits)) {
    value /= 1024.0;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 2, kUnits[unit]);
}

std::string readable_count(int64_t count) {
  if (count >= 1000000000) return fmt::format("{:.2f} B", static_cast<double>(count) * 1e-9);
  if (count >= 1000000) return fmt::format("{:.2f} M", static_cast<double>(count) * 1e-6);
  return fmt::format("{}", count);
}

}  // namespace

FolderSummary inspect_folder(const std::string& path) {
  FolderSummary summary;
  summary.path = path;
  summary.kind = detect_model_folder(path);
  const TensorSource source = open_checkpoint(path);
  summary.config = source.plan.config;
  summary.dtype = source.dtype;
  summary.mapping = source.mapping;
  summary.fingerprint = source.fingerprint;
  if (summary.kind == ModelFolderKind::kEngine) {
    const EngineManifest manifest = read_manifest(path);
    summary.engine_format = manifest.format_version;
    summary.builder = manifest.builder;
  }
  std::map<std::string, PartSummary> parts;
  for (const LogicalTensor& tensor : source.plan.tensors) {
    const std::string name = part_of(tensor, source.plan.config);
    PartSummary& part = parts[name];
    const int64_t count = tensor.shape.num_elements();
    const uint64_t bytes =
        static_cast<uint64_t>(count) * dtype_size(stored_dtype(tensor, source.dtype));
    ++part.num_tensors;
    part.num_parameters += count;
    part.num_bytes += bytes;
    ++summary.num_tensors;
    summary.num_bytes += bytes;
    if (name != "mtp") summary.num_parameters += count;
    summary.num_active_parameters += active_parameters(tensor, name, source.plan.config);
  }
  for (const char* name : kParts) {
    if (parts.count(name) == 0) continue;
    parts[name].name = name;
    summary.parts.push_back(parts[name]);
  }
  summary.companion_files = companion_files(path);
  return summary;
}

Json summary_to_json(const FolderSummary& summary) {
  Json parts = Json::array();
  for (const PartSummary& part : summary.parts) {
    parts.push_back({{"name", part.name},
                     {"tensors", part.num_tensors},
                     {"parameters", part.num_parameters},
                     {"bytes", part.num_bytes}});
  }
  Json json = {{"path", summary.path},
               {"kind", std::string(model_folder_kind_name(summary.kind))},
               {"config", config_to_json(summary.config)},
               {"dtype", std::string(dtype_long_name(summary.dtype))},
               {"mapping", mapping_to_json(summary.mapping)},
               {"source_fingerprint", summary.fingerprint},
               {"parts", std::move(parts)},
               {"tensors", summary.num_tensors},
               {"parameters", summary.num_parameters},
               {"active_parameters", summary.num_active_parameters},
               {"bytes", summary.num_bytes},
               {"files", summary.companion_files}};
  if (summary.kind == ModelFolderKind::kEngine) {
    json["engine_format"] = summary.engine_format;
    json["builder"] = summary.builder;
  }
  return json;
}

std::string summary_to_text(const FolderSummary& summary) {
  const Glm4MoeConfig& config = summary.config;
  std::string text = fmt::format("{}: {}", summary.path, model_folder_kind_name(summary.kind));
  if (summary.kind == ModelFolderKind::kEngine) {
    text += fmt::format(", format {}, built by {}", summary.engine_format, summary.builder);
  }
  text += fmt::format(
      "\n{}: {} layers ({} MoE), hidden {}, {} query and {} KV heads of {}, {} experts, {} a "
      "token\n",
      config.architecture, config.num_hidden_layers, config.num_moe_layers(), config.hidden_size,
      config.num_attention_heads, config.num_key_value_heads, config.head_dim,
      config.moe.num_experts, config.moe.top_k);
  text += fmt::format("type {}, mapping {}\n", dtype_long_name(summary.dtype),
                      summary.mapping.to_string());
  text += fmt::format("parameters {} ({} active a token), {} in {} tensors\n",
                      readable_count(summary.num_parameters),
                      readable_count(summary.num_active_parameters),
                      readable_bytes(summary.num_bytes), summary.num_tensors);
  for (const PartSummary& part : summary.parts) {
    text +=
        fmt::format("  {:<15}{:>5} tensors {:>11} parameters {:>12}\n", part.name, part.num_tensors,
                    readable_count(part.num_parameters), readable_bytes(part.num_bytes));
  }
  if (!summary.companion_files.empty()) {
    text += "files:";
    for (const std::string& file : summary.companion_files) text += " " + file;
    text += "\n";
  }
  return text;
}

}  // namespace glmoe
