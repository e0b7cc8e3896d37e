// How the sums of attention_decode meet: of the four warps of a block, and of a row's splits, in
// one block or by way of the workspace.
#pragma once

#include "kernels/cuda/attention/decode_tile.cuh"

namespace glmoe::cuda::decode {

inline constexpr int kRowsPerWarp = kMmaRows / kConsumers;
// Rows of a warp's sums in the merge buffer, apart so that a warp's stores hit all banks.
inline constexpr int kMergeStride = kHeadDim + 8;
inline constexpr int kMergeFloats = kConsumers * kMmaRows * (kMergeStride + 2);

__device__ inline void sync_consumers() {
  constexpr int kBarrier = 1;
  asm volatile("bar.sync %0, %1;" ::"n"(kBarrier), "n"(kConsumerThreads) : "memory");
}

// Softmax over some tokens before the division, as one thread of the consumers holds it: rows
// warp, warp + 4, ... and four columns of each.
struct Partial {
  float highest[kRowsPerWarp];
  float total[kRowsPerWarp];
  float4 sum[kRowsPerWarp];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
      highest[i] = -INFINITY;
      total[i] = 0.0f;
      sum[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
  }
};

__device__ inline float4 scaled_sum(float4 a, float x, float4 b, float y) {
  return make_float4(__fmaf_rn(a.x, x, __fmul_rn(b.x, y)), __fmaf_rn(a.y, x, __fmul_rn(b.y, y)),
                     __fmaf_rn(a.z, x, __fmul_rn(b.z, y)), __fmaf_rn(a.w, x, __fmul_rn(b.w, y)));
}

// How two parts of a row's context count beside each other.
struct FoldWeights {
  float old_part, new_part;

  __device__ FoldWeights(float old_highest, float new_highest, float highest_of_both)
      : old_part(exp2_fast(old_highest - highest_of_both)),
        new_part(exp2_fast(new_highest - highest_of_both)) {}
};

// Row i of `all` := it and one more split together, but for the highest score. The one place where
// splits meet, so that it does not matter for a result's bits which block does it.
__device__ inline void fold(Partial& all, int i, float old_weight, float weight, float total,
                            float4 sum) {
  all.total[i] = __fmaf_rn(all.total[i], old_weight, __fmul_rn(total, weight));
  all.sum[i] = scaled_sum(all.sum[i], old_weight, sum, weight);
}

// The row that a thread's Partial holds i-th; those past the end repeat the last, so that there are
// no branches between the rows, whose latencies overlap.
__device__ inline int partial_row(int i, int rows) {
  return min(i * kConsumers + static_cast<int>(threadIdx.x / 32), rows - 1);
}

// The four warps' sums of a split become one, spread over the threads as Partial says, and are
// folded into `all`. All consumers call it.
__device__ inline void merge_warps(const WarpSums& sums, float* merge, int rows, Partial& all) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* highest = merge + kConsumers * kMmaRows * kMergeStride;  // [warp][row]
  float* total = highest + kConsumers * kMmaRows;
  sync_consumers();  // the buffer has been read
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = sums.total[r];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const int row = warp * kMmaRows + r * 8 + lane / 4;
    if (lane % 4 == 0) highest[row] = sums.highest[r], total[row] = sum;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      *reinterpret_cast<float2*>(merge + row * kMergeStride + n * 8 + lane % 4 * 2) =
          make_float2(sums.sum[n][2 * r], sums.sum[n][2 * r + 1]);
    }
  }
  sync_consumers();
#pragma unroll
  for (int i = 0; i < kRowsPerWarp; ++i) {
    const int row = partial_row(i, rows);
    float top = highest[row];
#pragma unroll
    for (int w = 1; w < kConsumers; ++w) top = fmaxf(top, highest[w * kMmaRows + row]);
    float row_total = 0.0f;
    float4 row_sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int w = 0; w < kConsumers; ++w) {
      const int at = w * kMmaRows + row;
      const float weight = exp2_fast(highest[at] - top);
      row_total = __fmaf_rn(total[at], weight, row_total);
      row_sum = scaled_sum(row_sum, 1.0f,
                           *reinterpret_cast<const float4*>(merge + at * kMergeStride + lane * 4),
                           weight);
    }
    const float of_both = fmaxf(all.highest[i], top);
    const FoldWeights weights(all.highest[i], top, of_both);
    fold(all, i, weights.old_part, weights.new_part, row_total, row_sum);
    all.highest[i] = of_both;
  }
}

// To and from the slot of one split.
__device__ inline void store_slot(const Partial& partial, float* slot, int rows,
                                  int rows_per_tile) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kRowsPerWarp; ++i) {
    const int row = i * kConsumers + warp;
    if (row >= rows) continue;
    reinterpret_cast<float4*>(slot)[row * (kHeadDim / 4) + lane] = partial.sum[i];
    if (lane == 0) {
      slot[rows_per_tile * kHeadDim + row] = partial.highest[i];
      slot[rows_per_tile * (kHeadDim + 1) + row] = partial.total[i];
    }
  }
}

template <class T>
__device__ inline void write_out(const Partial& all, T* out, int rows) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kRowsPerWarp; ++i) {
    const int row = i * kConsumers + warp;
    if (row >= rows) continue;
    const float scale = 1.0f / all.total[i];
    const float4 v = all.sum[i];
    *reinterpret_cast<uint2*>(out + row * kHeadDim + lane * 4) =
        make_uint2(pack_pair<T>(v.x * scale, v.y * scale), pack_pair<T>(v.z * scale, v.w * scale));
  }
}

// Where a block brings the splits of a pair together; the merge buffer's place.
inline constexpr int kGatherBytes = 50 * 1024;  // eight splits of 12 rows
static_assert(kGatherBytes >= kMergeFloats * static_cast<int>(sizeof(float)));

// The weights and totals of all splits of this thread's rows, split by split in the lanes, as
// folding them one after the other makes them.
struct GatherWeights {
  float old_part[kRowsPerWarp], new_part[kRowsPerWarp], total[kRowsPerWarp];

  __device__ GatherWeights(const float* my_slot, int rows, int rows_per_tile) {
    const int lane = threadIdx.x % 32;
    float highest[kRowsPerWarp], of_all[kRowsPerWarp];
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
      const float* at = my_slot + rows_per_tile * kHeadDim + partial_row(i, rows);
      highest[i] = __ldcg(at);
      total[i] = __ldcg(at + rows_per_tile);
    }
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
      of_all[i] = highest[i];
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const float other = __shfl_up_sync(0xffffffffu, of_all[i], distance);
        if (lane >= distance) of_all[i] = fmaxf(of_all[i], other);
      }
      float before = __shfl_up_sync(0xffffffffu, of_all[i], 1);
      if (lane == 0) before = -INFINITY;
      const FoldWeights weights(before, highest[i], of_all[i]);
      old_part[i] = weights.old_part;
      new_part[i] = weights.new_part;
    }
  }
};

// Folds all splits of a pair in their order, from where their blocks have put them; lane i knows
// the slot of split i. All consumers call it, with `arrived` and its parity for the copies.
__device__ inline void gather(const float* slots, int my_slot, int num_splits, int rows,
                              const DecodeLayout& layout, float* buffer, uint64_t* arrived,
                              uint32_t& parity, Partial& all) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int slot_bytes = layout.slot_floats * static_cast<int>(sizeof(float));
  const int at_once = kGatherBytes / slot_bytes;
  const float* mine = slots + static_cast<int64_t>(my_slot) * layout.slot_floats;
  const auto fetch = [&](int first) {
    const int count = min(at_once, num_splits - first);
    if (warp != 0 || count <= 0) return;
    // The slots were written, and the buffer read, by other means than the copies.
    asm volatile("fence.proxy.async;" ::: "memory");
    if (lane == 0) barrier_arrive_expecting(arrived, static_cast<uint32_t>(count * slot_bytes));
    __syncwarp();
    if (lane < first || lane >= first + count) return;
    bulk_copy(buffer + (lane - first) * layout.slot_floats, mine, static_cast<uint32_t>(slot_bytes),
              arrived);
  };
  fetch(0);
  const GatherWeights weights(mine, rows, layout.rows_per_tile);
  all.clear();
  for (int first = 0; first < num_splits; first += at_once) {
    barrier_wait(arrived, parity);
    parity ^= 1;
    const int end = min(first + at_once, num_splits);
#pragma unroll 2
    for (int split = first; split < end; ++split) {
      const auto* slot =
          reinterpret_cast<const float4*>(buffer + (split - first) * layout.slot_floats);
#pragma unroll
      for (int i = 0; i < kRowsPerWarp; ++i) {
        fold(all, i, __shfl_sync(0xffffffffu, weights.old_part[i], split),
             __shfl_sync(0xffffffffu, weights.new_part[i], split),
             __shfl_sync(0xffffffffu, weights.total[i], split),
             slot[partial_row(i, rows) * (kHeadDim / 4) + lane]);
      }
    }
    sync_consumers();
    fetch(first + at_once);
  }
}

}  // namespace glmoe::cuda::decode
