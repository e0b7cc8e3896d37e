#include "spec/quant_json.h"

#include "base/error.h"

namespace glmoe {
namespace {

std::vector<std::string> strings_or_empty(const JsonReader& reader, std::string_view key) {
  std::vector<std::string> list;
  if (!reader.has(key)) return list;
  const Json& value = reader.raw(key);
  const auto wrong = [&] {
    fail(ErrorCode::kCorrupt, "{}: field '{}': a list of strings was wanted", reader.what(), key);
  };
  if (!value.is_array()) wrong();
  for (const Json& entry : value) {
    if (!entry.is_string()) wrong();
    list.push_back(entry.get<std::string>());
  }
  return list;
}

QuantAlgo algo_or(const JsonReader& reader, std::string_view key, QuantAlgo fallback) {
  if (!reader.has(key)) return fallback;
  const std::string name = reader.string(key);
  try {
    return quant_algo_from_name(name);
  } catch (const Error& error) {
    fail(ErrorCode::kUnsupported, "{}: field '{}': {}", reader.what(), key, error.what());
  }
}

[[noreturn]] void fail_scheme(const JsonReader& reader, std::string_view found) {
  fail(ErrorCode::kUnsupported, "{}: {} is not a quantisation that is known here", reader.what(),
       found);
}

void read_bits(const JsonReader& reader, QuantConfig& config, QuantAlgo four_bit) {
  const int64_t bits = reader.integer_or("bits", 4);
  if (bits != 4 && bits != 8) fail_scheme(reader, fmt::format("bits {}", bits));
  config.quant_algo = bits == 4 ? four_bit : QuantAlgo::kW8A16;
  config.group_size = reader.integer_or("group_size", 128);
}

// config_groups holds one or more groups; all Linear modules of published GLM files share one.
void read_compressed_tensors(const JsonReader& reader, QuantConfig& config) {
  const JsonReader groups = reader.object("config_groups");
  if (groups.json().empty()) fail_scheme(reader, "an empty config_groups");
  const JsonReader group = groups.object(groups.json().items().begin().key());
  const JsonReader weights = group.object("weights");
  const int64_t bits = weights.integer_or("num_bits", 8);
  const bool is_float = weights.string_or("type", "int") == "float";
  const std::string strategy = weights.string_or("strategy", "tensor");
  const bool activations = group.has("input_activations");
  if (weights.has("group_size")) config.group_size = weights.integer("group_size");
  if (is_float && bits == 8) {
    config.quant_algo = strategy == "block"     ? QuantAlgo::kFp8BlockScales
                        : strategy == "channel" ? QuantAlgo::kFp8PerChannelPerToken
                                                : QuantAlgo::kFp8;
  } else if (is_float && bits == 4) {
    config.quant_algo = QuantAlgo::kNvfp4;
  } else if (!is_float && bits == 8) {
    config.quant_algo = activations ? QuantAlgo::kInt8 : QuantAlgo::kW8A16;
  } else if (!is_float && bits == 4 && !activations) {
    config.quant_algo = QuantAlgo::kW4A16;
    config.has_zero_point = !weights.boolean_or("symmetric", true);
  } else {
    fail_scheme(reader, fmt::format("{} {}-bit weights", is_float ? "float" : "int", bits));
  }
  config.exclude_modules = strings_or_empty(reader, "ignore");
}

}  // namespace

QuantConfig quantization_from_json(const JsonReader& reader) {
  QuantConfig config;
  config.quant_algo = algo_or(reader, "quant_algo", QuantAlgo::kNone);
  config.kv_cache_quant_algo = algo_or(reader, "kv_cache_quant_algo", QuantAlgo::kNone);
  config.group_size = reader.integer_or("group_size", 128);
  config.has_zero_point = reader.boolean_or("has_zero_point", false);
  config.pre_quant_scale = reader.boolean_or("pre_quant_scale", false);
  config.exclude_modules = strings_or_empty(reader, "exclude_modules");
  return config;
}

Json quantization_to_json(const QuantConfig& config) {
  return {{"quant_algo", quant_algo_name(config.quant_algo)},
          {"kv_cache_quant_algo", quant_algo_name(config.kv_cache_quant_algo)},
          {"group_size", config.group_size},
          {"has_zero_point", config.has_zero_point},
          {"pre_quant_scale", config.pre_quant_scale},
          {"exclude_modules", config.exclude_modules}};
}

QuantConfig quantization_from_published(const JsonReader& reader) {
  QuantConfig config;
  const std::string method = reader.string_or("quant_method", "");
  if (method == "fp8") {
    config.quant_algo =
        reader.has("weight_block_size") ? QuantAlgo::kFp8BlockScales : QuantAlgo::kFp8;
    config.exclude_modules = strings_or_empty(reader, "modules_to_not_convert");
  } else if (method == "compressed-tensors") {
    read_compressed_tensors(reader, config);
  } else if (method.starts_with("modelopt")) {
    config = quantization_from_json(reader);
    if (config.quant_algo == QuantAlgo::kNone) fail_scheme(reader, "modelopt without quant_algo");
    if (reader.has("ignore")) config.exclude_modules = strings_or_empty(reader, "ignore");
  } else if (method == "awq") {
    read_bits(reader, config, QuantAlgo::kW4A16Awq);
    config.has_zero_point =
        config.quant_algo == QuantAlgo::kW4A16Awq && reader.boolean_or("zero_point", true);
    config.exclude_modules = strings_or_empty(reader, "modules_to_not_convert");
  } else if (method == "gptq") {
    read_bits(reader, config, QuantAlgo::kW4A16Gptq);
  } else {
    fail_scheme(reader, fmt::format("quant_method '{}' (fp8, compressed-tensors, modelopt, awq "
                                    "and gptq are)",
                                    method));
  }
  // -1 is "one scale a channel" in awq and gptq files.
  if (config.group_size == -1) config.group_size = 128;
  return config;
}

}  // namespace glmoe
