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

// row i of `all` := it and one more split together. The one place where splits meet, so that it
// does not matter for a result's bits which block does it.
__device__ inline void fold(Partial& all, int i, float highest, float total, float4 sum) {
  const float new_highest = fmaxf(all.highest[i], highest);
  const float old_weight = exp2_fast(all.highest[i] - new_highest);
  const float weight = exp2_fast(highest - new_highest);
  all.highest[i] = new_highest;
  all.total[i] = __fmaf_rn(all.total[i], old_weight, __fmul_rn(total, weight));
  all.sum[i] = scaled_sum(all.sum[i], old_weight, sum, weight);
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
    const int row = i * kConsumers + warp;
    if (row >= rows) continue;
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
    fold(all, i, top, row_total, row_sum);
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

// From the L2, where other blocks have put it. Not moved by the compiler: it would put the loads of
// a split behind the one before it.
__device__ inline float4 load_stored(const float4* from) {
  float4 value;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "l"(from)
               : "memory");
  return value;
}

// All splits of a pair in their order, from where their blocks put them: lane i knows the slot of
// split i. Its registers are its own, the reason for a call.
template <class T>
__device__ __noinline__ void gather(const float* slots, int my_slot, int num_splits, int rows,
                                    int rows_per_tile, int slot_floats, T* out) {
  constexpr int kAtOnce = 8;  // splits whose loads are under way together
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const float* mine =
      slots + static_cast<int64_t>(my_slot) * slot_floats + rows_per_tile * kHeadDim;
  float my_highest[kRowsPerWarp], my_total[kRowsPerWarp];
#pragma unroll
  for (int i = 0; i < kRowsPerWarp; ++i) {
    const int row = min(i * kConsumers + warp, rows - 1);
    my_highest[i] = __ldcg(mine + row);
    my_total[i] = __ldcg(mine + rows_per_tile + row);
  }
  Partial all;
  all.clear();
#pragma unroll 1
  for (int first = 0; first < num_splits; first += kAtOnce) {
    float4 sum[kAtOnce][kRowsPerWarp];
#pragma unroll
    for (int s = 0; s < kAtOnce; ++s) {
      const int split = min(first + s, num_splits - 1);
      const float* slot =
          slots + static_cast<int64_t>(__shfl_sync(0xffffffffu, my_slot, split)) * slot_floats;
#pragma unroll
      for (int i = 0; i < kRowsPerWarp; ++i) {
        const int row = min(i * kConsumers + warp, rows - 1);
        sum[s][i] =
            load_stored(reinterpret_cast<const float4*>(slot) + row * (kHeadDim / 4) + lane);
      }
    }
#pragma unroll
    for (int s = 0; s < kAtOnce; ++s) {
      if (first + s >= num_splits) break;
#pragma unroll
      for (int i = 0; i < kRowsPerWarp; ++i) {
        const float highest = __shfl_sync(0xffffffffu, my_highest[i], first + s);
        const float total = __shfl_sync(0xffffffffu, my_total[i], first + s);
        fold(all, i, highest, total, sum[s][i]);
      }
    }
  }
  write_out(all, out, rows);
}

}  // namespace glmoe::cuda::decode
