// Rules of the architecture and of its division among ranks; reading and writing is in
// config_json.cc. Upper limits are generous and exist so that no product of sizes can overflow.
#include "glmoe/config.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "spec/config_json.h"
#include "tensor/dtype.h"

namespace glmoe {
namespace {

struct ModeName {
  ExpertScaleNormalizationMode mode;
  std::string_view name;
};
constexpr ModeName kModeNames[] = {
    {ExpertScaleNormalizationMode::kNone, "NONE"},
    {ExpertScaleNormalizationMode::kRenormalize, "RENORMALIZE"},
    {ExpertScaleNormalizationMode::kSparseMixer, "SPARSE_MIXER"},
    {ExpertScaleNormalizationMode::kDeviceLimited, "DEVICE_LIMITED"},
    {ExpertScaleNormalizationMode::kDeviceLimitedRenorm, "DEVICE_LIMITED_RENORM"},
    {ExpertScaleNormalizationMode::kSigmoidBiasRenorm, "SIGMOID_BIAS_RENORM"},
};

void check_range(std::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    fail_argument("{} is {}, wanted {} to {}", field, value, low, high);
  }
}

// Also refuses NaN, for which every comparison is false.
void check_real(std::string_view field, double value, double low, double high) {
  if (!(value > low && value <= high)) {
    fail_argument("{} is {}, wanted above {} and at most {}", field, value, low, high);
  }
}

constexpr int64_t kMaxWidth = int64_t{1} << 20;  // hidden, intermediate and expert widths
constexpr int64_t kMaxVocab = int64_t{1} << 24;  // token ids are exact in float and fit int32
constexpr int64_t kMaxLayers = int64_t{1} << 12;
constexpr int64_t kMaxHeads = int64_t{1} << 14;
constexpr int64_t kMaxHeadDim = int64_t{1} << 12;
constexpr int64_t kMaxExperts = int64_t{1} << 16;
constexpr int64_t kMaxTokens = int64_t{1} << 30;
constexpr int64_t kMaxMtpLayers = 16;

std::string divisors(int64_t number) {
  std::string list;
  for (int64_t d = 1; d <= number; ++d) {
    if (number % d == 0) list += (list.empty() ? "" : ", ") + std::to_string(d);
  }
  return list;
}

// Each size may be in range and their product still absurd. In double, which cannot overflow here;
// 2^56 parameters leave room for bytes and sums in 64 bits.
void check_total_size(const Glm4MoeConfig& config) {
  const auto real = [](int64_t value) { return static_cast<double>(value); };
  const double hidden = real(config.hidden_size);
  const double experts = real(config.moe.num_experts + config.moe.num_shared_experts);
  const double widest = std::max(real(config.intermediate_size),
                                 experts * real(config.moe.moe_intermediate_size) + experts);
  const double heads = real(2 * (config.q_size() + config.kv_size()));
  const double layers = real(config.num_hidden_layers + config.num_nextn_predict_layers);
  const double total =
      layers * hidden * (heads + 3.0 * widest + 8.0) + 4.0 * real(config.vocab_size) * hidden;
  if (total > 0x1p56) {
    fail_argument(
        "the sizes make a model of about {:.1e} parameters, which cannot be: check "
        "hidden_size {}, num_hidden_layers {}, num_experts {}, moe_intermediate_size {}",
        total, config.hidden_size, config.num_hidden_layers, config.moe.num_experts,
        config.moe.moe_intermediate_size);
  }
  // Every expert of every layer has names in the weight plan: a small file must not make it fill
  // the memory. The largest published model has 15 thousand.
  constexpr int64_t kMaxTotalExperts = int64_t{1} << 18;
  const int64_t num_layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  if (num_layers * config.moe.num_experts > kMaxTotalExperts) {
    fail_argument(
        "num_hidden_layers {} (and {} MTP layers) with num_experts {}: at most {} experts "
        "in all are supported",
        config.num_hidden_layers, config.num_nextn_predict_layers, config.moe.num_experts,
        kMaxTotalExperts);
  }
}

void check_head_split(const Glm4MoeConfig& config, int64_t tp) {
  if (config.num_attention_heads % tp != 0) {
    fail_argument(
        "num_attention_heads {} is not divisible by tensor_parallel_size {}: use a "
        "divisor ({})",
        config.num_attention_heads, tp, divisors(config.num_attention_heads));
  }
  const int64_t kv = config.num_key_value_heads;
  if (tp <= kv && kv % tp != 0) {
    fail_argument(
        "num_key_value_heads {} is not divisible by tensor_parallel_size {}: use a "
        "divisor ({}) or a multiple of {}",
        kv, tp, divisors(kv), kv);
  }
  if (tp > kv && tp % kv != 0) {
    fail_argument(
        "tensor_parallel_size {} is above num_key_value_heads {} and not a multiple of "
        "it, so the KV heads cannot be replicated evenly: use a multiple of {}",
        tp, kv, kv);
  }
}

}  // namespace

std::string_view normalization_mode_name(ExpertScaleNormalizationMode mode) {
  for (const ModeName& entry : kModeNames) {
    if (entry.mode == mode) return entry.name;
  }
  GLMOE_CHECK(false, "normalization mode {}", static_cast<int>(mode));
  return {};
}

ExpertScaleNormalizationMode normalization_mode_from_name(std::string_view name) {
  std::string known;
  for (const ModeName& entry : kModeNames) {
    if (entry.name == name) return entry.mode;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  fail_argument("normalization_mode '{}' is not known: use one of {}", name, known);
}

void MoeConfig::validate() const {
  check_range("num_experts", num_experts, 0, kMaxExperts);
  check_range("top_k", top_k, 0, kMaxExperts);
  if ((num_experts == 0) != (top_k == 0)) {
    fail_argument("num_experts is {} and top_k is {}: both must be zero or both above zero",
                  num_experts, top_k);
  }
  if (top_k > num_experts) {
    fail_argument("top_k {} is above num_experts {}", top_k, num_experts);
  }
  check_range("n_group", n_group, 1, kMaxExperts);
  check_range("topk_group", topk_group, 1, n_group);
  check_range("num_shared_experts", num_shared_experts, 0, 1024);
  check_range("moe_intermediate_size", moe_intermediate_size, has_moe() ? 1 : 0, kMaxWidth);
  check_real("sparse_mixer_epsilon", sparse_mixer_epsilon, 0.0, 1.0);
  check_real("routed_scaling_factor", routed_scaling_factor, 0.0, 1e6);
  if (num_experts == 0) return;
  if (num_experts % n_group != 0) {
    fail_argument("num_experts {} is not divisible by n_group {}: use one of {}", num_experts,
                  n_group, divisors(num_experts));
  }
  const int64_t choosable = num_experts / n_group * topk_group;
  if (top_k > choosable) {
    fail_argument("top_k {} is above the {} experts of topk_group {} of n_group {} groups", top_k,
                  choosable, topk_group, n_group);
  }
  if (normalization_mode == ExpertScaleNormalizationMode::kSparseMixer && top_k != 2) {
    fail_argument("normalization_mode SPARSE_MIXER wants top_k 2, found {}", top_k);
  }
  if (normalization_mode == ExpertScaleNormalizationMode::kSigmoidBiasRenorm && n_group > 1 &&
      num_experts / n_group < 2) {
    fail_argument(
        "n_group {} leaves one expert a group of num_experts {}: SIGMOID_BIAS_RENORM "
        "adds up the two best of each",
        n_group, num_experts);
  }
}

bool Glm4MoeConfig::is_moe_layer(int64_t layer) const {
  return moe.has_moe() && layer >= first_k_dense_replace &&
         (layer + 1) % interleave_moe_layer_step == 0;
}

int64_t Glm4MoeConfig::num_moe_layers() const {
  int64_t count = 0;
  for (int64_t layer = 0; layer < num_hidden_layers; ++layer) count += is_moe_layer(layer) ? 1 : 0;
  return count;
}

void Glm4MoeConfig::validate() const {
  DType parsed;
  if (!parse_dtype(dtype, parsed) ||
      (parsed != DType::kF32 && parsed != DType::kBF16 && parsed != DType::kF16)) {
    fail_argument("dtype is '{}', wanted float32, bfloat16 or float16", dtype);
  }
  check_range("vocab_size", vocab_size, 1, kMaxVocab);
  check_range("hidden_size", hidden_size, 1, kMaxWidth);
  check_range("intermediate_size", intermediate_size, 1, kMaxWidth);
  check_range("num_hidden_layers", num_hidden_layers, 1, kMaxLayers);
  check_range("num_attention_heads", num_attention_heads, 1, kMaxHeads);
  check_range("num_key_value_heads", num_key_value_heads, 1, num_attention_heads);
  check_range("head_dim", head_dim, 2, kMaxHeadDim);
  check_range("max_position_embeddings", max_position_embeddings, 1, kMaxTokens);
  check_range("num_nextn_predict_layers", num_nextn_predict_layers, 0, kMaxMtpLayers);
  check_range("first_k_dense_replace", first_k_dense_replace, 0, kMaxLayers);
  check_range("interleave_moe_layer_step", interleave_moe_layer_step, 1, kMaxLayers);
  if (num_attention_heads % num_key_value_heads != 0) {
    fail_argument("num_attention_heads {} is not divisible by num_key_value_heads {}",
                  num_attention_heads, num_key_value_heads);
  }
  check_real("partial_rotary_factor", partial_rotary_factor, 0.0, 1.0);
  if (rotary_dim() < 2 || rotary_dim() % 2 != 0) {
    fail_argument(
        "head_dim {} * partial_rotary_factor {} gives {} rotary dimensions, wanted an "
        "even number of at least 2",
        head_dim, partial_rotary_factor, rotary_dim());
  }
  check_real("rope_theta", rope_theta, 0.0, 1e15);
  check_real("rms_norm_eps", rms_norm_eps, 0.0, 1.0);
  for (const int32_t id : eos_token_ids) check_range("eos_token_id", id, 0, vocab_size - 1);
  check_range("pad_token_id", pad_token_id, -1, vocab_size - 1);
  moe.validate();
  quantization.validate();
  check_total_size(*this);
}

void Glm4MoeConfig::validate_mapping(const Mapping& mapping) const {
  // Before the mapping's own rules: which sizes would do depends on the experts.
  if (moe.has_moe() && mapping.ep_size > 0 && moe.num_experts % mapping.ep_size != 0) {
    fail_argument("num_experts {} is not divisible by expert_parallel_size {}: use one of {}",
                  moe.num_experts, mapping.ep_size, divisors(moe.num_experts));
  }
  const Mapping resolved = mapping.resolved();
  check_head_split(*this, resolved.tp_size);
  if (resolved.pp_size > num_hidden_layers) {
    fail_argument("pipeline_parallel_size {} is above num_hidden_layers {}: use at most {}",
                  resolved.pp_size, num_hidden_layers, num_hidden_layers);
  }
}

Glm4MoeConfig Glm4MoeConfig::from_file(const std::string& path) {
  // A published configuration is a few kilobytes; quantised ones list modules, up to a megabyte.
  JsonLimits limits;
  limits.max_bytes = size_t{16} << 20;
  return config_from_json(read_json_file(path, limits), path);
}

}  // namespace glmoe
