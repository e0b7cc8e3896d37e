#include "ops/ref/rope_ref.h"

#include <cmath>

#include "ops/ref/attention_ref.h"
#include "ops/ref/norm_ref.h"

namespace glmoe::ref {

void rotate_head(float* head, int64_t rotary_dim, double theta, int64_t position) {
  const int64_t half = rotary_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double inv_freq =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim));
    const double angle = static_cast<double>(position) * inv_freq;
    const double c = std::cos(angle), s = std::sin(angle);
    const double a = head[i], b = head[i + half];
    head[i] = static_cast<float>(a * c - b * s);
    head[i + half] = static_cast<float>(b * c + a * s);
  }
}

void rope_and_write_kv(const TensorView& qkv, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, int64_t rotary_dim,
                       double theta, std::span<const float> q_norm, std::span<const float> k_norm,
                       float eps, const KvLayerView& kv) {
  const int64_t dim = shape.head_dim;
  for (const AttentionSequence& sequence : sequences) {
    for (int64_t r = 0; r < sequence.num_rows; ++r) {
      const int64_t position = sequence.start_position + r;
      float* row = qkv.as<float>() + (sequence.row_begin + r) * qkv.shape[1];
      for (int64_t h = 0; h < shape.num_heads + shape.num_kv_heads; ++h) {
        const std::span<const float> gamma = h < shape.num_heads ? q_norm : k_norm;
        float* head = row + h * dim;
        if (!gamma.empty()) rms_norm_row(head, gamma.data(), dim, eps, head);
        rotate_head(head, rotary_dim, theta, position);
      }
      for (int64_t h = 0; h < shape.num_kv_heads; ++h) {
        const float* key = row + (shape.num_heads + h) * dim;
        const float* value = key + shape.num_kv_heads * dim;
        for (const bool is_value : {false, true}) {
          const int64_t at = kv_offset(shape, sequence, position, h, is_value);
          convert_elements(
              is_value ? value : key, DType::kF32,
              kv.blocks.as<std::byte>() + static_cast<size_t>(at) * dtype_size(kv.blocks.dtype),
              kv.blocks.dtype, static_cast<size_t>(dim));
        }
      }
    }
  }
}

}  // namespace glmoe::ref
