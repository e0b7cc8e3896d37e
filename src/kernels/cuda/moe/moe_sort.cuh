// Parts of the stable counting sort by expert, for its own kernels and for the router's last block.
// A warp walks its slots in order, 32 at a time; slots of the same expert among the 32 find each
// other by ballots, so no atomic operation decides an order.
#pragma once

#include <cstdint>

namespace glmoe::cuda {

inline constexpr int kMaxSortExperts = 1032;
// Slots of one lane, in registers: all its loads are under way at once.
inline constexpr int kSlotsPerLane = 8;
inline constexpr int kSlotsPerWarp = 32 * kSlotsPerLane;
// Up to here each slot looks at all others: less than any counting.
inline constexpr int kPairwiseSlots = 256;

// Lanes with the same value, of which the lowest `num_bits` bits count. A ballot a bit is many
// times faster than __match_any_sync, which takes more than a hundred cycles of a whole SM.
__device__ inline unsigned lanes_with_same(unsigned value, int num_bits) {
  unsigned same = 0xffffffffu;
  for (int bit = 0; bit < num_bits; ++bit) {
    const bool set = value >> bit & 1;
    const unsigned with = __ballot_sync(0xffffffffu, set);
    same &= set ? with : ~with;
  }
  return same;
}

struct LaneSlots {
  int expert[kSlotsPerLane];  // -1: none
  int rank[kSlotsPerLane];    // among the warp's slots of the expert
};

// The experts of slots begin..end-1 (at most kSlotsPerWarp) and their ranks; counts[E'], the warp's
// own, gets how many of each there are on top of zeros. Ids of this kernel's other blocks may be
// among them: past the L1.
__device__ inline void rank_slots(const int32_t* ids, int64_t begin, int64_t end, int num_experts,
                                  int* counts, LaneSlots& slots) {
  const int lane = threadIdx.x % 32;
  // Skipped slots count as one expert more.
  const int num_bits = 32 - __clz(num_experts);
#pragma unroll
  for (int i = 0; i < kSlotsPerLane; ++i) {
    const int64_t slot = begin + 32 * i + lane;
    slots.expert[i] = slot < end ? __ldcg(ids + slot) : -1;
  }
#pragma unroll
  for (int i = 0; i < kSlotsPerLane; ++i) {
    if (begin + 32 * i >= end) break;
    if (slots.expert[i] >= num_experts || slots.expert[i] < 0) slots.expert[i] = -1;
    const int expert = slots.expert[i];
    const unsigned same =
        lanes_with_same(static_cast<unsigned>(expert >= 0 ? expert : num_experts), num_bits);
    const unsigned before = same & ((1u << lane) - 1);
    const int base = expert >= 0 ? counts[expert] : 0;
    __syncwarp();
    if (expert >= 0 && before == 0) counts[expert] = base + __popc(same);
    __syncwarp();
    slots.rank[i] = base + __popc(before);
  }
}

// counts[warp][E'] become the sums over the warps before; totals[E'] those over all.
__device__ inline void sum_over_warps(int* counts, int num_experts, int* totals) {
  constexpr int kAtOnce = 8;
  const int num_warps = blockDim.x / 32;
  for (int e = threadIdx.x; e < num_experts; e += blockDim.x) {
    int sum = 0;
    for (int first = 0; first < num_warps; first += kAtOnce) {
      int own[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        own[i] = first + i < num_warps ? counts[(first + i) * num_experts + e] : 0;
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (first + i < num_warps) counts[(first + i) * num_experts + e] = sum;
        sum += own[i];
      }
    }
    totals[e] = sum;
  }
}

// values[count] become the sums of those before, values[count] the sum of all. The whole block,
// which has synchronised since they were written, and has again at the end.
__device__ inline void scan_block(int* values, int count) {
  __shared__ int chunk_sums[kMaxSortExperts / 32 + 1];
  const int lane = threadIdx.x % 32;
  const int num_chunks = (count + 31) / 32;
  for (int chunk = threadIdx.x / 32; chunk < num_chunks; chunk += blockDim.x / 32) {
    const int at = 32 * chunk + lane;
    const int own = at < count ? values[at] : 0;
    int sum = own;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, sum, distance);
      if (lane >= distance) sum += other;
    }
    if (at < count) values[at] = sum - own;
    if (lane == 31) chunk_sums[chunk] = sum;
  }
  __syncthreads();
  for (int at = threadIdx.x; at <= count; at += blockDim.x) {
    int before = 0;
    for (int chunk = 0; chunk < (at == count ? num_chunks : at / 32); ++chunk) {
      before += chunk_sums[chunk];
    }
    values[at] = before + (at < count ? values[at] : 0);
  }
  __syncthreads();
}

// The sort of few slots by pairs; ids in shared memory, written before the block's last barrier.
__device__ inline void sort_pairwise(const int* ids, int num_slots, int num_experts,
                                     int32_t* expert_offsets, int32_t* sorted_slot,
                                     int32_t* position_of) {
  // As an unsigned number a skipped slot is above all experts.
  const auto id = [&](int slot) { return static_cast<unsigned>(ids[slot]); };
  const unsigned end = static_cast<unsigned>(num_experts);
  for (int i = threadIdx.x; i < num_slots + num_experts + 1; i += blockDim.x) {
    const bool is_slot = i < num_slots;
    const unsigned own = is_slot ? id(i) : static_cast<unsigned>(i - num_slots);
    int position = 0, total = 0;
#pragma unroll 8
    for (int j = 0; j < num_slots; ++j) {
      const unsigned other = id(j);
      position += other < own || (is_slot && other == own && j < i);
      total += other < end;
    }
    if (!is_slot) {
      expert_offsets[own] = position;
      continue;
    }
    position_of[i] = own < end ? position : -1;
    if (own < end) sorted_slot[position] = i;
    if (i >= total) sorted_slot[i] = -1;
  }
}

// Ints of shared memory that sort_slots needs.
__host__ __device__ inline int sort_shared_ints(int num_warps, int num_experts) {
  return num_warps * num_experts + num_experts + 1;
}

// The sort by one block, at most kSlotsPerWarp slots a warp; all its threads call it.
__device__ inline void sort_slots(const int32_t* ids, int num_slots, int num_experts,
                                  int32_t* expert_offsets, int32_t* sorted_slot,
                                  int32_t* position_of, int* shared) {
  const int warp = threadIdx.x / 32;
  const int num_warps = blockDim.x / 32;
  int* counts = shared;                             // [warp][E']
  int* offsets = shared + num_warps * num_experts;  // [E' + 1]
  for (int i = threadIdx.x; i < num_warps * num_experts; i += blockDim.x) counts[i] = 0;
  __syncthreads();
  const int per_warp = (num_slots + 32 * num_warps - 1) / (32 * num_warps) * 32;
  const int begin = min(warp * per_warp, num_slots);
  LaneSlots slots;
  rank_slots(ids, begin, min(begin + per_warp, num_slots), num_experts, counts + warp * num_experts,
             slots);
  __syncthreads();
  sum_over_warps(counts, num_experts, offsets);
  __syncthreads();
  scan_block(offsets, num_experts);
  for (int e = threadIdx.x; e <= num_experts; e += blockDim.x) expert_offsets[e] = offsets[e];
  const int total = offsets[num_experts];
#pragma unroll
  for (int i = 0; i < kSlotsPerLane; ++i) {
    const int slot = begin + 32 * i + static_cast<int>(threadIdx.x % 32);
    if (32 * i >= per_warp || slot >= num_slots) break;
    const int expert = slots.expert[i];
    const int position =
        expert >= 0 ? offsets[expert] + counts[warp * num_experts + expert] + slots.rank[i] : -1;
    position_of[slot] = position;
    if (position >= 0) sorted_slot[position] = slot;
    if (slot >= total) sorted_slot[slot] = -1;
  }
}

// True in all threads of the last of `num_blocks` blocks to call it with this ticket, which is then
// 0 again; what the others wrote before is seen there by loads past the L1.
__device__ inline bool last_block(unsigned* ticket, unsigned num_blocks) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    // What the block's threads wrote is before the barrier and so is released here; what the other
    // blocks released is acquired.
    unsigned before;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
                 : "=r"(before)
                 : "l"(ticket)
                 : "memory");
    last = before == num_blocks - 1;
    if (last) *ticket = 0;
  }
  __syncthreads();
  return last;
}

}  // namespace glmoe::cuda
