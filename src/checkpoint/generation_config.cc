// Sampling defaults of generation_config.json.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/hf_folder.h"

namespace glmoe {
namespace {

std::optional<float> real(const JsonReader& reader, std::string_view key, double low, double high) {
  if (!reader.has(key)) return std::nullopt;
  const double value = reader.number(key);
  if (!(value >= low && value <= high)) {
    fail(ErrorCode::kCorrupt, "{}: field '{}' is {}, wanted {} to {}", reader.what(), key, value,
         low, high);
  }
  return static_cast<float>(value);
}

int32_t token_id(const JsonReader& reader, const Json& value) {
  if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kCorrupt, "{}: field 'eos_token_id': a token id or a list of them was wanted",
         reader.what());
  }
  return value.get<int32_t>();
}

}  // namespace

GenerationConfig read_generation_config(const std::string& folder) {
  GenerationConfig config;
  const std::string path = folder + "/generation_config.json";
  if (!std::filesystem::exists(path)) return config;
  JsonLimits limits;
  limits.max_bytes = size_t{16} << 20;
  const Json json = read_json_file(path, limits);
  const JsonReader reader(json, path);
  if (reader.has("do_sample")) config.do_sample = reader.boolean_or("do_sample", false);
  config.temperature = real(reader, "temperature", 0.0, 100.0);
  config.top_p = real(reader, "top_p", 0.0, 1.0);
  config.min_p = real(reader, "min_p", 0.0, 1.0);
  config.repetition_penalty = real(reader, "repetition_penalty", 1e-6, 100.0);
  if (reader.has("top_k")) {
    config.top_k = reader.integer("top_k");
    if (*config.top_k < -1) {
      fail(ErrorCode::kCorrupt, "{}: field 'top_k' is {}, wanted -1 (off) or more", path,
           *config.top_k);
    }
    config.top_k = std::max<int64_t>(0, *config.top_k);  // 0 is "off" from here on
  }
  if (reader.has("eos_token_id")) {
    const Json& ids = reader.raw("eos_token_id");
    if (!ids.is_array()) {
      config.eos_token_ids = {token_id(reader, ids)};
    } else {
      for (const Json& id : ids) config.eos_token_ids.push_back(token_id(reader, id));
    }
  }
  return config;
}

}  // namespace glmoe
