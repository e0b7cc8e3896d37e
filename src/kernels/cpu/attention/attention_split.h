// What the ways to compute a split share: the walk over its tiles and the softmax. Only the two
// products differ.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/cpu/attention/attention.h"

namespace glmoe::kernels {

// Of no keys yet.
inline void start_partial(int64_t num_queries, int64_t head_dim, const AttentionPartial& out) {
  std::fill_n(out.highest, num_queries, -std::numeric_limits<float>::infinity());
  std::fill_n(out.total, num_queries, 0.0f);
  std::fill_n(out.weighted, num_queries * padded_head_dim(head_dim), 0.0f);
}

// The split's tiles of keys in ascending order. prepare(keys, values, count): pointers to the rows
// of `count` keys and values of type T; then attend(begin, end, count) for queries [begin, end),
// which all see the first `count` of them, until all queries have had the tile.
template <class T, class Prepare, class Attend>
void for_key_tiles(const AttentionTile& tile, int64_t split, Prepare prepare, Attend attend) {
  const int64_t last = tile.first_position + tile.num_rows - 1;
  const int64_t end = std::min((split + 1) * kKeySplit, last + 1);
  for (int64_t begin = split * kKeySplit; begin < end; begin += kKeyTile) {
    const T *keys[kKeyTile], *values[kKeyTile];
    const int64_t count = std::min(kKeyTile, end - begin);
    for (int64_t k = 0; k < count; ++k) {
      const int64_t position = begin + k;
      const int64_t at = tile.block_table[position / tile.tokens_per_block] * tile.block_stride +
                         position % tile.tokens_per_block * tile.head_dim;
      keys[k] = static_cast<const T*>(tile.keys) + at;
      values[k] = static_cast<const T*>(tile.values) + at;
    }
    prepare(keys, values, count);
    if (begin + kKeyTile <= tile.first_position + 1) {
      attend(0, tile.num_queries(), kKeyTile);
      continue;
    }
    // Some row ends inside this tile: row by row, so that a key which a row doesn't see cannot
    // touch it, be it infinite.
    for (int64_t r = std::max<int64_t>(0, begin - tile.first_position); r < tile.num_rows; ++r) {
      const int64_t seen = std::min(kKeyTile, tile.first_position + r + 1 - begin);
      attend(r * tile.group, (r + 1) * tile.group, seen);
    }
  }
}

// Calls body(std::integral_constant<int, R>, first) over [0, count) in register tiles of at most
// kRows rows, 12 or 6.
template <int kRows, class Body>
inline __attribute__((always_inline)) void for_row_tiles(int64_t count, Body body) {
  int64_t at = 0;
  for (; at + kRows <= count; at += kRows) body(std::integral_constant<int, kRows>(), at);
  if constexpr (kRows > 6) {
    for (; at + 6 <= count; at += 6) body(std::integral_constant<int, 6>(), at);
  }
  switch (count - at) {
    case 5: return body(std::integral_constant<int, 5>(), at);
    case 4: return body(std::integral_constant<int, 4>(), at);
    case 3: return body(std::integral_constant<int, 3>(), at);
    case 2: return body(std::integral_constant<int, 2>(), at);
    case 1: return body(std::integral_constant<int, 1>(), at);
    default: return;
  }
}

// For `num_queries` rows of kKeyTile scores: turns a row into exp(score * scale - highest), 0
// beyond `count`; updates highest and total, and sets decay to the factor by which what was summed
// before must shrink.
void softmax_rows(float* scores, int64_t num_queries, int64_t count, float scale, float* highest,
                  float* total, float* decay);

// Whether attend_split computes this tile with bfloat16 dot products: keys and values as they are,
// queries as the sum of two bfloat16 numbers, weights rounded to one, sums in F32.
bool attends_in_bf16(const AttentionTile& tile);
void attend_split_bf16(const AttentionTile& tile, int64_t split, const AttentionPartial& out,
                       float* scratch);

}  // namespace glmoe::kernels
