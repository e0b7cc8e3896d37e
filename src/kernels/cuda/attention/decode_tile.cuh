// One tile of attention_decode: what a warp that computes does with its 16 tokens.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/attention_decode.h"
#include "kernels/cuda/attention/decode_work.cuh"
#include "kernels/cuda/attention/kv_tiles.cuh"
#include "kernels/cuda/common/mma.cuh"

namespace glmoe::cuda::decode {

inline constexpr int kHeadDim = 128;
inline constexpr int kConsumers = 4;  // warps that compute; each takes 16 tokens of a tile
inline constexpr int kConsumerThreads = kConsumers * 32;
inline constexpr int kTokensPerWarp = kDecodeTile / kConsumers;

// A warp's softmax over its tokens of a split, in the layout of mma.cuh.
struct WarpSums {
  float sum[kHeadDim / 8][4];
  float highest[2];
  float total[2];  // of this lane's tokens

  __device__ void clear() {
#pragma unroll
    for (auto& tile : sum) {
#pragma unroll
      for (float& value : tile) value = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) highest[i] = -INFINITY, total[i] = 0.0f;
  }
};

using QueryFragments = uint32_t[kHeadDim / 16][4];

// Rows past `rows` are zero.
template <class T>
__device__ inline void load_queries(const T* q, int rows, QueryFragments& to) {
  const int lane = threadIdx.x % 32;
  const int row = lane / 4, column = lane % 4 * 2;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = row + (i & 1) * 8;
      const T* at = q + r * kHeadDim + k * 16 + column + (i >> 1) * 8;
      to[k][i] = r < rows ? *reinterpret_cast<const uint32_t*>(at) : 0u;
    }
  }
}

// One tile: this warp's 16 tokens, of which the first `valid` exist (1 or more).
template <class T>
__device__ inline void attend(const QueryFragments& q, const unsigned char* stage, int valid,
                              float score_scale, WarpSums& sums) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int matrix = lane / 8, in_matrix = lane % 8;
  const int column = lane % 4 * 2;
  const uint32_t keys = shared_address(stage);
  const uint32_t values = keys + kPlaneBytes<kDecodeTile>;
  // Two chains of products for each half of the tokens: latency, not their number, is what counts.
  float scores[2][2][4] = {};
  const int key_row = warp * kTokensPerWarp + (matrix >> 1) * 8 + in_matrix;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    uint32_t b[4];
    load_matrices(b, keys + plane_offset<kDecodeTile>(key_row, 2 * k + (matrix & 1)));
    multiply_add<T>(scores[k & 1][0], q[k], b[0], b[1]);
    multiply_add<T>(scores[k & 1][1], q[k], b[2], b[3]);
  }
  float highest[2] = {sums.highest[0], sums.highest[1]};
  float score[2][4];
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      score[n][i] = (scores[0][n][i] + scores[1][n][i]) * score_scale;
      if (n * 8 + column + (i & 1) >= valid) score[n][i] = -INFINITY;
      highest[i >> 1] = fmaxf(highest[i >> 1], score[n][i]);
    }
  }
  float weight[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    highest[r] = fmaxf(highest[r], __shfl_xor_sync(0xffffffffu, highest[r], 1));
    highest[r] = fmaxf(highest[r], __shfl_xor_sync(0xffffffffu, highest[r], 2));
    weight[r] = exp2_fast(sums.highest[r] - highest[r]);
    sums.highest[r] = highest[r];
    sums.total[r] *= weight[r];
  }
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      score[n][i] = exp2_fast(score[n][i] - highest[i >> 1]);
      sums.total[i >> 1] += score[n][i];
    }
  }
  const uint32_t p[4] = {
      pack_pair<T>(score[0][0], score[0][1]), pack_pair<T>(score[0][2], score[0][3]),
      pack_pair<T>(score[1][0], score[1][1]), pack_pair<T>(score[1][2], score[1][3])};
  // Slots past the end may hold anything, and 0 * NaN is NaN: their values become 0.
  const auto kept = [&](int token) {
    return (token < valid ? 0x0000ffffu : 0u) | (token + 1 < valid ? 0xffff0000u : 0u);
  };
  const uint32_t keep_low = kept(column), keep_high = kept(column + 8);
  const int value_row = warp * kTokensPerWarp + (matrix & 1) * 8 + in_matrix;
#pragma unroll
  for (int c = 0; c < kHeadDim / 16; ++c) {
    uint32_t b[4];
    load_matrices_transposed(b,
                             values + plane_offset<kDecodeTile>(value_row, 2 * c + (matrix >> 1)));
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      float(&sum)[4] = sums.sum[2 * c + n];
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] *= weight[i >> 1];
      multiply_add<T>(sum, p, b[2 * n] & keep_low, b[2 * n + 1] & keep_high);
    }
  }
}

}  // namespace glmoe::cuda::decode
