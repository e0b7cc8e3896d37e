// The draw of a token from a row's weights, as the host makes it: sums in its order where their
// last bits can decide.
#pragma once

#include "kernels/cuda/sample/block_scan.cuh"
#include "kernels/cuda/sample/row_slice.cuh"

namespace glmoe::cuda {

// Sums of the row's weights in any order, and what the host compares them with, are this share of
// the total from the host's at most: a few thousand additions of doubles, each off by 2^-53.
inline constexpr double kSumMargin = 2e-12;

// The weight of every kVocabBlock of the row's tokens (of those up to `last`) into block 0's
// block_sums: kLanes running sums of floats, then these as doubles; with the host's bits. All
// threads of the cluster call it and synchronise after.
__device__ inline void sum_blocks(const cooperative_groups::cluster_group& cluster, const Slice& s,
                                  float inverse_temperature, const Candidate& last) {
  for (int i = threadIdx.x; i < s.num_blocks * kLanes; i += kSampleThreads) {
    const int block = i / kLanes;
    float sum = 0.0f;
    if (s.block_max()[block] >= last.logit) {
      const int first = block * kVocabBlock + i % kLanes;
#pragma unroll
      for (int j = 0; j < kVocabBlock; j += kLanes) {
        const int at = first + j;
        const Candidate token{s.logits[at], s.first_token() + at};
        const float weight = token_weight(token.logit, s.best, inverse_temperature);
        sum = __fadd_rn(sum, last.before(token) ? 0.0f : weight);
      }
    }
    s.lane_sums()[i] = sum;
  }
  __syncthreads();
  double* sums = cluster.map_shared_rank(s.block_sums(), 0) + s.rank * s.num_blocks;
  if (threadIdx.x < s.num_blocks) {
    double sum = 0.0;
#pragma unroll
    for (int i = 0; i < kLanes; i += 4) {
      const float4 v = *reinterpret_cast<float4*>(s.lane_sums() + threadIdx.x * kLanes + i);
      sum = __dadd_rn(sum, static_cast<double>(v.x));
      sum = __dadd_rn(sum, static_cast<double>(v.y));
      sum = __dadd_rn(sum, static_cast<double>(v.z));
      sum = __dadd_rn(sum, static_cast<double>(v.w));
    }
    sums[threadIdx.x] = sum;
  }
}

// The row's weight and a thread's share of it, to kSumMargin.
struct WeightShare {
  double total;
  double before;  // the weight of the blocks of kVocabBlock before this thread's
  int begin;      // this thread's
  int end;
};

// Where sum_blocks() has left its sums. All threads of block 0 call it.
__device__ inline WeightShare share_weight(const Slice& s) {
  WeightShare share;
  const int size = kSampleCluster * s.num_blocks;
  const int each = (size + kSampleThreads - 1) / kSampleThreads;
  share.begin = min(static_cast<int>(threadIdx.x) * each, size);
  share.end = min(share.begin + each, size);
  double own = 0.0;
  for (int i = share.begin; i < share.end; ++i) own += s.block_sums()[i];
  share.before = block_sum_before(own, s.space->warp_sums, share.total);
  return share;
}

// The weights of a block of kVocabBlock tokens into space.weights; this thread's own, too.
__device__ inline double weigh_block(const cooperative_groups::cluster_group& cluster,
                                     const Slice& s, float inverse_temperature,
                                     const Candidate& last, int block) {
  double own = 0.0;
  if (threadIdx.x < kVocabBlock) {
    const float* slice = cluster.map_shared_rank(s.logits, block / s.num_blocks);
    const Candidate token{slice[block % s.num_blocks * kVocabBlock + threadIdx.x],
                          static_cast<int32_t>(block * kVocabBlock + threadIdx.x)};
    const float weight = token_weight(token.logit, s.best, inverse_temperature);
    own = last.before(token) ? 0.0 : static_cast<double>(weight);
    s.space->weights[threadIdx.x] = own;
  }
  return own;
}

// Whether `rest` surely falls on a weight with this much before it.
__device__ inline bool surely_in(double rest, double before, double weight, double margin) {
  return weight > 0.0 && rest < before + weight - margin &&
         (before == 0.0 || rest >= before + margin);
}

// The host's draw, addition by addition; for one thread.
__device__ inline int place_in_order(const double* values, int size, double& rest) {
  int place = 0;
  for (int i = 0; i < size; ++i) {
    if (values[i] <= 0.0) continue;
    place = i;
    if (rest < values[i]) break;
    rest = __dsub_rn(rest, values[i]);
  }
  return place;
}
__device__ inline double sum_in_order(const double* values, int size) {
  double sum = 0.0;
#pragma unroll 8
  for (int i = 0; i < size; ++i) sum = __dadd_rn(sum, values[i]);
  return sum;
}

// The token, by id, at which the running sum exceeds u times the total, where sum_blocks() has left
// its sums. All threads of block 0 call it and get it.
__device__ inline int32_t draw_token(const cooperative_groups::cluster_group& cluster,
                                     const Slice& s, float inverse_temperature,
                                     const Candidate& last, double u) {
  SampleSpace& space = *s.space;
  const int size = kSampleCluster * s.num_blocks;
  if (threadIdx.x == 0) space.draw_block = space.token_id = -1;
  // Sums in any order first. Where the draw is not too near an edge, they say the same.
  WeightShare share = share_weight(s);
  const double margin = share.total * kSumMargin;
  const double rest = u * share.total;
  for (int i = share.begin; i < share.end; ++i) {
    const double weight = s.block_sums()[i];
    if (surely_in(rest, share.before, weight, margin)) {
      space.draw_block = i;
      space.draw_rest = rest - share.before;
    }
    share.before += weight;
  }
  __syncthreads();
  if (space.draw_block >= 0) {
    const int block = space.draw_block;
    const double own = weigh_block(cluster, s, inverse_temperature, last, block);
    double of_block = 0.0;
    const double before = block_sum_before(own, space.warp_sums, of_block);
    if (surely_in(space.draw_rest, before, own, margin)) {
      space.token_id = block * kVocabBlock + threadIdx.x;
    }
    __syncthreads();
    if (space.token_id >= 0) return space.token_id;
  }
  if (threadIdx.x == 0) {
    space.draw_rest = __dmul_rn(u, sum_in_order(s.block_sums(), size));
    space.draw_block = place_in_order(s.block_sums(), size, space.draw_rest);
  }
  __syncthreads();
  weigh_block(cluster, s, inverse_temperature, last, space.draw_block);
  __syncthreads();
  if (threadIdx.x == 0) {
    space.token_id = space.draw_block * kVocabBlock +
                     place_in_order(space.weights, kVocabBlock, space.draw_rest);
  }
  __syncthreads();
  return space.token_id;
}

}  // namespace glmoe::cuda
