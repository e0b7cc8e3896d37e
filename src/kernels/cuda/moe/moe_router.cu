#include "kernels/cuda/moe/moe_router.h"

#include <algorithm>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/moe/moe_checks.h"
#include "kernels/cuda/moe/moe_logits.cuh"
#include "kernels/cuda/moe/moe_select.cuh"
#include "kernels/cuda/moe/moe_sort.cuh"
#include "kernels/cuda/moe/moe_sort.h"

namespace glmoe::cuda {
namespace {

constexpr int64_t kMaxRows = 1 << 20;

// One token to a part of 16: one kernel. A block has these tokens, 8 experts and a group of
// columns, a warp one segment of it; the last block selects and sorts.
constexpr int64_t kFewRows = 16;
constexpr int kPartRows = 16;  // of a matrix instruction
constexpr int kPartExperts = 8;
constexpr int kFewThreads = 32 * kSegmentsPerGroup;
static_assert(kFewRows == kPartRows);

// Some tokens: the same with 64 tokens and 16 experts a block, then a kernel that selects.
constexpr int64_t kSomeRows = 512;
constexpr int kSomeParts = 4;
constexpr int kSomeExpertParts = 2;

// Many tokens: a block has 64 of them and all experts (up to 160), a warp 16 experts; up to
// kSplitRows a group of columns as well, else a GPU's SMs would not all have work.
constexpr int64_t kSplitRows = 4096;
constexpr int kTileTokens = 64;
constexpr int kTileExperts = 160;
constexpr int kWarpExperts = 16;
constexpr int kMaxTileThreads = 32 * kTileExperts / kWarpExperts;
constexpr int kStages = 3;
// Columns of a row in shared memory: its 64 and 8 more, so that the rows that a warp reads at a
// time lie in different banks.
constexpr int kTilePitch = kSegment + 8;

constexpr int kSelectThreads = 256;
constexpr int kSelectWarps = kSelectThreads / 32;
// Slots that the selecting kernel's last block sorts itself.
constexpr int64_t kFusedSortSlots = kSelectWarps * kSlotsPerWarp;

// The workspace: tickets, the sort's workspace, partial logits.
constexpr size_t kTicketBytes = kMoeRouterZeroBytes;
constexpr int kMaxSlotsPerRow = kMoeMaxTopK + kMoeMaxShared;

struct Plan {
  int num_groups;      // of columns
  int num_partials;    // sums that a logit is handed over in
  bool fused_sort;     // one of the router's kernels sorts
  size_t partials_at;  // bytes
  size_t workspace_bytes;
};

int num_slots_per_row(const MoeRouterParams& p) { return p.top_k + p.num_shared; }

Plan make_plan(const MoeRouterParams& p, int64_t rows) {
  Plan plan{};
  plan.num_groups = (p.hidden_size + kGroup - 1) / kGroup;
  plan.num_partials = rows <= kSplitRows ? plan.num_groups : 1;
  plan.fused_sort = rows * num_slots_per_row(p) <= kFusedSortSlots;
  const size_t sort =
      moe_sort_workspace_bytes(rows, num_slots_per_row(p), p.num_experts + p.num_shared);
  plan.partials_at = kTicketBytes + (sort + 127) / 128 * 128;
  plan.workspace_bytes = plan.partials_at + static_cast<size_t>(plan.num_partials) *
                                                static_cast<size_t>(rows) *
                                                static_cast<size_t>(p.num_experts) * sizeof(float);
  return plan;
}

// What a lane needs of an expert's weights for a segment that begins, for this lane, at `column`.
__device__ void load_weights(const MoeRouterParams& p, int expert, int column,
                             float2 (&low)[kStepsPerSegment], float2 (&high)[kStepsPerSegment]) {
  const float* row = p.weight + static_cast<int64_t>(expert) * p.hidden_size;
  const auto load = [&](int at) {
    if (expert >= p.num_experts || at >= p.hidden_size) return make_float2(0.0f, 0.0f);
    return __ldg(reinterpret_cast<const float2*>(row + at));
  };
#pragma unroll
  for (int s = 0; s < kStepsPerSegment; ++s) {
    low[s] = load(column + s * kStep);
    high[s] = load(column + s * kStep + 8);
  }
}

// A lane's activations of a segment, rows `row` and `row` + 8.
__device__ void load_pairs(const MoeRouterParams& p, int64_t row, int column,
                           ActivationPairs (&pairs)[kStepsPerSegment]) {
  const float* from = p.x + row * p.hidden_size + column;
  const int columns_left = p.hidden_size - column;
#pragma unroll
  for (int low_or_high = 0; low_or_high < 2; ++low_or_high) {
    const int left = row + 8 * low_or_high < p.num_rows ? columns_left : 0;
#pragma unroll
    for (int s = 0; s < kStepsPerSegment; ++s) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int at = s * kStep + 8 * i;
        pairs[s][low_or_high + 2 * i] =
            at < left ? *reinterpret_cast<const float2*>(from + at) : make_float2(0.0f, 0.0f);
      }
    }
    from += 8 * p.hidden_size;
  }
}

// 16 bytes into shared memory, zeros where `inside` is false.
__device__ void copy_async(void* to, const void* from, bool inside) {
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
               "r"(inside ? 16 : 0));
}

// Columns from `column` on of rows first_row .. + num_rows - 1 (those inside the matrix), one
// segment of them, by `num_threads` threads of which this is number `thread`.
__device__ void load_rows(const float* matrix, int64_t matrix_rows, int hidden_size,
                          int64_t first_row, int num_rows, int column, int thread, int num_threads,
                          float* to) {
  constexpr int kCopied = 16 / sizeof(float);
  constexpr int kCopiesPerRow = kSegment / kCopied;
  const int step = num_threads / kCopiesPerRow;
  const int first = thread / kCopiesPerRow;
  const int at = thread % kCopiesPerRow * kCopied;
  const int rows_inside = column + at < hidden_size
                              ? static_cast<int>(min(matrix_rows - first_row, int64_t{num_rows}))
                              : 0;
  const float* from = matrix + (first_row + first) * hidden_size + column + at;
  to += first * kTilePitch + at;
  for (int row = first; row < num_rows; row += step) {
    copy_async(to, row < rows_inside ? from : matrix, row < rows_inside);
    from += static_cast<int64_t>(step) * hidden_size;
    to += step * kTilePitch;
  }
}

// A lane's activations of a step of a part of 16 rows, of which `part` is the first.
__device__ void load_part(const float* part, int column, int lane, ActivationPairs& pairs) {
  const float* own = part + lane / 4 * kTilePitch + column + 2 * (lane % 4);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    pairs[i] = *reinterpret_cast<const float2*>(own + i % 2 * 8 * kTilePitch + i / 2 * 8);
  }
}

// A block's sums of its warps' segments. A lane writes what the instruction leaves it.
template <int kRows, int kExperts>
struct SegmentSums {
  float values[kSegmentsPerGroup][kRows][kExperts];

  __device__ void write(int segment, int part, int expert_part, const float (&c)[4]) {
    const int lane = threadIdx.x % kWarp;
    float* own =
        &values[segment][part * kPartRows + lane / 4][expert_part * kPartExperts + 2 * (lane % 4)];
    own[0] = c[0], own[1] = c[1];
    own[8 * kExperts] = c[2], own[8 * kExperts + 1] = c[3];
  }
  // The sum of the segments, one after the other, to partials[blockIdx.y]; the block has
  // synchronised.
  __device__ void store(const MoeRouterParams& p, int64_t first_row, float* partials) {
    for (int i = threadIdx.x; i < kRows * kExperts; i += kFewThreads) {
      const int64_t t = first_row + i / kExperts;
      const int e = blockIdx.x * kExperts + i % kExperts;
      if (t >= p.num_rows || e >= p.num_experts) continue;
      float sum = 0.0f;
#pragma unroll
      for (int s = 0; s < kSegmentsPerGroup; ++s) {
        sum += values[s][i / kExperts][i % kExperts];
      }
      partials[(blockIdx.y * p.num_rows + t) * p.num_experts + e] = sum;
    }
  }
};

// Parts of 16 tokens that a warp holds in shared memory at a time, one behind the other.
constexpr int kPartsHeld = 2;

// Logits of kParts parts of 16 tokens by kExpertParts of 8 experts; blockIdx: experts, groups,
// tokens.
template <int kParts, int kExpertParts>
__device__ void make_partials(const MoeRouterParams& p, float* partials) {
  __shared__ SegmentSums<kParts * kPartRows, kExpertParts * kPartExperts> sums;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int column = blockIdx.y * kGroup + warp * kSegment + 2 * (lane % 4);
  // No kernel writes weights: their way from memory need not wait for an earlier kernel's end.
  float2 low[kExpertParts][kStepsPerSegment], high[kExpertParts][kStepsPerSegment];
#pragma unroll
  for (int n = 0; n < kExpertParts; ++n) {
    const int expert = (blockIdx.x * kExpertParts + n) * kPartExperts + lane / 4;
    load_weights(p, expert, column, low[n], high[n]);
  }
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t first_row = static_cast<int64_t>(blockIdx.z) * kParts * kPartRows;
  // Many rows go through shared memory, the warp's own: a lane's share of a row is short, and
  // loading it straight would take a quarter of a cache line at a time.
  extern __shared__ int shared[];
  float* rows = reinterpret_cast<float*>(shared) + warp * kPartsHeld * kPartRows * kTilePitch;
  const auto load = [&](int part) {
    if (part < kParts) {
      load_rows(p.x, p.num_rows, p.hidden_size, first_row + part * kPartRows, kPartRows,
                column - 2 * (lane % 4), lane, kWarp,
                rows + part % kPartsHeld * kPartRows * kTilePitch);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  if constexpr (kParts > 1) {
#pragma unroll
    for (int part = 0; part < kPartsHeld; ++part) load(part);
  }
  SplitWeight b[kExpertParts][kStepsPerSegment];
#pragma unroll
  for (int n = 0; n < kExpertParts; ++n) {
#pragma unroll
    for (int s = 0; s < kStepsPerSegment; ++s) b[n][s] = split_weight(low[n][s], high[n][s]);
  }
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    ActivationPairs x[kStepsPerSegment];
    if constexpr (kParts == 1) {
      load_pairs(p, first_row + lane / 4, column, x);
    } else {
      asm volatile("cp.async.wait_group %0;" ::"n"(kPartsHeld - 1) : "memory");
      __syncwarp();
#pragma unroll
      for (int s = 0; s < kStepsPerSegment; ++s) {
        load_part(rows + part % kPartsHeld * kPartRows * kTilePitch, s * kStep, lane, x[s]);
      }
      __syncwarp();
      load(part + kPartsHeld);
    }
    float c[kExpertParts][4] = {};
#pragma unroll
    for (int s = 0; s < kStepsPerSegment; ++s) {
      SplitActivations a;
      split_activations(x[s], a);
      for_term_pairs([&](int t, int w) {
#pragma unroll
        for (int n = 0; n < kExpertParts; ++n) {
          multiply(c[n], a[t], b[n][s].low[w], b[n][s].high[w]);
        }
      });
    }
#pragma unroll
    for (int n = 0; n < kExpertParts; ++n) sums.write(warp, part, n, c[n]);
  }
  __syncthreads();
  sums.store(p, first_row, partials);
}

template <int kPerLane>
__global__ void __launch_bounds__(kFewThreads, 1)
    few_kernel(const MoeRouterParams p, float* partials, unsigned* tickets) {
  __shared__ int ids[kFewRows * kMaxSlotsPerRow];
  extern __shared__ int shared[];
  make_partials<1, 1>(p, partials);
  const int num_rows = static_cast<int>(p.num_rows);
  const int num_valid = p.num_valid == nullptr ? num_rows : *p.num_valid;
  if (!last_block(tickets, gridDim.x * gridDim.y)) return;

  const int warp = threadIdx.x / kWarp;
  const int slots_per_row = p.top_k + p.num_shared;
  float* scratch = reinterpret_cast<float*>(shared) + warp * select_scratch_floats(p);
  for (int t = warp; t < num_rows; t += kFewThreads / kWarp) {
    route_token<kPerLane>(p, t, t >= num_valid, partials + t * p.num_experts,
                          p.num_rows * p.num_experts, gridDim.y, scratch, ids + t * slots_per_row);
  }
  if (p.expert_offsets == nullptr) return;
  __syncthreads();
  const int num_slots = num_rows * slots_per_row;
  const int num_experts = p.num_experts + p.num_shared;
  if (num_slots <= kPairwiseSlots) {
    sort_pairwise(ids, num_slots, num_experts, p.expert_offsets, p.sorted_slot, p.position_of);
  } else {
    sort_slots(p.expert_ids, num_slots, num_experts, p.expert_offsets, p.sorted_slot, p.position_of,
               shared);
  }
}

__global__ void __launch_bounds__(kFewThreads, 2)
    some_kernel(const MoeRouterParams p, float* partials) {
  make_partials<kSomeParts, kSomeExpertParts>(p, partials);
}

// Fragments of a warp's 64 tokens by 16 experts.
constexpr int kRowParts = kTileTokens / kPartRows;
constexpr int kExpertParts = kWarpExperts / kPartExperts;
using Sums = float[kRowParts][kExpertParts][4];

__device__ void add_to(Sums& total, const Sums& sums) {
#pragma unroll
  for (int r = 0; r < kRowParts; ++r) {
#pragma unroll
    for (int n = 0; n < kExpertParts; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) total[r][n][i] += sums[r][n][i];
    }
  }
}

// total += the segment's products, summed from zero.
__device__ void multiply_segment(const float* x, const float* weight, int lane, Sums& total) {
  Sums sums = {};
#pragma unroll
  for (int s = 0; s < kStepsPerSegment; ++s) {
    SplitWeight b[kExpertParts];
#pragma unroll
    for (int n = 0; n < kExpertParts; ++n) {
      const float* own =
          weight + (n * kPartExperts + lane / 4) * kTilePitch + s * kStep + 2 * (lane % 4);
      b[n] = split_weight(*reinterpret_cast<const float2*>(own),
                          *reinterpret_cast<const float2*>(own + 8));
    }
    SplitActivations a[kRowParts];
#pragma unroll
    for (int r = 0; r < kRowParts; ++r) {
      ActivationPairs pairs;
      load_part(x + r * kPartRows * kTilePitch, s * kStep, lane, pairs);
      split_activations(pairs, a[r]);
    }
    // What does not depend on each other side by side.
    for_term_pairs([&](int t, int w) {
#pragma unroll
      for (int r = 0; r < kRowParts; ++r) {
#pragma unroll
        for (int n = 0; n < kExpertParts; ++n) {
          multiply(sums[r][n], a[r][t], b[n].low[w], b[n].high[w]);
        }
      }
    });
  }
  add_to(total, sums);
}

// blockIdx: tokens, experts, groups. partials[blockIdx.z] gets the sum over the block's groups.
__global__ void __launch_bounds__(kMaxTileThreads, 1)
    tile_kernel(const MoeRouterParams p, float* partials, int experts_per_block,
                int groups_per_block) {
  extern __shared__ int shared[];
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kTileTokens;
  if (p.num_valid != nullptr && first_row >= *p.num_valid) return;
  const int first_expert = blockIdx.y * experts_per_block;
  const int first_segment = blockIdx.z * groups_per_block * kSegmentsPerGroup;
  const int num_segments = min(groups_per_block * kSegmentsPerGroup,
                               (p.hidden_size + kSegment - 1) / kSegment - first_segment);
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  float* x_stages = reinterpret_cast<float*>(shared);
  float* weight_stages = x_stages + kStages * kTileTokens * kTilePitch;
  const auto load = [&](int segment) {
    const int stage = segment % kStages;
    if (segment < num_segments) {
      const int column = (first_segment + segment) * kSegment;
      load_rows(p.x, p.num_rows, p.hidden_size, first_row, kTileTokens, column, threadIdx.x,
                blockDim.x, x_stages + stage * kTileTokens * kTilePitch);
      load_rows(p.weight, p.num_experts, p.hidden_size, first_expert, experts_per_block, column,
                threadIdx.x, blockDim.x, weight_stages + stage * experts_per_block * kTilePitch);
    }
    asm volatile("cp.async.commit_group;");
  };
  for (int s = 0; s < kStages - 1; ++s) load(s);
  const bool has_experts = warp * kWarpExperts < experts_per_block;
  Sums total = {}, group = {};
  for (int segment = 0; segment < num_segments; ++segment) {
    asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
    __syncthreads();
    load(segment + kStages - 1);
    const int stage = segment % kStages;
    if (!has_experts) continue;
    multiply_segment(x_stages + stage * kTileTokens * kTilePitch,
                     weight_stages + (stage * experts_per_block + warp * kWarpExperts) * kTilePitch,
                     lane, group);
    if (segment % kSegmentsPerGroup == kSegmentsPerGroup - 1 || segment == num_segments - 1) {
      add_to(total, group);
#pragma unroll
      for (int i = 0; i < kRowParts * kExpertParts * 4; ++i) (&group[0][0][0])[i] = 0.0f;
    }
  }
  if (!has_experts) return;
#pragma unroll
  for (int r = 0; r < kRowParts; ++r) {
#pragma unroll
    for (int n = 0; n < kExpertParts; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t row = first_row + r * kPartRows + lane / 4 + i / 2 * 8;
        const int e =
            first_expert + warp * kWarpExperts + n * kPartExperts + 2 * (lane % 4) + i % 2;
        if (row < p.num_rows && e < p.num_experts) {
          partials[(blockIdx.z * p.num_rows + row) * p.num_experts + e] = total[r][n][i];
        }
      }
    }
  }
}

// A warp a token. With `sort` the last block sorts.
template <int kPerLane>
__global__ void __launch_bounds__(kSelectThreads, 1)
    select_kernel(const MoeRouterParams p, const float* partials, int num_partials,
                  unsigned* tickets, bool sort) {
  extern __shared__ int shared[];
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int warp = threadIdx.x / kWarp;
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kSelectWarps + warp;
  if (t < p.num_rows) {
    route_token<kPerLane>(p, t, p.num_valid != nullptr && t >= *p.num_valid,
                          partials + t * p.num_experts, p.num_rows * p.num_experts, num_partials,
                          reinterpret_cast<float*>(shared) + warp * select_scratch_floats(p),
                          nullptr);
  }
  if (!sort || !last_block(tickets + 1, gridDim.x)) return;
  sort_slots(p.expert_ids, static_cast<int>(p.num_rows) * (p.top_k + p.num_shared),
             p.num_experts + p.num_shared, p.expert_offsets, p.sorted_slot, p.position_of, shared);
}

void check_params(const MoeRouterParams& p, const Plan& plan) {
  const ParamChecks checks("moe_router");
  if (p.num_rows == 0) return;
  checks.pointer("x", p.x, 16);
  checks.pointer("weight", p.weight, 16);
  checks.pointer("expert_ids", p.expert_ids, 4);
  checks.pointer("weights", p.weights, 4);
  const int given =
      (p.expert_offsets != nullptr) + (p.sorted_slot != nullptr) + (p.position_of != nullptr);
  if (given != 0 && given != 3) {
    checks.refuse("expert_offsets, sorted_slot and position_of: give all or none");
  }
  checks.workspace(p.workspace, p.workspace_bytes, plan.workspace_bytes, 16);
}

void check_shape(const MoeRouterParams& p) {
  const ParamChecks checks("moe_router");
  checks.in_range("num_rows", p.num_rows, 0, kMaxRows);
  checks.multiple_of("hidden_size", p.hidden_size, 8);
  checks.in_range("num_experts", p.num_experts, 1, kMoeMaxExperts);
  checks.in_range("top_k", p.top_k, 1, std::min(kMoeMaxTopK, p.num_experts));
  checks.in_range("num_shared", p.num_shared, 0, kMoeMaxShared);
  checks.in_range("n_group", p.n_group, 1, p.num_experts);
  if (p.num_experts % p.n_group != 0) {
    checks.refuse("n_group is " + std::to_string(p.n_group) + ", wanted a divisor of num_experts " +
                  std::to_string(p.num_experts));
  }
  checks.in_range("mode", static_cast<int>(p.mode), 0,
                  static_cast<int>(MoeRouterMode::kSigmoidBias));
}

// Calls f with the number of experts a lane has as a constant.
template <class F>
void with_per_lane(int num_experts, F f) {
  if (num_experts <= 4 * kWarp) return f(std::integral_constant<int, 4>());
  if (num_experts <= 5 * kWarp) return f(std::integral_constant<int, 5>());
  if (num_experts <= 8 * kWarp) return f(std::integral_constant<int, 8>());
  f(std::integral_constant<int, kMoeMaxExperts / kWarp>());
}

// Dynamic shared memory of the kernels that select.
size_t select_bytes(const MoeRouterParams& p, bool sort) {
  const int ints = sort ? sort_shared_ints(kSelectWarps, p.num_experts + p.num_shared) : 0;
  static_assert(kFewThreads == kSelectThreads && kSelectWarps <= kMaxSelectWarps);
  return sizeof(int) * static_cast<size_t>(std::max(ints, kSelectWarps * select_scratch_floats(p)));
}

unsigned blocks_for(int64_t items, int per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

void launch_few(const MoeRouterParams& p, const Plan& plan, float* partials, cudaStream_t stream) {
  with_per_lane(p.num_experts, [&](auto per_lane) {
    const size_t bytes = select_bytes(p, p.expert_offsets != nullptr);
    const auto kernel = few_kernel<decltype(per_lane)::value>;
    allow_shared(reinterpret_cast<const void*>(kernel), bytes);
    launch_kernel(
        kernel,
        dim3(blocks_for(p.num_experts, kPartExperts), static_cast<unsigned>(plan.num_groups)),
        dim3(kFewThreads), bytes, stream, p, partials, static_cast<unsigned*>(p.workspace));
  });
}

void launch_some(const MoeRouterParams& p, const Plan& plan, float* partials, cudaStream_t stream) {
  constexpr size_t kBytes = sizeof(float) * kSegmentsPerGroup * kPartsHeld * kPartRows * kTilePitch;
  allow_shared(reinterpret_cast<const void*>(some_kernel), kBytes);
  launch_kernel(
      some_kernel,
      dim3(blocks_for(p.num_experts, kSomeExpertParts * kPartExperts),
           static_cast<unsigned>(plan.num_groups), blocks_for(p.num_rows, kSomeParts * kPartRows)),
      dim3(kFewThreads), kBytes, stream, p, partials);
}

void launch_tiles(const MoeRouterParams& p, const Plan& plan, float* partials,
                  cudaStream_t stream) {
  const unsigned blocks = blocks_for(p.num_experts, kTileExperts);
  const int per_block = kWarpExperts * static_cast<int>(blocks_for(
                                           p.num_experts, static_cast<int>(blocks) * kWarpExperts));
  // Warps beyond the experts help to load.
  const int warps = std::max(per_block / kWarpExperts, 4);
  const size_t bytes =
      kStages * kTilePitch * (kTileTokens + static_cast<size_t>(per_block)) * sizeof(float);
  const int groups_per_block = plan.num_partials == 1 ? plan.num_groups : 1;
  allow_shared(reinterpret_cast<const void*>(tile_kernel), bytes);
  launch_kernel(
      tile_kernel,
      dim3(blocks_for(p.num_rows, kTileTokens), blocks, static_cast<unsigned>(plan.num_partials)),
      dim3(static_cast<unsigned>(warps * kWarp)), bytes, stream, p, partials, per_block,
      groups_per_block);
}

void launch_select(const MoeRouterParams& p, const Plan& plan, const float* partials,
                   cudaStream_t stream) {
  with_per_lane(p.num_experts, [&](auto per_lane) {
    const bool sort = plan.fused_sort && p.expert_offsets != nullptr;
    const size_t bytes = select_bytes(p, sort);
    const auto kernel = select_kernel<decltype(per_lane)::value>;
    allow_shared(reinterpret_cast<const void*>(kernel), bytes);
    launch_kernel(kernel, dim3(blocks_for(p.num_rows, kSelectWarps)), dim3(kSelectThreads), bytes,
                  stream, p, partials, plan.num_partials, static_cast<unsigned*>(p.workspace),
                  sort);
  });
}

void launch_for(const MoeRouterParams& p, const Plan& plan, float* partials, cudaStream_t stream) {
  if (p.num_rows <= kFewRows) return launch_few(p, plan, partials, stream);
  if (p.num_rows <= kSomeRows) {
    launch_some(p, plan, partials, stream);
  } else {
    launch_tiles(p, plan, partials, stream);
  }
  launch_select(p, plan, partials, stream);
}

}  // namespace

size_t moe_router_workspace_bytes(int64_t max_rows, const MoeRouterParams& shape) {
  const size_t split = make_plan(shape, std::min(max_rows, kSplitRows)).workspace_bytes;
  return std::max(split, make_plan(shape, max_rows).workspace_bytes);
}

void launch_moe_router(const MoeRouterParams& p, cudaStream_t stream) {
  check_shape(p);
  const Plan plan = make_plan(p, p.num_rows);
  check_params(p, plan);
  if (p.num_rows == 0) return;
  char* workspace = static_cast<char*>(p.workspace);
  float* partials = reinterpret_cast<float*>(workspace + plan.partials_at);
  launch_for(p, plan, partials, stream);
  if (p.expert_offsets == nullptr || plan.fused_sort) return;
  launch_moe_sort({.expert_ids = p.expert_ids,
                   .expert_offsets = p.expert_offsets,
                   .sorted_slot = p.sorted_slot,
                   .position_of = p.position_of,
                   .workspace = workspace + kTicketBytes,
                   .workspace_bytes = plan.partials_at - kTicketBytes,
                   .num_rows = p.num_rows,
                   .slots_per_row = num_slots_per_row(p),
                   .num_experts = p.num_experts + p.num_shared},
                  stream);
}

}  // namespace glmoe::cuda
