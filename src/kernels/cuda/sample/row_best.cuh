// The first of the highest logits of a row and its first NaN, found by a cluster of blocks
// together.
#pragma once

#include <cooperative_groups.h>

#include <cstdint>

#include "kernels/cuda/sample/sample_outcome.h"
#include "kernels/cuda/sample/token_order.cuh"

namespace glmoe::cuda {

inline constexpr int kMaxCluster = 8;  // the largest that every Hopper GPU grants

// What some of a row's tokens come to. Ids are INT_MAX where there is none: `id` where no logit is
// above -infinity, `first_nan` where none is NaN.
struct RowBest {
  float logit;
  int32_t id;
  int32_t first_nan;

  __device__ static RowBest none() { return {minus_infinity(), INT_MAX, INT_MAX}; }
  // Tokens must come in the order of their ids.
  __device__ void add(float value, int32_t token_id) {
    if (isnan(value)) first_nan = min(first_nan, token_id);
    if (value > logit) logit = value, id = token_id;
  }
  // Four neighbours, the first of them token_id.
  __device__ void add(const float4& v, int32_t token_id) {
    const float highest = max_or_nan(max_or_nan(v.x, v.y), max_or_nan(v.z, v.w));
    if (highest <= logit) return;
    add(v.x, token_id);
    add(v.y, token_id + 1);
    add(v.z, token_id + 2);
    add(v.w, token_id + 3);
  }
};

// The best of a warp's; all lanes take part and get it.
__device__ inline RowBest warp_best(const RowBest& own) {
  const uint32_t key = order_key(own.logit);
  const uint32_t highest = __reduce_max_sync(0xffffffffu, key);
  RowBest best;
  best.logit = logit_of_key(highest);
  best.id = __reduce_min_sync(0xffffffffu, key == highest ? own.id : INT_MAX);
  best.first_nan = __reduce_min_sync(0xffffffffu, own.first_nan);
  return best;
}

// In shared memory.
struct RowBestSpace {
  RowBest of_warp[32];
  RowBest of_block[kMaxCluster];
};

// The best of a cluster's threads; all of them take part, once, and get it. Every block of the
// cluster must have begun. `space` is this block's; other blocks write into it.
__device__ inline RowBest cluster_best(const cooperative_groups::cluster_group& cluster,
                                       const RowBest& own, RowBestSpace& space) {
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int num_warps = blockDim.x / 32;
  const int num_blocks = cluster.num_blocks();
  const RowBest of_warp = warp_best(own);
  if (lane == 0) space.of_warp[warp] = of_warp;
  __syncthreads();
  if (warp == 0) {
    const RowBest of_block = warp_best(lane < num_warps ? space.of_warp[lane] : RowBest::none());
    if (lane < num_blocks) {
      cluster.map_shared_rank(&space, lane)->of_block[cluster.block_rank()] = of_block;
    }
  }
  cluster.sync();
  return warp_best(lane < num_blocks ? space.of_block[lane] : RowBest::none());
}

// The best of this thread's share of a row [num_tokens] in device memory.
__device__ inline RowBest stream_best(const float* row, int num_tokens, int thread,
                                      int num_threads) {
  constexpr int kInFlight = 5;  // 8 blocks of 512 threads read 151552 logits in two rounds
  const float4* quads = reinterpret_cast<const float4*>(row);
  const int num_quads = num_tokens / 4;
  RowBest best = RowBest::none();
  for (int first = thread; first < num_quads; first += kInFlight * num_threads) {
    float4 values[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const int at = first + i * num_threads;
      if (at < num_quads) values[i] = quads[at];
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const int at = first + i * num_threads;
      if (at < num_quads) best.add(values[i], 4 * at);
    }
  }
  const int last = 4 * num_quads + thread;
  if (last < num_tokens) {
    best.add(row[last], last);
  }
  return best;
}

// What there is to say of a row without log-probabilities, where `token_id` is to be its token.
__device__ inline SampleOutcome row_outcome(const RowBest& best, int32_t token_id) {
  if (best.first_nan != INT_MAX) return {-1, SampleStatus::kNanLogits, best.first_nan, 0};
  if (best.id == INT_MAX) return {-1, SampleStatus::kNothingToSample, -1, 0};
  return {token_id, SampleStatus::kSampled, -1, 0};
}

}  // namespace glmoe::cuda
