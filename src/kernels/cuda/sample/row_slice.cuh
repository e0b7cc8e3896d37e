// A row of logits in the shared memory of a cluster of blocks, a slice each: read from device
// memory once, then looked at as often as sampling needs.
//
// Everything a block decides about the row is decided alike by all blocks of its cluster, from the
// same numbers in the same order, so that they stay together without being told.
#pragma once

#include <cooperative_groups.h>
#include <cuda_pipeline.h>

#include <cstdint>

#include "kernels/cuda/sample/row_best.cuh"
#include "kernels/cuda/sample/sample.h"
#include "kernels/cuda/sample/token_counts.h"
#include "kernels/cuda/sample/token_order.cuh"

namespace glmoe::cuda {

inline constexpr int kSampleCluster = 8;    // blocks a row
inline constexpr int kSampleThreads = 512;  // a block
inline constexpr int kSampleWarps = kSampleThreads / 32;
// Buckets of 1/16 in log-probability below the best token, as in the host's truncation; the last
// takes the far tail.
inline constexpr int kBuckets = 513;
inline constexpr int kTail = kBuckets - 1;
inline constexpr float kBucketsPerUnit = 16.0f;
inline constexpr int kLanes = 16;  // running sums of a block's weights, as on the host
inline constexpr int kFew = 512;   // tokens of a bucket that are compared each with each
inline constexpr int kTopEntries = kMaxLogprobs + 1;

// A sum of up to 2^16 numbers of 32 bits: of their low 16 bits, and of the rest.
struct alignas(8) SplitSum {
  uint32_t low;
  uint32_t high;
};

// A block's own state. What is said to be block 0's is written there by all.
struct alignas(16) SampleSpace {
  SampleRow row;
  RowBestSpace best;
  // Used in turn: a block may clear one while others still read the other.
  SplitSum counters[2][kTail];
  double warp_sums[kSampleWarps];
  double tails[kSampleCluster];  // the slices'
  union {
    struct {
      double sums[kBuckets];
      double prefix[kBuckets];
    } buckets;
    struct {
      Candidate tokens[kFew];
      uint32_t units[kFew];
    } few;  // of the bucket that was chosen
  };
  Candidate gathered[kFew];          // this slice's part of these
  int num_gathered[kSampleCluster];  // the slices'
  Candidate found;                   // id -1: none
  unsigned long long warp_sum[kSampleWarps];
  unsigned long long rest;  // of a target, behind what a choice passed over
  double before;            // the chosen bucket
  int chosen;               // bucket or digit
  int num_equal;            // of the slice's logits
  int32_t found_id;
  double weights[kVocabBlock];  // of the block that is drawn from
  double draw_rest;             // of the random share of the total, at that block's begin
  int draw_block;
  int32_t token_id;
  int num_before;              // block 0's, as the next: tokens before the one whose rank is wanted
  int num_infinite;            // logits at +infinity
  int num_top;                 // in top
  Candidate top[kTopEntries];  // the most likely, in no order
};

// This block's part of the row, in its shared memory behind the space.
struct Slice {
  SampleSpace* space;
  float* logits;   // [num_blocks * kVocabBlock]; -infinity behind the row's end
  int rank;        // of this block in the cluster
  int num_blocks;  // of kVocabBlock logits in a slice
  int buffer;      // which of space->counters was used last
  float best;      // the row's highest logit

  __device__ int num_logits() const { return num_blocks * kVocabBlock; }
  __device__ int first_token() const { return rank * num_logits(); }
  // [kSampleCluster * num_blocks] weights; block 0's is the row's.
  __device__ double* block_sums() const { return reinterpret_cast<double*>(space + 1); }
  __device__ float* lane_sums() const { return logits + num_logits(); }  // [num_blocks * kLanes]
  __device__ float* block_max() const { return lane_sums() + num_blocks * kLanes; }  // [num_blocks]
  // [num_blocks]: how many of a block's logits equal the threshold.
  __device__ int32_t* equal() const { return reinterpret_cast<int32_t*>(block_max() + num_blocks); }
};

// Bytes of shared memory of a block.
constexpr size_t sample_shared_bytes(int num_blocks) {
  const size_t of_row = kSampleCluster * sizeof(double);
  const size_t of_slice = (kVocabBlock + kLanes + 1) * sizeof(float) + sizeof(int32_t);
  return sizeof(SampleSpace) + static_cast<size_t>(num_blocks) * (of_row + of_slice);
}

__device__ inline Slice make_slice(char* shared, int rank, int num_blocks) {
  static_assert(sizeof(SampleSpace) % 16 == 0 && kSampleCluster % 2 == 0,
                "logits: 16-byte aligned");
  Slice s;
  s.space = reinterpret_cast<SampleSpace*>(shared);
  s.num_blocks = num_blocks;
  s.logits = reinterpret_cast<float*>(s.block_sums() + kSampleCluster * num_blocks);
  s.rank = rank;
  s.buffer = 0;
  s.best = 0.0f;
  return s;
}

// The first num_tokens of the row into the slices. The caller synchronises the block.
__device__ inline void load_slice(const Slice& s, const float* row, int num_tokens) {
  const int first = s.first_token();
  const int count = min(max(num_tokens - first, 0), s.num_logits());
  for (int at = 4 * threadIdx.x; at < s.num_logits(); at += 4 * kSampleThreads) {
    if (at + 4 <= count) {
      __pipeline_memcpy_async(s.logits + at, row + first + at, sizeof(float4));
    } else {
      for (int i = at; i < at + 4; ++i) s.logits[i] = i < count ? row[first + i] : minus_infinity();
    }
  }
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

// Bias and bans. All threads of the block must call it, after the slice is there for all.
__device__ inline void adjust_listed(const Slice& s, const SampleParams& p, const SampleRow& row) {
  const int first = s.first_token();
  const int count = min(max(p.num_tokens - first, 0), s.num_logits());
  for (int i = threadIdx.x; i < row.num_biases; i += kSampleThreads) {
    const int at = p.bias_ids[row.first_bias + i] - first;
    if (at >= 0 && at < count) {
      s.logits[at] = __fadd_rn(s.logits[at], p.bias_values[row.first_bias + i]);
    }
  }
  __syncthreads();
  if (row.position >= row.min_tokens) return;
  for (int i = threadIdx.x; i < row.num_stops; i += kSampleThreads) {
    const int at = p.stop_ids[row.first_stop + i] - first;
    if (at >= 0 && at < count) s.logits[at] = minus_infinity();
  }
  __syncthreads();
}

__device__ inline float penalised(float logit, uint32_t seen, const SampleRow& row) {
  if (seen == 0) return logit;
  if (row.repetition_penalty != 1.0f) {
    logit = logit > 0.0f ? __fdiv_rn(logit, row.repetition_penalty)
                         : __fmul_rn(logit, row.repetition_penalty);
  }
  const uint32_t count = seen & ~kSeenInPrompt;
  if (count == 0) return logit;
  const float share = __fmul_rn(row.frequency_penalty, static_cast<float>(count));
  return __fsub_rn(logit, __fadd_rn(row.presence_penalty, share));
}

// Four neighbours of a slice: of a block's two halves, one to a lane.
__device__ inline int quad_of(int block, int half) {
  return block * kVocabBlock + half * (kVocabBlock / 2) + 4 * (threadIdx.x % 32);
}

// Penalties (where `counts`, the sequence's row of the table, is not null), the maximum of every
// block, and the best that this warp saw of the row. A warp takes a block, so no thread reads what
// another wrote.
__device__ inline RowBest penalise_and_scan(const Slice& s, const uint32_t* counts, int num_tokens,
                                            const SampleRow& row) {
  uint32_t best_key = order_key(minus_infinity());
  int best_block = -1;
  for (int b = threadIdx.x / 32; b < s.num_blocks; b += kSampleWarps) {
    float highest = minus_infinity();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = quad_of(b, half);
      const int token = s.first_token() + at;
      float4 v = *reinterpret_cast<const float4*>(s.logits + at);
      if (counts != nullptr && token < num_tokens) {
        // The table's rows are whole fours; behind num_tokens the counts are 0.
        const uint4 seen = *reinterpret_cast<const uint4*>(counts + token);
        v.x = penalised(v.x, seen.x, row);
        v.y = penalised(v.y, seen.y, row);
        v.z = penalised(v.z, seen.z, row);
        v.w = penalised(v.w, seen.w, row);
        *reinterpret_cast<float4*>(s.logits + at) = v;
      }
      highest = max_or_nan(highest, max_or_nan(max_or_nan(v.x, v.y), max_or_nan(v.z, v.w)));
    }
    // NaN has the highest key of all.
    const uint32_t key = __reduce_max_sync(0xffffffffu, order_key(highest));
    if (threadIdx.x % 32 == 0) s.block_max()[b] = logit_of_key(key);
    if (key > best_key) best_key = key, best_block = b;
  }
  RowBest best = RowBest::none();
  if (best_block < 0) return best;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int at = quad_of(best_block, half);
    best.add(*reinterpret_cast<const float4*>(s.logits + at), s.first_token() + at);
  }
  return best;
}

// Calls visit(logit, token_id) for the tokens of all blocks but those that skip(maximum) is true
// of, in no order that could count.
template <class Skip, class Visit>
__device__ inline void for_each_token(const Slice& s, Skip&& skip, Visit&& visit) {
  for (int b = threadIdx.x / 32; b < s.num_blocks; b += kSampleWarps) {
    if (skip(s.block_max()[b])) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = quad_of(b, half);
      const float4 v = *reinterpret_cast<const float4*>(s.logits + at);
      const int token = s.first_token() + at;
      visit(v.x, token);
      visit(v.y, token + 1);
      visit(v.z, token + 2);
      visit(v.w, token + 3);
    }
  }
}

}  // namespace glmoe::cuda
