// Names, flags and contradictions of quantisation settings. No arithmetic on weights here.
#include "glmoe/quantization.h"

#include "base/check.h"
#include "base/error.h"

namespace glmoe {
namespace {

struct AlgoName {
  QuantAlgo algo;
  std::string_view name;
};
constexpr AlgoName kAlgoNames[] = {
    {QuantAlgo::kNone, "NO_QUANT"},
    {QuantAlgo::kFp8, "FP8"},
    {QuantAlgo::kFp8PerChannelPerToken, "FP8_PER_CHANNEL_PER_TOKEN"},
    {QuantAlgo::kFp8BlockScales, "FP8_BLOCK_SCALES"},
    {QuantAlgo::kInt8, "INT8"},
    {QuantAlgo::kW8A16, "W8A16"},
    {QuantAlgo::kW4A16, "W4A16"},
    {QuantAlgo::kW4A16Awq, "W4A16_AWQ"},
    {QuantAlgo::kW4A16Gptq, "W4A16_GPTQ"},
    {QuantAlgo::kNvfp4, "NVFP4"},
};

uint32_t weight_flags(QuantAlgo algo) {
  using M = QuantMode;
  switch (algo) {
    case QuantAlgo::kNone: return 0;
    case QuantAlgo::kFp8: return M::kFp8Qdq;
    case QuantAlgo::kFp8PerChannelPerToken: return M::kFp8Rowwise | M::kPerChannel | M::kPerToken;
    case QuantAlgo::kFp8BlockScales: return M::kFp8BlockScales;
    case QuantAlgo::kInt8: return M::kInt8Weights | M::kActivations | M::kPerChannel | M::kPerToken;
    case QuantAlgo::kW8A16: return M::kInt8Weights;
    case QuantAlgo::kW4A16: return M::kInt4Weights | M::kPerGroup;
    case QuantAlgo::kW4A16Awq: return M::kInt4Weights | M::kPerGroup;
    case QuantAlgo::kW4A16Gptq: return M::kInt4Weights | M::kPerGroup;
    case QuantAlgo::kNvfp4: return M::kNvfp4;
  }
  GLMOE_CHECK(false, "QuantAlgo {}", static_cast<int>(algo));
  return 0;
}

bool is_kv_algo(QuantAlgo algo) {
  return algo == QuantAlgo::kNone || algo == QuantAlgo::kFp8 || algo == QuantAlgo::kInt8 ||
         algo == QuantAlgo::kNvfp4;
}

}  // namespace

std::string_view quant_algo_name(QuantAlgo algo) {
  for (const AlgoName& entry : kAlgoNames) {
    if (entry.algo == algo) return entry.name;
  }
  GLMOE_CHECK(false, "QuantAlgo {}", static_cast<int>(algo));
  return {};
}

QuantAlgo quant_algo_from_name(std::string_view name) {
  std::string known;
  for (const AlgoName& entry : kAlgoNames) {
    if (entry.name == name) return entry.algo;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  fail_argument("quant_algo '{}' is not known: use one of {}", name, known);
}

QuantMode QuantMode::from_description(bool quantize_weights, bool quantize_activations,
                                      bool per_token, bool per_channel, bool per_group,
                                      bool use_int4_weights, bool use_int8_kv_cache,
                                      bool use_fp8_kv_cache) {
  if (quantize_activations && !quantize_weights) {
    fail_argument("quantize_activations needs quantize_weights");
  }
  if ((per_token || per_channel) && !(quantize_weights && quantize_activations)) {
    fail_argument("{} needs quantised weights and activations",
                  per_token ? "per_token" : "per_channel");
  }
  if (per_group && (!quantize_weights || quantize_activations)) {
    fail_argument("per_group is for quantised weights without quantised activations");
  }
  if (use_int4_weights && (!quantize_weights || quantize_activations)) {
    fail_argument("use_int4_weights needs quantize_weights, without quantize_activations");
  }
  if (use_int8_kv_cache && use_fp8_kv_cache) {
    fail_argument("use_int8_kv_cache and use_fp8_kv_cache contradict each other: choose one");
  }
  uint32_t flags = 0;
  if (quantize_weights) flags |= use_int4_weights ? kInt4Weights : kInt8Weights;
  if (quantize_activations) flags |= kActivations;
  if (per_token) flags |= kPerToken;
  if (per_channel) flags |= kPerChannel;
  if (per_group) flags |= kPerGroup;
  if (use_int8_kv_cache) flags |= kInt8KvCache;
  if (use_fp8_kv_cache) flags |= kFp8KvCache;
  return QuantMode(flags);
}

QuantMode QuantMode::from_quant_algo(QuantAlgo algo, QuantAlgo kv_cache_algo) {
  if (!is_kv_algo(kv_cache_algo)) {
    fail_argument("kv_cache_quant_algo {} is not for a KV cache: use NO_QUANT, FP8, INT8 or NVFP4",
                  quant_algo_name(kv_cache_algo));
  }
  uint32_t flags = weight_flags(algo);
  if (kv_cache_algo == QuantAlgo::kFp8) flags |= kFp8KvCache;
  if (kv_cache_algo == QuantAlgo::kInt8) flags |= kInt8KvCache;
  if (kv_cache_algo == QuantAlgo::kNvfp4) flags |= kNvfp4KvCache;
  return QuantMode(flags);
}

QuantMode QuantMode::use_weight_only(bool use_int4_weights, bool per_group) {
  return from_description(true, false, false, false, per_group, use_int4_weights, false, false);
}

QuantMode QuantMode::use_smooth_quant(bool per_token, bool per_channel) {
  return from_description(true, true, per_token, per_channel, false, false, false, false);
}

bool QuantMode::is_weight_only() const { return is_int8_weight_only() || is_int4_weight_only(); }
bool QuantMode::is_int8_weight_only() const { return has(kInt8Weights) && !has(kActivations); }
bool QuantMode::is_int4_weight_only() const { return has(kInt4Weights) && !has(kActivations); }
bool QuantMode::has_act_and_weight_quant() const { return has(kInt8Weights) && has(kActivations); }

QuantMode QuantConfig::quant_mode() const {
  return QuantMode::from_quant_algo(quant_algo, kv_cache_quant_algo);
}

void QuantConfig::validate() const {
  quant_mode();
  if (group_size < 1 || group_size > 65536) {
    fail_argument("quantization.group_size is {}, wanted 1 to 65536", group_size);
  }
  if (has_zero_point && !quant_mode().is_int4_weight_only()) {
    fail_argument("quantization.has_zero_point is for W4A16 formats, found quant_algo {}",
                  quant_algo_name(quant_algo));
  }
}

}  // namespace glmoe
