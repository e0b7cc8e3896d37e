#include "kernels/cuda/attention/attention_decode.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/cuda/attention/attention_checks.h"
#include "kernels/cuda/attention/decode_partial.cuh"
#include "kernels/cuda/attention/decode_tile.cuh"
#include "kernels/cuda/attention/decode_work.cuh"
#include "kernels/cuda/attention/kv_tiles.cuh"
#include "kernels/cuda/common/launch.cuh"

namespace glmoe::cuda {
namespace decode {
namespace {

constexpr const char* kOp = "attention_decode";
constexpr int kThreads = kConsumerThreads + 32;
constexpr int kStages = 5;
constexpr int kStageBytes = 2 * kPlaneBytes<kDecodeTile>;
// Tiles under way while the kernel before is not done: enough to keep memory busy. More would queue
// in front of what its last blocks still have to read.
constexpr int kEarlyTiles = 2;
constexpr int kSharedAlignment = 1024;

struct Shared {
  unsigned char stages[kStages][kStageBytes];
  alignas(16) float sums[kGatherBytes / sizeof(float)];  // of the warps, of stored nodes
  uint64_t full[kStages], empty[kStages];
  uint64_t earlier_done;  // the consumers have waited for earlier kernels
  bool last;              // of last_to_store
  DecodeWork start;       // of this block
  int tiles_before[kMaxDecodeSequences + 1];
  int kv_lens[kMaxDecodeSequences];
  int rows[kMaxDecodeSequences];
};

struct KernelParams {
  AttentionDecodeParams p;
  DecodeLayout layout;
  KvCacheShape cache;
  int64_t qkv_width;
  float score_scale;  // D^-0.5 * log2(e): softmax in powers of two
  int* counters;      // [S * pairs], zero between calls
  float* slots;
};

// Stages are filled and emptied in turn.
struct StageCursor {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

// The warp that keeps the stages full.
struct Producer {
  const KernelParams& k;
  const CUtensorMap* map;
  Shared& shared;
  BlockTableWindow window;
  StageCursor at;
  int sequence = -1, kv_len = 0;
  bool has_waited = false;
  int num_started = 0;  // tiles, until all stages have had one

  __device__ void wait_for_stage() {
    barrier_wait(&shared.empty[at.stage], at.parity ^ 1);
    if (num_started == kStages) return;
    if (num_started >= kEarlyTiles) {
      uint64_t* earlier_tile = &shared.full[num_started - kEarlyTiles];
      while (!barrier_is_done(earlier_tile, 0) && !barrier_is_done(&shared.earlier_done, 0)) {
      }
    }
    ++num_started;
  }
  __device__ void wait_for_writes() {
    if (!has_waited) wait_for_earlier_kernels();
    has_waited = true;
  }

  // Only a sequence's last tile has a position that the kernel before this one writes: the others
  // need not wait for it.
  __device__ void run() {
    for (DecodeWork work = shared.start; !work.done(k.layout); work.next(k.layout)) {
      if (work.sequence != sequence) {
        sequence = work.sequence;
        kv_len = shared.kv_lens[sequence];
        window.reset(k.p.block_tables + sequence * k.p.block_table_stride,
                     (kv_len + k.p.kv.tokens_per_block - 1) >> k.cache.page_log2);
      }
      const int head = work.pair / k.layout.head_tiles;
      for (int tile = work.tile_begin(); tile < work.tile_end(); ++tile) {
        wait_for_stage();
        if (tile + 1 == work.splits.num_tiles) wait_for_writes();
        load_kv_tile<kDecodeTile, 2, true>(map, k.cache, window, head, tile * kDecodeTile, kv_len,
                                           0, shared.stages[at.stage], &shared.full[at.stage]);
        at.next();
      }
    }
  }
};

// One thread's addition that the writes of its block come before and the reads after it follow.
__device__ int add_ordered(int* counter, int number) {
  int before;
  asm volatile("atom.add.acq_rel.gpu.global.s32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(counter), "r"(number)
               : "memory");
  return before;
}

// The warps that compute.
template <class T>
struct Consumer {
  const KernelParams& k;
  Shared& shared;
  StageCursor at;
  QueryFragments q;

  // This warp's part of the split that `work` stands at.
  __device__ void attend_split(const DecodeWork& work, int kv_len, WarpSums& sums) {
    sums.clear();
    const int first_token = static_cast<int>(threadIdx.x / 32) * kTokensPerWarp;
    for (int tile = work.tile_begin(); tile < work.tile_end(); ++tile) {
      barrier_wait(&shared.full[at.stage], at.parity);
      const int valid = kv_len - tile * kDecodeTile - first_token;
      if (valid > 0) attend<T>(q, shared.stages[at.stage], valid, k.score_scale, sums);
      __syncwarp();
      if (threadIdx.x % 32 == 0) barrier_arrive(&shared.empty[at.stage]);
      at.next();
    }
  }

  // Adds `num_stored` splits to those of the pair that are stored. True in the block that completes
  // them, which then sees all.
  __device__ bool last_to_store(const DecodeWork& work, int num_stored) {
    sync_consumers();
    if (threadIdx.x == 0) {
      int* counter = k.counters + work.sequence * k.layout.pairs_per_sequence() + work.pair;
      const bool last = add_ordered(counter, num_stored) + num_stored == work.splits.num_splits;
      if (last) *counter = 0;  // for the next call
      shared.last = last;
    }
    sync_consumers();
    return shared.last;
  }

  // The splits that the block has of the pair that `work` stands at; leaves it at the last.
  __device__ void attend_pair(DecodeWork& work) {
    const int first_row = work.pair % k.layout.head_tiles * k.layout.rows_per_tile;
    const int rows = min(k.layout.rows_per_tile, k.layout.group - first_row);
    const int head = work.pair / k.layout.head_tiles * k.layout.group + first_row;
    const int kv_len = shared.kv_lens[work.sequence];
    const int64_t row = shared.rows[work.sequence];
    load_queries(static_cast<const T*>(k.p.qkv) + row * k.qkv_width + head * kHeadDim, rows, q);
    const int first = work.split, end = work.end_of_pair();
    // The first splits, folded, have the slot of the first.
    const auto store = [&](const Partial& node) {
      store_node(node,
                 k.slots + work.slot(k.layout, first == 0 ? 0 : work.split) * k.layout.slot_floats,
                 rows, k.layout.rows_per_tile);
    };
    Partial all;
    all.clear();
    while (true) {
      WarpSums warp_sums;
      attend_split(work, kv_len, warp_sums);
      Partial part;
      merge_warps(warp_sums, shared.sums, rows, part);
      if (first == 0) {
        fold(all, part);
      } else {
        store(part);
      }
      if (work.split + 1 == end) break;
      work.next(k.layout);
    }
    if (first > 0 || end < work.splits.num_splits) {
      if (first == 0) store(all);
      if (!last_to_store(work, end - first)) return;
      constexpr int kFewRows = 3;  // of a thread: all that a group of twelve has
      if (rows <= kFewRows * kConsumers) {
        gather<kFewRows>(k.slots, work, k.layout, rows, shared.sums, all);
      } else {
        gather<kRowsPerWarp>(k.slots, work, k.layout, rows, shared.sums, all);
      }
    }
    write_out(all, static_cast<T*>(k.p.out) + (row * k.p.heads.num_heads + head) * kHeadDim, rows);
  }

  __device__ void run() {
    for (DecodeWork work = shared.start; !work.done(k.layout); work.next(k.layout)) {
      attend_pair(work);
    }
  }
};

// One warp lays the sequences' tiles end to end and finds where the block begins.
__device__ void find_work(const KernelParams& k, Shared& shared) {
  const AttentionDecodeParams& p = k.p;
  const int lane = threadIdx.x % 32;
  int carried = 0, last = 0;  // tiles: of all before, of the last sequence that has any
  if (lane == 0) shared.tiles_before[0] = 0;
  constexpr int kAtOnce = 8;  // times 32, read together
#pragma unroll 1
  for (int first = 0; first < p.num_sequences; first += kAtOnce * 32) {
    int kv_lens[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int sequence = first + i * 32 + lane;
      const bool exists = sequence < p.num_sequences;
      kv_lens[i] = exists ? p.kv_len[sequence] : 0;
      if (exists) shared.rows[sequence] = p.row[sequence];
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i * 32 >= p.num_sequences) break;
      const int sequence = first + i * 32 + lane;
      const int tiles = (max(kv_lens[i], 0) + kDecodeTile - 1) / kDecodeTile;
      int sum = tiles;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const int other = __shfl_up_sync(~0u, sum, distance);
        if (lane >= distance) sum += other;
      }
      if (sequence < p.num_sequences) {
        shared.tiles_before[sequence + 1] = carried + sum;
        shared.kv_lens[sequence] = kv_lens[i];
      }
      carried += __shfl_sync(~0u, sum, 31);
      const unsigned some = __ballot_sync(~0u, tiles > 0);
      if (some != 0) last = __shfl_sync(~0u, tiles, 31 - __clz(static_cast<int>(some)));
    }
  }
  __syncwarp();
  if (lane == 0) {
    DecodeWork& start = shared.start;
    start.tiles_before = shared.tiles_before;
    start.shares =
        DecodeShares::of(k.layout, carried * k.layout.pairs_per_sequence(),
                         DecodeSplits::of(max(last, 1), k.layout.max_splits_log2).tiles_per_split);
    start.start(k.layout);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    attention_decode_kernel(const __grid_constant__ KernelParams k,
                            const __grid_constant__ CUtensorMap map) {
  extern __shared__ unsigned char raw[];
  const uint32_t misaligned = shared_address(raw) % kSharedAlignment;
  Shared& shared =
      *reinterpret_cast<Shared*>(raw + (misaligned == 0 ? 0 : kSharedAlignment - misaligned));
  let_next_kernel_start();
  if (threadIdx.x == kConsumerThreads) {
    prefetch_map(&map);
    barrier_init(&shared.earlier_done, 1);
    for (int s = 0; s < kStages; ++s) {
      barrier_init(&shared.full[s], 1);
      barrier_init(&shared.empty[s], kConsumers);
    }
    barrier_init_fence();
  }
  if (threadIdx.x < 32) find_work(k, shared);
  __syncthreads();
  if (threadIdx.x >= kConsumerThreads) {
    Producer{k, &map, shared}.run();
  } else {
    wait_for_earlier_kernels();
    if (threadIdx.x == 0) barrier_arrive(&shared.earlier_done);
    Consumer<T>{k, shared}.run();
  }
}

constexpr size_t kSharedBytes = sizeof(Shared) + kSharedAlignment;

DecodeLayout layout_of(const AttentionHeads& heads, int num_sequences, int num_sms) {
  DecodeLayout layout{};
  layout.num_sequences = num_sequences;
  layout.num_kv_heads = heads.num_kv_heads;
  layout.group = heads.group();
  layout.head_tiles = (layout.group + kMmaRows - 1) / kMmaRows;
  layout.rows_per_tile = (layout.group + layout.head_tiles - 1) / layout.head_tiles;
  layout.max_splits_log2 =
      std::countr_zero(static_cast<unsigned>(attention_decode_max_splits(heads)));
  layout.share_factor = 16.0f / static_cast<float>(num_sms);
  layout.slot_floats = (layout.rows_per_tile * (kHeadDim + 2) + 3) / 4 * 4;
  return layout;
}

size_t counter_bytes(const DecodeLayout& layout) {
  const size_t bytes =
      sizeof(int) * kMaxDecodeSequences * static_cast<size_t>(layout.pairs_per_sequence());
  return (bytes + 127) / 128 * 128;
}

void check_params(const AttentionDecodeParams& p, size_t wanted_bytes) {
  if (p.num_sequences < 0 || p.num_sequences > kMaxDecodeSequences) {
    refuse_attention(kOp, "num_sequences is " + std::to_string(p.num_sequences) + ", wanted 0 to " +
                              std::to_string(kMaxDecodeSequences));
  }
  check_attention_pointer(kOp, "qkv", p.qkv, 16);
  check_attention_pointer(kOp, "out", p.out, 16);
  check_attention_pointer(kOp, "row", p.row, 4);
  check_attention_pointer(kOp, "kv_len", p.kv_len, 4);
  check_attention_pointer(kOp, "block_tables", p.block_tables, 4);
  check_attention_pointer(kOp, "workspace", p.workspace, 128);
  if (p.block_table_stride < 1) {
    refuse_attention(kOp, "block_table_stride is " + std::to_string(p.block_table_stride) +
                              ", wanted the number of blocks of the longest sequence");
  }
  if (p.workspace_bytes < wanted_bytes) {
    refuse_attention(kOp, "workspace_bytes is " + std::to_string(p.workspace_bytes) + ", wanted " +
                              std::to_string(wanted_bytes) +
                              " or more: ask attention_decode_workspace_bytes");
  }
}

template <class T>
void launch(const KernelParams& k, const CUtensorMap& map, int num_sms, cudaStream_t stream) {
  const auto kernel = attention_decode_kernel<T>;
  GLMOE_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(kSharedBytes)));
  launch_kernel(kernel, static_cast<unsigned>(num_sms), kThreads, kSharedBytes, stream, k, map);
}

}  // namespace
}  // namespace decode

int attention_decode_max_splits(const AttentionHeads& heads) {
  // About a split for each multiprocessor of the largest GPU when one sequence is alone; 32 is
  // what a warp gathers.
  const int splits = std::clamp(128 / std::max(heads.num_kv_heads, 1), 4, 32);
  return static_cast<int>(std::bit_floor(static_cast<unsigned>(splits)));
}

size_t attention_decode_workspace_bytes(const AttentionHeads& heads, int num_sms) {
  const DecodeLayout layout = decode::layout_of(heads, 0, num_sms);
  return decode::counter_bytes(layout) + static_cast<size_t>(layout.num_slots(num_sms)) *
                                             static_cast<size_t>(layout.slot_floats) *
                                             sizeof(float);
}

void launch_attention_decode(const AttentionDecodeParams& params, cudaStream_t stream) {
  if (params.num_sequences == 0) return;
  check_attention_shape(decode::kOp, params.type, params.heads, params.kv);
  const int num_sms = num_multiprocessors();
  decode::check_params(params, attention_decode_workspace_bytes(params.heads, num_sms));
  decode::KernelParams k{};
  k.p = params;
  k.layout = decode::layout_of(params.heads, params.num_sequences, num_sms);
  k.cache = {params.heads.num_kv_heads,
             std::countr_zero(static_cast<unsigned>(params.kv.tokens_per_block))};
  k.qkv_width = params.heads.qkv_width();
  k.score_scale =
      static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(decode::kHeadDim)));
  k.counters = static_cast<int*>(params.workspace);
  k.slots = reinterpret_cast<float*>(static_cast<unsigned char*>(params.workspace) +
                                     decode::counter_bytes(k.layout));
  const CUtensorMap map = make_kv_map(params.heads, params.kv, params.type);
  if (params.type == ElementType::kBf16) {
    decode::launch<__nv_bfloat16>(k, map, num_sms, stream);
  } else {
    decode::launch<__half>(k, map, num_sms, stream);
  }
}

}  // namespace glmoe::cuda
