// How weights and activations are quantised: the names that TensorRT-LLM users know.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

// The algorithm as configuration files spell it ("FP8", "NVFP4", ...); kNone is "NO_QUANT".
enum class QuantAlgo {
  kNone,
  kFp8,                    // E4M3, one scale a tensor, static activation scale
  kFp8PerChannelPerToken,  // E4M3, a scale an output channel, dynamic scale a token
  kFp8BlockScales,         // E4M3, 128x128 weight blocks, 1x128 activation groups
  kInt8,                   // W8A8: INT8 per channel, dynamic per token
  kW8A16,                  // INT8 weights only, per channel
  kW4A16,                  // INT4 weights only, per group, symmetric
  kW4A16Awq,               // INT4 weights only, per group, with zero points
  kW4A16Gptq,              // INT4 weights only, GPTQ packing
  kNvfp4,                  // E2M1 with an E4M3 scale each 16 and one global scale
};

std::string_view quant_algo_name(QuantAlgo algo);

// Throws kInvalidArgument with the list of accepted names.
QuantAlgo quant_algo_from_name(std::string_view name);

// Properties of a quantisation as a set of flags, with TensorRT-LLM's names and queries.
class QuantMode {
 public:
  enum Flag : uint32_t {
    kInt4Weights = 1u << 0,
    kInt8Weights = 1u << 1,
    kActivations = 1u << 2,
    kPerChannel = 1u << 3,
    kPerToken = 1u << 4,
    kPerGroup = 1u << 5,
    kInt8KvCache = 1u << 6,
    kFp8KvCache = 1u << 7,
    kFp8Qdq = 1u << 8,
    kFp8Rowwise = 1u << 9,
    kFp8BlockScales = 1u << 10,
    kNvfp4 = 1u << 11,
    kNvfp4KvCache = 1u << 12,
  };

  constexpr QuantMode() = default;
  constexpr explicit QuantMode(uint32_t flags) : flags_(flags) {}

  // Throws kInvalidArgument on contradictions (INT4 and INT8 weights together; per-token or
  // per-channel without quantised activations and weights; per-group with 8-bit activations).
  static QuantMode from_description(bool quantize_weights, bool quantize_activations,
                                    bool per_token, bool per_channel, bool per_group,
                                    bool use_int4_weights, bool use_int8_kv_cache,
                                    bool use_fp8_kv_cache);
  static QuantMode from_quant_algo(QuantAlgo algo, QuantAlgo kv_cache_algo = QuantAlgo::kNone);
  static QuantMode use_weight_only(bool use_int4_weights = false, bool per_group = false);
  static QuantMode use_smooth_quant(bool per_token = false, bool per_channel = false);

  uint32_t flags() const { return flags_; }
  bool has(Flag flag) const { return (flags_ & flag) != 0; }
  bool is_weight_only() const;
  bool is_int8_weight_only() const;
  bool is_int4_weight_only() const;
  bool has_act_and_weight_quant() const;
  bool has_per_group_scaling() const { return has(kPerGroup); }
  bool has_fp8_qdq() const { return has(kFp8Qdq); }
  bool has_fp8_rowwise() const { return has(kFp8Rowwise); }
  bool has_fp8_block_scales() const { return has(kFp8BlockScales); }
  bool has_nvfp4() const { return has(kNvfp4); }
  bool has_int8_kv_cache() const { return has(kInt8KvCache); }
  bool has_fp8_kv_cache() const { return has(kFp8KvCache); }
  bool has_any_quant() const { return flags_ != 0; }
  bool operator==(const QuantMode&) const = default;

 private:
  uint32_t flags_ = 0;
};

// What config.json's "quantization" object holds.
struct QuantConfig {
  QuantAlgo quant_algo = QuantAlgo::kNone;
  QuantAlgo kv_cache_quant_algo = QuantAlgo::kNone;
  int64_t group_size = 128;  // weights a scale, along the input dimension
  bool has_zero_point = false;
  bool pre_quant_scale = false;
  std::vector<std::string> exclude_modules;  // names; '*' matches any run of characters

  QuantMode quant_mode() const;
  // Throws kInvalidArgument naming the field.
  void validate() const;
  bool operator==(const QuantConfig&) const = default;
};

}  // namespace glmoe
