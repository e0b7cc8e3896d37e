// Causal attention over the paged cache for one tile of query rows and one KV head.
//
// Work is cut at absolute positions alone: tiles of kKeyTile keys, online softmax over the tiles of
// one split of kKeySplit keys, splits merged in order. A row's arithmetic is therefore the same to
// the bit in decode, in prefill and in any chunking (docs/kernels/cpu-attention.md).
#pragma once

#include <cstdint>

namespace glmoe::kernels {

enum class KvType : uint8_t { kF32, kBF16, kF16 };

constexpr int64_t kKeyTile = 64;
constexpr int64_t kKeySplit = 512;
static_assert(kKeySplit % kKeyTile == 0);

// D rounded up to whole vectors of any instruction set.
constexpr int64_t padded_head_dim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

// `num_rows` consecutive rows of one sequence and the `group` query heads of one KV head.
struct AttentionTile {
  const float* q = nullptr;  // row 0, first head of the group; its heads are D apart
  int64_t q_stride = 0;      // elements from row to row
  int64_t num_rows = 0;
  int64_t group = 0;
  int64_t head_dim = 0;  // D
  float scale = 0.0f;
  int64_t first_position = 0;  // of row 0; row r sees the keys 0 .. first_position + r

  // Position p's key is row p % P of block_table[p / P]: keys + (block * block_stride + row * D).
  KvType kv_type = KvType::kF32;
  const void* keys = nullptr;  // of this KV head in block 0
  const void* values = nullptr;
  int64_t block_stride = 0;  // elements
  const int32_t* block_table = nullptr;
  int64_t tokens_per_block = 0;  // P

  int64_t num_queries() const { return num_rows * group; }
  int64_t num_splits() const { return (first_position + num_rows - 1) / kKeySplit + 1; }
};

// Softmax over some keys before the division: for each query (row-major, heads inner) the highest
// score, the sum of exp(score - highest), and the sum of the values so weighted, [padded D].
struct AttentionPartial {
  float* highest = nullptr;
  float* total = nullptr;
  float* weighted = nullptr;
  static int64_t num_floats(int64_t num_queries, int64_t head_dim) {
    return num_queries * (2 + padded_head_dim(head_dim)) + 32;
  }
  // Lays the parts out in `memory`, 64-byte aligned, of num_floats.
  static AttentionPartial in(float* memory, int64_t num_queries) {
    const int64_t padded = (num_queries + 15) / 16 * 16;
    return {memory, memory + padded, memory + 2 * padded};
  }
};

// Floats of scratch memory that attend_split needs, 64-byte aligned.
int64_t attention_scratch_floats(int64_t num_queries, int64_t head_dim);

// The keys [split * kKeySplit, (split + 1) * kKeySplit) as far as each row sees them.
void attend_split(const AttentionTile& tile, int64_t split, const AttentionPartial& out,
                  float* scratch);

// total := total and part together; splits are merged in ascending order.
void merge_partial(int64_t num_queries, int64_t head_dim, const AttentionPartial& total,
                   const AttentionPartial& part);

// out[r, h] = weighted / total; rows are `out_stride` elements apart, heads D.
void finish_attention(const AttentionTile& tile, const AttentionPartial& total, float* out,
                      int64_t out_stride);

}  // namespace glmoe::kernels
