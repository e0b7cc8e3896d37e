// A small model with random weights as a TensorSource, and comparisons of what came of it.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "artifact/blob_set.h"
#include "artifact/tensor_source.h"
#include "base/rng.h"

namespace glmoe::testing {

// Odd sizes: vocabulary, widths and experts that do not divide, fewer KV heads than ranks.
inline Glm4MoeConfig small_config() {
  Glm4MoeConfig config;
  config.vocab_size = 37;
  config.hidden_size = 16;
  config.intermediate_size = 22;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.max_position_embeddings = 64;
  config.attention_bias = true;
  config.use_qk_norm = true;
  config.first_k_dense_replace = 1;
  config.moe.num_experts = 8;
  config.moe.top_k = 2;
  config.moe.moe_intermediate_size = 6;
  config.moe.num_shared_experts = 1;
  config.moe.normalization_mode = ExpertScaleNormalizationMode::kSigmoidBiasRenorm;
  config.num_nextn_predict_layers = 1;
  return config;
}

inline SourcePiece whole_piece(const TensorView& view, int64_t matrix) {
  const int64_t rows = matrix_rows(view.shape), cols = matrix_cols(view.shape);
  const auto size = static_cast<int64_t>(dtype_size(view.dtype));
  return {view.as<std::byte>() + matrix * rows * cols * size,
          view.dtype,
          cols,
          matrix,
          0,
          rows,
          0,
          cols,
          nullptr};
}

// Values within (-1, 1), exact in bfloat16, so that every type holds them alike.
inline TensorSource synthetic_source(const Glm4MoeConfig& config, DType dtype, uint64_t seed = 1) {
  TensorSource source;
  source.plan = make_weight_plan(config, config.num_nextn_predict_layers > 0);
  source.dtype = dtype;
  source.mapping = Mapping{}.resolved();
  source.folder = "/nonexistent";
  source.kind = "synthetic";
  source.fingerprint = "synthetic-" + std::to_string(seed);
  auto owner = std::make_shared<std::vector<std::vector<std::byte>>>();
  for (size_t t = 0; t < source.plan.tensors.size(); ++t) {
    const LogicalTensor& tensor = source.plan.tensors[t];
    const DType stored = stored_dtype(tensor, dtype);
    const int64_t count = tensor.shape.num_elements();
    auto& bytes = owner->emplace_back(static_cast<size_t>(count) * dtype_size(stored));
    for (int64_t i = 0; i < count; ++i) {
      const double value = random_uniform(seed, t, static_cast<uint64_t>(i)) * 2 - 1;
      const float exact = bf16_to_f32(f32_to_bf16(static_cast<float>(value)));
      convert_elements(&exact, DType::kF32,
                       bytes.data() + static_cast<size_t>(i) * dtype_size(stored), stored, 1);
    }
    auto& pieces = source.pieces.emplace_back();
    const TensorView view{bytes.data(), stored, tensor.shape};
    const int64_t matrices = tensor.shape.rank() == 3 ? tensor.shape[0] : 1;
    for (int64_t m = 0; m < matrices; ++m) pieces.push_back(whole_piece(view, m));
  }
  source.owner = owner;
  return source;
}

// Empty where both hold the same tensors bit by bit; else what differs first.
inline std::string first_difference(const std::map<std::string, TensorView>& a,
                                    const std::map<std::string, TensorView>& b) {
  for (const auto& [name, view] : a) {
    const auto it = b.find(name);
    if (it == b.end()) return name + " only on the left";
    if (view.dtype != it->second.dtype) return name + ": types differ";
    if (!(view.shape == it->second.shape)) return name + ": shapes differ";
    if (std::memcmp(view.data, it->second.data, view.num_bytes()) != 0) return name + ": values";
  }
  for (const auto& [name, view] : b) {
    if (a.count(name) == 0) return name + " only on the right";
  }
  return {};
}

// "" when `body` does not throw.
template <class F>
std::string error_of(F&& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace glmoe::testing
