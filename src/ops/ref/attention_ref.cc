#include "ops/ref/attention_ref.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace glmoe::ref {
namespace {

std::vector<float> read_kv(const KvLayerView& kv, int64_t offset, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  convert_elements(
      kv.blocks.as<const std::byte>() + static_cast<size_t>(offset) * dtype_size(kv.blocks.dtype),
      kv.blocks.dtype, values.data(), DType::kF32, values.size());
  return values;
}

void attend_row(const float* query, const AttentionShape& shape, const AttentionSequence& sequence,
                int64_t position, int64_t kv_head, const KvLayerView& kv, float* out) {
  const int64_t dim = shape.head_dim;
  std::vector<double> scores(static_cast<size_t>(position) + 1);
  for (int64_t p = 0; p <= position; ++p) {
    const auto key = read_kv(kv, kv_offset(shape, sequence, p, kv_head, false), dim);
    double dot = 0.0;
    for (int64_t d = 0; d < dim; ++d) {
      dot += static_cast<double>(query[d]) * key[static_cast<size_t>(d)];
    }
    scores[static_cast<size_t>(p)] = dot / std::sqrt(static_cast<double>(dim));
  }
  const double highest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> sum(static_cast<size_t>(dim), 0.0);
  double total = 0.0;
  for (int64_t p = 0; p <= position; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p)] - highest);
    total += weight;
    const auto value = read_kv(kv, kv_offset(shape, sequence, p, kv_head, true), dim);
    for (size_t d = 0; d < value.size(); ++d) sum[d] += weight * value[d];
  }
  for (int64_t d = 0; d < dim; ++d) {
    out[d] = static_cast<float>(sum[static_cast<size_t>(d)] / total);
  }
}

}  // namespace

int64_t kv_offset(const AttentionShape& shape, const AttentionSequence& sequence, int64_t position,
                  int64_t kv_head, bool is_value) {
  const int64_t page = shape.tokens_per_block;
  const int64_t block = sequence.block_table[static_cast<size_t>(position / page)];
  const int64_t plane = 2 * block + (is_value ? 1 : 0);  // each [Hkv, P, D]
  return ((plane * shape.num_kv_heads + kv_head) * page + position % page) * shape.head_dim;
}

void paged_attention(const TensorView& qkv, const AttentionShape& shape,
                     std::span<const AttentionSequence> sequences, const KvLayerView& kv,
                     const TensorView& out) {
  const int64_t group = shape.num_heads / shape.num_kv_heads;
  for (const AttentionSequence& sequence : sequences) {
    for (int64_t r = 0; r < sequence.num_rows; ++r) {
      const int64_t row = sequence.row_begin + r;
      for (int64_t h = 0; h < shape.num_heads; ++h) {
        attend_row(qkv.as<float>() + row * qkv.shape[1] + h * shape.head_dim, shape, sequence,
                   sequence.start_position + r, h / group, kv,
                   out.as<float>() + row * out.shape[1] + h * shape.head_dim);
      }
    }
  }
}

}  // namespace glmoe::ref
