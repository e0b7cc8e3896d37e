// How the sums of attention_decode meet: of the four warps of a block, and of a row's splits, which
// are folded in ascending order whoever does it. Of a pair that several blocks have, the one with
// its first splits stores them folded, as one node, the others each split as its own.
#pragma once

#include "kernels/cuda/attention/decode_tile.cuh"

namespace glmoe::cuda::decode {

inline constexpr int kRowsPerWarp = kMmaRows / kConsumers;
// Rows of a warp's sums in the merge buffer, apart so that a warp's stores hit all banks.
inline constexpr int kMergeStride = kHeadDim + 8;
inline constexpr int kMergeFloats = kConsumers * kMmaRows * (kMergeStride + 2);
// Where stored nodes come together, in the same place: eight of twelve rows.
inline constexpr int kGatherBytes = 8 * 3 * kConsumerThreads * 16;
static_assert(kGatherBytes >= kMergeFloats * static_cast<int>(sizeof(float)));

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

// The first `kRows` rows of `all` := theirs and one more part's together. The one place where parts
// meet.
template <int kRows = kRowsPerWarp>
__device__ inline void fold(Partial& all, const Partial& part) {
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const float of_both = fmaxf(all.highest[i], part.highest[i]);
    const float old_weight = exp2_fast(all.highest[i] - of_both);
    const float weight = exp2_fast(part.highest[i] - of_both);
    all.highest[i] = of_both;
    all.total[i] = __fmaf_rn(all.total[i], old_weight, __fmul_rn(part.total[i], weight));
    all.sum[i] = scaled_sum(all.sum[i], old_weight, part.sum[i], weight);
  }
}

// The row that a thread's Partial holds i-th; those past the end repeat the last, so that there are
// no branches between the rows, whose latencies overlap.
__device__ inline int partial_row(int i, int rows) {
  return min(i * kConsumers + static_cast<int>(threadIdx.x / 32), rows - 1);
}

// The four warps' sums of a split become one, spread over the threads as Partial says. All
// consumers call it.
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
    all.highest[i] = top;
    all.total[i] = row_total;
    all.sum[i] = row_sum;
  }
}

// To the slot of one node: [rows, D] sums, [rows] maxima, [rows] totals.
__device__ inline void store_node(const Partial& partial, float* slot, int rows,
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

// Past the L1, since other blocks wrote it. Volatile: many are to be under way before the first is
// used, and the compiler would move each to its use.
__device__ inline float4 load_stored(const float4* from) {
  float4 v;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(from));
  return v;
}

// To a place in shared memory that this thread alone reads, after wait_for_copies().
__device__ inline void copy_stored(float4* to, const float4* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from)
               : "memory");
}
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Folds all nodes of the pair that `work` stands at, from where their blocks have put them; lane i
// finds the node that begins with split i, if one does. Only the first kRows rows of a thread. All
// consumers call it.
template <int kRows>
__device__ inline void gather(const float* slots, const DecodeWork& work,
                              const DecodeLayout& layout, int rows, float* buffer, Partial& all) {
  const int num_splits = work.splits.num_splits;
  const int lane = threadIdx.x % 32;
  const int split = min(lane, num_splits - 1);
  const int owner = work.owner_of(split);
  // The splits of the block that has the first are one node.
  const bool with_first = owner == __shfl_sync(~0u, owner, 0);
  const bool begins = lane == split && (split == 0 || !with_first);
  unsigned nodes = __ballot_sync(~0u, begins);
  const int slot = work.slot(layout, split) * layout.slot_floats;
  const float* mine = slots + slot + layout.rows_per_tile * kHeadDim;
  float highest[kRows], total[kRows];  // of the lane's node
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int row = partial_row(i, rows);
    highest[i] = begins ? __ldcg(mine + row) : 0.0f;
    total[i] = begins ? __ldcg(mine + layout.rows_per_tile + row) : 0.0f;
  }
  // Memory is busy with the next call's K and V, and a round trip takes long: as many as there is
  // room for at once, in registers and in shared memory, where each thread has its own place.
  constexpr int kHeld = 8;
  constexpr int kShared = kGatherBytes / (kRows * kConsumerThreads * 16);
  auto* place = reinterpret_cast<float4*>(buffer) + threadIdx.x;
  const auto pop = [](unsigned& from) {
    const int at = __ffs(static_cast<int>(from)) - 1;
    from &= from - 1;
    return at;
  };
  const auto sums_of = [&](int at) {
    return reinterpret_cast<const float4*>(slots + __shfl_sync(~0u, slot, at)) + lane;
  };
  const auto fold_node = [&](int at, const float4(&sum)[kRows]) {
    Partial part;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      part.highest[i] = __shfl_sync(~0u, highest[i], at);
      part.total[i] = __shfl_sync(~0u, total[i], at);
      part.sum[i] = sum[i];
    }
    fold<kRows>(all, part);
  };
  all.clear();
  while (nodes != 0) {
    float4 sum[kHeld][kRows];
    unsigned left = nodes;
#pragma unroll
    for (int n = 0; n < kHeld; ++n) {  // past the last node the last again: no branches
      const auto* from = sums_of(__ffs(static_cast<int>(left)) - 1);
      if ((left & (left - 1)) != 0 || n + 1 == kHeld) left &= left - 1;
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        sum[n][i] = load_stored(from + partial_row(i, rows) * (kHeadDim / 4));
      }
    }
#pragma unroll 1
    for (int n = 0; n < kShared && left != 0; ++n) {
      const auto* from = sums_of(pop(left));
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        copy_stored(place + (n * kRows + i) * kConsumerThreads,
                    from + partial_row(i, rows) * (kHeadDim / 4));
      }
    }
#pragma unroll
    for (int n = 0; n < kHeld; ++n) {
      if (nodes != 0) fold_node(pop(nodes), sum[n]);
    }
    wait_for_copies();
#pragma unroll 1
    for (int n = 0; n < kShared && nodes != 0; ++n) {
      float4 copied[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) copied[i] = place[(n * kRows + i) * kConsumerThreads];
      fold_node(pop(nodes), copied);
    }
  }
}

}  // namespace glmoe::cuda::decode
