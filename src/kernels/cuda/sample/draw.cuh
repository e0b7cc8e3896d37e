// The draw of a token from a row's weights, and the logarithm's argument of its probabilities: sums
// in the host's order, so with the host's bits.
#pragma once

#include "kernels/cuda/sample/ordered_sum.cuh"
#include "kernels/cuda/sample/row_slice.cuh"

namespace glmoe::cuda {

// The weight of every kVocabBlock of the row's tokens (of those up to `last`) into block 0's
// block_sums: kLanes running sums of floats, then these as doubles. All threads of the cluster call
// it and synchronise after.
__device__ inline void sum_blocks(const cooperative_groups::cluster_group& cluster, const Slice& s,
                                  float inverse_temperature, const Candidate& last) {
  for (int i = threadIdx.x; i < s.num_blocks * kLanes; i += kSampleThreads) {
    const int block = i / kLanes;
    float sum = 0.0f;
    if (s.block_max()[block] >= last.logit) {
      const int first = block * kVocabBlock + i % kLanes;
#pragma unroll
      for (int at = first; at < first + kVocabBlock; at += kLanes) {
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

// The token, by id, at which the running sum exceeds u times the total, where sum_blocks() has left
// its sums. All threads of block 0 call it and get it.
__device__ inline int32_t draw_token(const cooperative_groups::cluster_group& cluster,
                                     const Slice& s, float inverse_temperature,
                                     const Candidate& last, double u) {
  SampleSpace& space = *s.space;
  if (threadIdx.x < 32) {
    const int size = kSampleCluster * s.num_blocks;
    double rest = __dmul_rn(u, sum_in_order(s.block_sums(), size));
    const int place = place_in_order(s.block_sums(), size, rest);
    if (threadIdx.x == 0) space.draw_block = place, space.draw_rest = rest;
  }
  __syncthreads();
  const int block = space.draw_block;
  if (threadIdx.x < kVocabBlock) {
    const float* slice = cluster.map_shared_rank(s.logits, block / s.num_blocks);
    const int first = block % s.num_blocks * kVocabBlock;
    const Candidate token{slice[first + threadIdx.x],
                          static_cast<int32_t>(block * kVocabBlock + threadIdx.x)};
    const float weight = token_weight(token.logit, s.best, inverse_temperature);
    space.weights[threadIdx.x] = last.before(token) ? 0.0 : static_cast<double>(weight);
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    double rest = space.draw_rest;
    const int place = place_in_order(space.weights, kVocabBlock, rest);
    if (threadIdx.x == 0) space.token_id = block * kVocabBlock + place;
  }
  __syncthreads();
  return space.token_id;
}

}  // namespace glmoe::cuda
