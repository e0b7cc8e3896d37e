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
constexpr int kSharedAlignment = 1024;

struct Shared {
  unsigned char stages[kStages][kStageBytes];
  alignas(128) unsigned char sums[kGatherBytes];  // of warps, of splits
  uint64_t full[kStages], empty[kStages], gathered;
  bool last;         // of last_to_store
  DecodeWork start;  // of this block
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

// The warp that keeps the stages full, through all splits of the block. Only a sequence's last tile
// has a position that the kernel before this one writes: the others need not wait for it.
__device__ void produce(const KernelParams& k, const CUtensorMap* map, Shared& shared) {
  DecodeWork work = shared.start;
  BlockTableWindow window;
  int stage = 0;
  uint32_t parity = 1;
  int sequence = -1, kv_len = 0;
  bool has_waited = false;
  for (; !work.done(k.layout); work.next(k.layout)) {
    if (work.sequence != sequence) {
      sequence = work.sequence;
      kv_len = shared.kv_lens[sequence];
      window.reset(k.p.block_tables + sequence * k.p.block_table_stride,
                   (kv_len + k.p.kv.tokens_per_block - 1) >> k.cache.page_log2);
    }
    const int head = work.pair / k.layout.head_tiles;
    for (int tile = work.tile_begin(); tile < work.tile_end(); ++tile) {
      barrier_wait(&shared.empty[stage], parity);
      if (!has_waited && tile + 1 == work.splits.num_tiles) {
        wait_for_earlier_kernels();
        has_waited = true;
      }
      load_kv_tile<kDecodeTile, 2, true>(map, k.cache, window, head, tile * kDecodeTile, kv_len, 0,
                                         shared.stages[stage], &shared.full[stage]);
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
  }
}

// One thread's addition that the writes of its block come before and the reads after it follow.
__device__ int add_ordered(int* counter, int number) {
  int before;
  asm volatile("atom.add.acq_rel.gpu.global.s32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(counter), "r"(number)
               : "memory");
  return before;
}

// Adds `num_stored` splits to those of the pair that are stored. True in the block that completes
// them, which then sees all. All consumers call it.
__device__ bool last_to_store(const KernelParams& k, const DecodeWork& work, int num_stored,
                              Shared& shared) {
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

// Stages are taken in the order in which produce() fills them.
struct StageReader {
  int stage = 0;
  uint32_t parity = 0;
};

// This warp's part of the split that `work` stands at.
template <class T>
__device__ void attend_split(const DecodeWork& work, const QueryFragments& q, int kv_len,
                             float score_scale, Shared& shared, StageReader& reader,
                             WarpSums& sums) {
  sums.clear();
  for (int tile = work.tile_begin(); tile < work.tile_end(); ++tile) {
    barrier_wait(&shared.full[reader.stage], reader.parity);
    const int valid =
        kv_len - tile * kDecodeTile - static_cast<int>(threadIdx.x / 32) * kTokensPerWarp;
    if (valid > 0) attend<T>(q, shared.stages[reader.stage], valid, score_scale, sums);
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(&shared.empty[reader.stage]);
    if (++reader.stage == kStages) reader.stage = 0, reader.parity ^= 1;
  }
}

// The warps that compute: all splits of the block, pair by pair.
template <class T>
__device__ void consume(const KernelParams& k, Shared& shared) {
  DecodeWork work = shared.start;
  StageReader reader;
  uint32_t gather_parity = 0;
  float* sums = reinterpret_cast<float*>(shared.sums);
  while (!work.done(k.layout)) {
    const int kv_head = work.pair / k.layout.head_tiles;
    const int first_row = work.pair % k.layout.head_tiles * k.layout.rows_per_tile;
    const int rows = min(k.layout.rows_per_tile, k.layout.group - first_row);
    const int head = kv_head * k.layout.group + first_row;
    const int kv_len = shared.kv_lens[work.sequence];
    const int64_t row = shared.rows[work.sequence];
    QueryFragments q;
    load_queries(static_cast<const T*>(k.p.qkv) + row * k.qkv_width + head * kHeadDim, rows, q);
    Partial all;
    all.clear();
    const bool whole = work.whole_pair();
    int num_stored = 0;
    while (true) {
      WarpSums warp_sums;
      attend_split<T>(work, q, kv_len, k.score_scale, shared, reader, warp_sums);
      merge_warps(warp_sums, sums, rows, all);
      if (!whole) {
        store_slot(all,
                   k.slots + static_cast<int64_t>(work.own_slot(k.layout, work.split)) *
                                 k.layout.slot_floats,
                   rows, k.layout.rows_per_tile);
        all.clear();
        ++num_stored;
      }
      if (work.last_of_pair()) break;
      work.next(k.layout);
    }
    bool finish = whole;
    if (!whole) {
      finish = last_to_store(k, work, num_stored, shared);
      if (finish) {
        const int split = min(static_cast<int>(threadIdx.x % 32), work.splits.num_splits - 1);
        gather(k.slots, work.slot(k.layout, split), work.splits.num_splits, rows, k.layout, sums,
               &shared.gathered, gather_parity, all);
      }
    }
    if (finish) {
      const int64_t at = (row * k.p.heads.num_heads + head) * kHeadDim;
      write_out(all, static_cast<T*>(k.p.out) + at, rows);
    }
    work.next(k.layout);
  }
}

// One warp lays the sequences' tiles end to end and finds where the block begins.
__device__ void find_work(const KernelParams& k, Shared& shared) {
  const AttentionDecodeParams& p = k.p;
  const int lane = threadIdx.x % 32;
  int carried = 0;
  if (lane == 0) shared.tiles_before[0] = 0;
#pragma unroll 1
  for (int first = 0; first < p.num_sequences; first += 32) {
    const int sequence = first + lane;
    const int kv_len = sequence < p.num_sequences ? p.kv_len[sequence] : 0;
    const int row = sequence < p.num_sequences ? p.row[sequence] : 0;
    int sum = (max(kv_len, 0) + kDecodeTile - 1) / kDecodeTile;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, sum, distance);
      if (lane >= distance) sum += other;
    }
    if (sequence < p.num_sequences) {
      shared.tiles_before[sequence + 1] = carried + sum;
      shared.kv_lens[sequence] = kv_len;
      shared.rows[sequence] = row;
    }
    carried += __shfl_sync(0xffffffffu, sum, 31);
  }
  __syncwarp();
  if (lane == 0) shared.start.start(k.layout, shared.tiles_before);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    attention_decode_kernel(const __grid_constant__ KernelParams k,
                            const __grid_constant__ CUtensorMap map) {
  extern __shared__ unsigned char raw[];
  const uint32_t misaligned = shared_address(raw) % kSharedAlignment;
  Shared& shared =
      *reinterpret_cast<Shared*>(raw + (misaligned == 0 ? 0 : kSharedAlignment - misaligned));
  const int warp = threadIdx.x / 32;
  if (threadIdx.x == kConsumerThreads) {
    prefetch_map(&map);
    for (int s = 0; s < kStages; ++s) {
      barrier_init(&shared.full[s], 1);
      barrier_init(&shared.empty[s], kConsumers);
    }
    barrier_init(&shared.gathered, 1);
    barrier_init_fence();
  }
  let_next_kernel_start();
  if (warp == 0) find_work(k, shared);
  __syncthreads();
  if (warp == kConsumers) {
    produce(k, &map, shared);
  } else {
    wait_for_earlier_kernels();
    consume<T>(k, shared);
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
  return decode::counter_bytes(layout) +
         static_cast<size_t>(num_sms) * static_cast<size_t>(layout.slots_per_block()) *
             static_cast<size_t>(layout.slot_floats) * sizeof(float);
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
