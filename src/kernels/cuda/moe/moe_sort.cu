#include "kernels/cuda/moe/moe_sort.h"

#include <algorithm>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/moe/moe_checks.h"
#include "kernels/cuda/moe/moe_sort.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kMaxSlotsPerRow = 40;
constexpr int64_t kMaxRows = 1 << 20;
constexpr int kMaxOneBlockThreads = 1024;
constexpr int64_t kOneBlockSlots = kMaxOneBlockThreads / 32 * kSlotsPerWarp;
// The version for many.
constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr int kSlotsPerBlock = kWarps * kSlotsPerWarp;

__global__ void __launch_bounds__(kMaxOneBlockThreads) sort_few_kernel(const MoeSortParams p) {
  extern __shared__ int shared[];
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int num_slots = static_cast<int>(p.num_rows * p.slots_per_row);
  if (num_slots <= kPairwiseSlots) {
    for (int i = threadIdx.x; i < num_slots; i += blockDim.x) shared[i] = p.expert_ids[i];
    __syncthreads();
    sort_pairwise(shared, num_slots, p.num_experts, p.expert_offsets, p.sorted_slot, p.position_of);
  } else {
    sort_slots(p.expert_ids, num_slots, p.num_experts, p.expert_offsets, p.sorted_slot,
               p.position_of, shared);
  }
}

// workspace[block][E'] gets the counts of the blocks' slots, position_of the slots' ranks among
// those of their block.
__global__ void __launch_bounds__(kThreads) count_kernel(const MoeSortParams p) {
  extern __shared__ int shared[];
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int num_experts = p.num_experts;
  for (int i = threadIdx.x; i < kWarps * num_experts; i += kThreads) shared[i] = 0;
  __syncthreads();
  int* counts = shared + threadIdx.x / 32 * num_experts;
  const int64_t num_slots = p.num_rows * p.slots_per_row;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kSlotsPerBlock +
                        static_cast<int64_t>(threadIdx.x / 32) * kSlotsPerWarp;
  LaneSlots slots;
  rank_slots(p.expert_ids, begin, min(begin + kSlotsPerWarp, num_slots), num_experts, counts,
             slots);
  __syncthreads();
  int* totals = static_cast<int*>(p.workspace) + static_cast<int64_t>(blockIdx.x) * num_experts;
  sum_over_warps(shared, num_experts, totals);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kSlotsPerLane; ++i) {
    const int64_t slot = begin + 32 * i + threadIdx.x % 32;
    if (slot >= num_slots) break;
    const int expert = slots.expert[i];
    p.position_of[slot] = expert >= 0 ? counts[expert] + slots.rank[i] : -1;
  }
}

// Every block sums all blocks' counts for itself: they are few.
__global__ void __launch_bounds__(kThreads) place_kernel(const MoeSortParams p) {
  extern __shared__ int shared[];
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int num_experts = p.num_experts;
  int* offsets = shared;                   // [E' + 1]
  int* before = shared + num_experts + 1;  // [E']: slots of earlier blocks
  const int* counts = static_cast<const int*>(p.workspace);
  for (int e = threadIdx.x; e < num_experts; e += kThreads) {
    int sum = 0, sum_before = 0;
#pragma unroll 16
    for (unsigned b = 0; b < gridDim.x; ++b) {
      const int count = counts[static_cast<int64_t>(b) * num_experts + e];
      sum += count;
      if (b < blockIdx.x) sum_before += count;
    }
    offsets[e] = sum;
    before[e] = sum_before;
  }
  __syncthreads();
  scan_block(offsets, num_experts);
  if (blockIdx.x == 0) {
    for (int e = threadIdx.x; e <= num_experts; e += kThreads) p.expert_offsets[e] = offsets[e];
  }
  const int total = offsets[num_experts];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kSlotsPerBlock;
#pragma unroll
  for (int i = 0; i < kSlotsPerLane; ++i) {
    const int64_t slot = begin + i * kThreads + threadIdx.x;
    if (slot >= p.num_rows * p.slots_per_row) break;
    const int rank = p.position_of[slot];
    if (rank >= 0) {
      const int expert = p.expert_ids[slot];
      const int position = offsets[expert] + before[expert] + rank;
      p.position_of[slot] = position;
      p.sorted_slot[position] = static_cast<int32_t>(slot);
    }
    if (slot >= total) p.sorted_slot[slot] = -1;
  }
}

size_t num_blocks(int64_t num_slots) {
  return static_cast<size_t>((num_slots + kSlotsPerBlock - 1) / kSlotsPerBlock);
}

void check_params(const MoeSortParams& p) {
  const ParamChecks checks("moe_sort");
  checks.in_range("num_rows", p.num_rows, 0, kMaxRows);
  checks.in_range("slots_per_row", p.slots_per_row, 1, kMaxSlotsPerRow);
  checks.in_range("num_experts", p.num_experts, 1, kMaxSortExperts);
  checks.pointer("expert_offsets", p.expert_offsets, 4);
  if (p.num_rows == 0) return;
  checks.pointer("expert_ids", p.expert_ids, 4);
  checks.pointer("sorted_slot", p.sorted_slot, 4);
  checks.pointer("position_of", p.position_of, 4);
  checks.workspace(p.workspace, p.workspace_bytes,
                   moe_sort_workspace_bytes(p.num_rows, p.slots_per_row, p.num_experts), 4);
}

}  // namespace

size_t moe_sort_workspace_bytes(int64_t max_rows, int slots_per_row, int num_experts) {
  const int64_t num_slots = max_rows * slots_per_row;
  if (num_slots <= kOneBlockSlots) return 0;
  return num_blocks(num_slots) * static_cast<size_t>(num_experts) * sizeof(int);
}

void launch_moe_sort(const MoeSortParams& params, cudaStream_t stream) {
  check_params(params);
  const int64_t num_slots = params.num_rows * params.slots_per_row;
  const int num_experts = params.num_experts;
  if (num_slots <= kOneBlockSlots) {
    // Two or more rounds a warp keep the sum over warps short.
    const int64_t warps = std::clamp<int64_t>((num_slots + 63) / 64, 8, kMaxOneBlockThreads / 32);
    const size_t bytes =
        sizeof(int) * static_cast<size_t>(std::max(
                          sort_shared_ints(static_cast<int>(warps), num_experts), kPairwiseSlots));
    allow_shared(reinterpret_cast<const void*>(sort_few_kernel), bytes);
    launch_kernel(sort_few_kernel, dim3(1), dim3(static_cast<unsigned>(32 * warps)), bytes, stream,
                  params);
    return;
  }
  const size_t bytes = sizeof(int) * static_cast<size_t>(kWarps * num_experts);
  const dim3 grid(static_cast<unsigned>(num_blocks(num_slots)));
  allow_shared(reinterpret_cast<const void*>(count_kernel), bytes);
  launch_kernel(count_kernel, grid, dim3(kThreads), bytes, stream, params);
  launch_kernel(place_kernel, grid, dim3(kThreads),
                sizeof(int) * static_cast<size_t>(2 * num_experts + 1), stream, params);
}

}  // namespace glmoe::cuda
