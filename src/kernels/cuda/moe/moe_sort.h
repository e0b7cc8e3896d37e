// Slots in expert order: the permutation between tokens' choices and the rows that a grouped matrix
// product wants side by side. Stable, so the same choices give the same order.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace glmoe::cuda {

// Device memory; T tokens of K' slots, E' experts, shared ones included. A slot is t * K' + j.
struct MoeSortParams {
  const int32_t* expert_ids = nullptr;  // [T, K']; outside of 0..E'-1 (as -1): skipped
  int32_t* expert_offsets = nullptr;    // [E' + 1]: first position of each expert; last: how many
  int32_t* sorted_slot = nullptr;       // [T * K']: position -> slot, ascending within an expert;
                                        // -1 behind the last
  int32_t* position_of = nullptr;       // [T * K']: slot -> position, -1 where skipped
  void* workspace = nullptr;            // moe_sort_workspace_bytes(), which may be 0
  size_t workspace_bytes = 0;
  int64_t num_rows = 0;   // T, 0 to 2^20; 0 sets the offsets to 0
  int slots_per_row = 0;  // K': 1 to 40
  int num_experts = 0;    // E': 1 to 1032
};

// Enough for any num_rows up to max_rows.
size_t moe_sort_workspace_bytes(int64_t max_rows, int slots_per_row, int num_experts);

// Enqueues one kernel for few slots, two for many. Throws Error{kInvalidArgument} for parameters
// outside the above.
void launch_moe_sort(const MoeSortParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
