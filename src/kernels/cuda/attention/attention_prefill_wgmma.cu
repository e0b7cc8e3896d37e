// Prefill attention with the products of warpgroups (wgmma). A thread block stays and takes blocks
// of 128 query rows of one KV head in turn: two warpgroups compute 64 rows each and take turns at
// the tensor cores, so that one's softmax runs beside the other's products; a third loads ahead,
// one warp K and V, three the next block's queries. Within a warpgroup the scores of a tile run
// beside the values of the tile before.
#include <cmath>

#include "kernels/cuda/attention/kv_tiles.cuh"
#include "kernels/cuda/attention/prefill_block.cuh"
#include "kernels/cuda/attention/wgmma.cuh"
#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/mma.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kHeadDim = 128;
constexpr int kTile = 128;  // tokens
constexpr int kGroups = 2;  // warpgroups that compute
constexpr int kGroupThreads = 128;
constexpr int kGroupRows = 64;
static_assert(kPrefillRows == kGroups * kGroupRows);
constexpr int kThreads = (kGroups + 1) * kGroupThreads;
constexpr int kQueryWarps = 3;  // that load queries
constexpr int kLoaderRegisters = 40;
constexpr int kConsumerRegisters = 232;
constexpr int kStages = 5;  // planes: K 0, then K of a tile and V of the one before, in turn
constexpr int kSharedAlignment = 1024;
constexpr int kSteps = kTile / 16;  // of a product; as many as of the head
static_assert(kTile == kHeadDim);
// Named barriers: of a group's own warps, and for the turns.
constexpr int kGroupBarrier = 1;
constexpr int kTurnBarrier = kGroupBarrier + kGroups;

struct Shared {
  unsigned char stages[kStages][kPlaneBytes<kTile>];
  // Of this block and the next: q of each group, then what it writes out.
  unsigned char rows[2][kGroups][kPlaneBytes<kGroupRows>];
  uint64_t full[kStages], empty[kStages];
  uint64_t rows_full[2], rows_empty[2];
  PrefillBlock blocks[2];  // whose rows these are
  int blocks_before[kMaxPrefillSequences + 1];
};
constexpr int kMostSharedBytes = 232448;
static_assert(sizeof(Shared) <= kMostSharedBytes);

// A place in the ring of stages.
struct Ring {
  int stage = 0;
  uint32_t parity;

  __device__ explicit Ring(uint32_t first_parity) : parity(first_parity) {}
  __device__ void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

// 0 or 1 for the warpgroups that compute; the same in all lanes, and known to be so.
__device__ int group_index() {
  return __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kGroupThreads, 0);
}

__device__ void sync_group(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(kGroupBarrier + group), "n"(kGroupThreads) : "memory");
}
__device__ void await_turn(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(kTurnBarrier + group), "n"(kGroups * kGroupThreads)
               : "memory");
}
__device__ void give_turn(int other_group) {
  asm volatile("bar.arrive %0, %1;" ::"r"(kTurnBarrier + other_group), "n"(kGroups * kGroupThreads)
               : "memory");
}

// One query row of the block.
struct BlockRow {
  bool exists;
  int64_t row;   // of qkv and out
  int head;      // of q
  int position;  // the last token that the row sees

  __device__ BlockRow(const PrefillKernelParams& k, const PrefillBlock& block, int in_block) {
    const int wanted = block.first_row + in_block;
    const int index = min(wanted, block.num_rows * k.group - 1);
    const int token = token_of_row(k, index);
    exists = index == wanted;
    row = block.row_begin + token;
    head = block.kv_head * k.group + index - token * k.group;
    position = block.kv_len - block.num_rows + token;
  }
};

// This lane's first row within its group; the other is 8 further down.
__device__ int lane_row() {
  return static_cast<int>(threadIdx.x % kGroupThreads / 32 * 16 + threadIdx.x % 32 / 4);
}

constexpr int kRowChunks = kHeadDim / 8;  // of 16 bytes

__device__ void copy_async(void* shared_to, const void* from, bool exists) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared_to)),
               "l"(from), "r"(exists ? 16 : 0)
               : "memory");
}

// The three warps that bring the queries of block after block, zero past the end of a sequence.
template <class T>
__device__ void produce_queries(const PrefillKernelParams& k, Shared& shared) {
  constexpr int kLoaders = kQueryWarps * 32;
  const int thread = threadIdx.x - (kThreads - kLoaders);
  const int chunk = thread % kRowChunks;
  PrefillWork work{shared.blocks_before};
  uint32_t parity = 1;
  for (int buffer = 0;; buffer ^= 1) {
    const PrefillBlock block = work.next(k, kTile);
    barrier_wait(&shared.rows_empty[buffer], parity);
    if (buffer == 1) parity ^= 1;
    if (thread == 0) shared.blocks[buffer] = block;
    if (block.num_tiles > 0) {
#pragma unroll 2
      for (int r = thread / kRowChunks; r < kPrefillRows; r += kLoaders / kRowChunks) {
        const BlockRow row(k, block, r);
        const T* from =
            static_cast<const T*>(k.p.qkv) + row.row * k.qkv_width + row.head * kHeadDim;
        copy_async(
            shared.rows[buffer][r / kGroupRows] + plane_offset<kGroupRows>(r % kGroupRows, chunk),
            reinterpret_cast<const uint4*>(from) + chunk, row.exists);
      }
      asm volatile("cp.async.wait_all;" ::: "memory");
      shared_writes_fence();
    }
    barrier_arrive(&shared.rows_full[buffer]);
    if (block.num_tiles == 0) return;
  }
}

// The softmax of this lane's two rows, in the layout of wgmma.cuh.
struct RowSums {
  float sum[64];
  float highest[2];  // of the scores, not scaled
  float total[2];    // of this lane's tokens
  float weight[2];   // what `sum` is still to be multiplied with

  __device__ void clear() {
#pragma unroll
    for (float& value : sum) value = 0.0f;
#pragma unroll
    for (int r = 0; r < 2; ++r) highest[r] = -INFINITY, total[r] = 0.0f, weight[r] = 0.0f;
  }
};

template <class T>
__device__ void start_scores(const unsigned char* queries, const unsigned char* keys,
                             float (&scores)[64]) {
  const uint32_t q = shared_address(queries), key = shared_address(keys);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const uint32_t column = step % 4 * 32;
    multiply_shared<T>(scores, matrix_descriptor(q + step / 4 * kHalfBytes<kGroupRows> + column, 0),
                       matrix_descriptor(key + step / 4 * kHalfBytes<kTile> + column, 0), step > 0);
  }
  commit_products();
}

template <class T>
__device__ void start_values(const uint32_t (&weights)[kSteps][4], const unsigned char* values,
                             float (&sum)[64]) {
  const uint32_t value = shared_address(values);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    multiply_registers<T>(sum, weights[step],
                          matrix_descriptor(value + step * 16 * 128, kHalfBytes<kTile>));
  }
  commit_products();
}

// Tokens of the tile from `limit[r]` on are not seen by the row.
__device__ void mask_scores(const int (&limit)[2], float (&scores)[64]) {
  const int column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int i = 0; i < 64; ++i) {
    if (i / 4 * 8 + column + i % 2 >= limit[i / 2 % 2]) scores[i] = -INFINITY;
  }
}

// Scores become weights relative to the highest so far.
__device__ void softmax_tile(float score_scale, float (&scores)[64], RowSums& rows) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float highest = rows.highest[r];
#pragma unroll
    for (int i = 2 * r; i < 64; i += 4) highest = fmaxf(highest, fmaxf(scores[i], scores[i + 1]));
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 2));
    rows.weight[r] = exp2_fast((rows.highest[r] - highest) * score_scale);
    rows.highest[r] = highest;
    const float shift = highest * score_scale;
    float total = 0.0f;
#pragma unroll
    for (int i = 2 * r; i < 64; i += 4) {
      scores[i] = exp2_fast(fmaf(scores[i], score_scale, -shift));
      scores[i + 1] = exp2_fast(fmaf(scores[i + 1], score_scale, -shift));
      total += scores[i] + scores[i + 1];
    }
    rows.total[r] = fmaf(rows.total[r], rows.weight[r], total);
  }
}

__device__ void weigh_sums(RowSums& rows) {
#pragma unroll
  for (int i = 0; i < 64; ++i) rows.sum[i] *= rows.weight[i / 2 % 2];
}

template <class T>
__device__ void pack_weights(const float (&scores)[64], uint32_t (&weights)[kSteps][4]) {
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    weights[i / 4][i % 4] = pack_pair<T>(scores[2 * i], scores[2 * i + 1]);
  }
}

// Values of tokens from `valid` on become 0: the slots may hold anything, and 0 * NaN is NaN. Both
// groups do all of it, so neither needs to wait for the other.
__device__ void clear_values(unsigned char* values, int valid, int group) {
  const int thread = threadIdx.x % kGroupThreads;
  for (int i = valid * kRowChunks + thread; i < kTile * kRowChunks; i += kGroupThreads) {
    *reinterpret_cast<uint4*>(values + plane_offset<kTile>(i / kRowChunks, i % kRowChunks)) =
        uint4{};
  }
  shared_writes_fence();
  sync_group(group);
}

// By way of shared memory, where the group's q was, so that whole rows are written.
template <class T>
__device__ void write_rows(const PrefillKernelParams& k, const PrefillBlock& block, int group,
                           RowSums& rows, unsigned char* buffer) {
  const int column = threadIdx.x % 4 * 4;  // bytes
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows.total[r] += __shfl_xor_sync(0xffffffffu, rows.total[r], 1);
    rows.total[r] += __shfl_xor_sync(0xffffffffu, rows.total[r], 2);
    const float scale = 1.0f / rows.total[r];
#pragma unroll
    for (int chunk = 0; chunk < kRowChunks; ++chunk) {
      const int i = chunk * 4 + r * 2;
      *reinterpret_cast<uint32_t*>(buffer + plane_offset<kGroupRows>(lane_row() + 8 * r, chunk) +
                                   column) =
          pack_pair<T>(rows.sum[i] * scale, rows.sum[i + 1] * scale);
    }
  }
  sync_group(group);
  const int thread = threadIdx.x % kGroupThreads;
  const int chunk = thread % kRowChunks;
#pragma unroll
  for (int i = 0; i < kGroupRows * kRowChunks / kGroupThreads; ++i) {
    const int r = i * (kGroupThreads / kRowChunks) + thread / kRowChunks;
    const BlockRow row(k, block, group * kGroupRows + r);
    if (!row.exists) continue;
    T* to = static_cast<T*>(k.p.out) + (row.row * k.p.heads.num_heads + row.head) * kHeadDim;
    reinterpret_cast<uint4*>(to)[chunk] =
        *reinterpret_cast<const uint4*>(buffer + plane_offset<kGroupRows>(r, chunk));
  }
}

// The planes of K or of V of all blocks, tile by tile.
struct PlaneWalk {
  PrefillWork work;
  PrefillBlock block;
  BlockTableWindow window;
  int tile;

  __device__ PlaneWalk(const PrefillKernelParams& k, const int* blocks_before)
      : work{blocks_before} {
    enter_block(k);
  }
  __device__ bool done() const { return block.num_tiles == 0; }
  __device__ void load(const PrefillKernelParams& k, const CUtensorMap* map, int plane,
                       Shared& shared, Ring& ring) {
    barrier_wait(&shared.empty[ring.stage], ring.parity);
    load_kv_tile<kTile, 1, false>(map, k.cache, window, block.kv_head, tile * kTile, block.kv_len,
                                  plane, shared.stages[ring.stage], &shared.full[ring.stage]);
    ring.next();
    if (++tile == block.num_tiles) enter_block(k);
  }

 private:
  __device__ void enter_block(const PrefillKernelParams& k) {
    block = work.next(k, kTile);
    tile = 0;
    if (done()) return;
    window.reset(k.p.block_tables + block.sequence * k.p.block_table_stride,
                 (block.kv_len + k.p.kv.tokens_per_block - 1) >> k.cache.page_log2);
  }
};

// The warp that keeps the stages full, through all blocks: K is a tile ahead of V.
__device__ void produce(const PrefillKernelParams& k, const CUtensorMap* map, Shared& shared) {
  PlaneWalk keys(k, shared.blocks_before), values(k, shared.blocks_before);
  Ring ring(1);
  if (!keys.done()) keys.load(k, map, 0, shared, ring);
  while (!values.done()) {
    if (!keys.done()) keys.load(k, map, 0, shared, ring);
    values.load(k, map, 1, shared, ring);
  }
}

__device__ void release(Shared& shared, int stage) {
  if (threadIdx.x % 32 == 0) barrier_arrive(&shared.empty[stage]);
}

// A group's place among the blocks.
struct BlockReader {
  PrefillBlock block;
  int buffer = -1;
  uint32_t parity = 1;

  // Waits for the next block's queries; false: there is none.
  __device__ bool next(Shared& shared) {
    buffer = buffer == 0 ? 1 : 0;
    if (buffer == 0) parity ^= 1;
    barrier_wait(&shared.rows_full[buffer], parity);
    block = shared.blocks[buffer];
    return block.num_tiles > 0;
  }
  __device__ unsigned char* rows(Shared& shared, int group) const {
    return shared.rows[buffer][group];
  }
};

// The scores of a tile become weights.
__device__ void weigh_tile(const PrefillKernelParams& k, const PrefillBlock& block, int tile,
                           int group, float (&scores)[64], RowSums& rows) {
  const int start = tile * kTile;
  if (start + kTile - 1 > block.first_position) {
    int limit[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      limit[r] = BlockRow(k, block, group * kGroupRows + lane_row() + 8 * r).position + 1 - start;
    }
    mask_scores(limit, scores);
  }
  softmax_tile(k.score_scale, scores, rows);
}

template <class T>
__device__ void finish_block(const PrefillKernelParams& k, const BlockReader& reader, int group,
                             RowSums& rows, Shared& shared) {
  write_rows<T>(k, reader.block, group, rows, reader.rows(shared, group));
  __syncwarp();
  if (threadIdx.x % 32 == 0) barrier_arrive(&shared.rows_empty[reader.buffer]);
}

// Waits for the values of a tile; those of the last are cleared past the sequence's end.
__device__ void await_values(const PrefillBlock& block, int tile, int group, Shared& shared,
                             const Ring& ring) {
  barrier_wait(&shared.full[ring.stage], ring.parity);
  const int valid = block.kv_len - tile * kTile;
  if (valid < kTile) clear_values(shared.stages[ring.stage], valid, group);
}

// The warpgroups that compute, through all tiles of all blocks: the scores of a tile, which may be
// the next block's first, run beside the values of the one before.
template <class T>
__device__ void consume(const PrefillKernelParams& k, int group, Shared& shared) {
  BlockReader reader;
  if (!reader.next(shared)) return;
  Ring ring(0);
  RowSums rows;
  rows.clear();
  float scores[64];
  uint32_t weights[kSteps][4];
  if (group == 1) give_turn(0);
  barrier_wait(&shared.full[ring.stage], ring.parity);
  await_turn(group);
  products_fence();
  start_scores<T>(reader.rows(shared, group), shared.stages[ring.stage], scores);
  give_turn(1 - group);
  wait_for_products<0>();
  release(shared, ring.stage);
  ring.next();
  weigh_tile(k, reader.block, 0, group, scores, rows);
  pack_weights<T>(scores, weights);
  int tile = 0;
  while (true) {
    BlockReader next = reader;
    const bool last = tile + 1 == reader.block.num_tiles;
    if (last && !next.next(shared)) break;
    const int key_stage = ring.stage;
    barrier_wait(&shared.full[ring.stage], ring.parity);
    ring.next();
    await_turn(group);
    products_fence();
    start_scores<T>(next.rows(shared, group), shared.stages[key_stage], scores);
    await_values(reader.block, tile, group, shared, ring);
    products_fence();
    start_values<T>(weights, shared.stages[ring.stage], rows.sum);
    give_turn(1 - group);
    wait_for_products<1>();
    release(shared, key_stage);
    if (!last) weigh_tile(k, reader.block, ++tile, group, scores, rows);
    wait_for_products<0>();
    release(shared, ring.stage);
    ring.next();
    if (last) {
      finish_block<T>(k, reader, group, rows, shared);
      rows.clear();
      reader = next;
      tile = 0;
      weigh_tile(k, reader.block, tile, group, scores, rows);
    } else {
      weigh_sums(rows);
    }
    pack_weights<T>(scores, weights);
  }
  await_values(reader.block, tile, group, shared, ring);
  products_fence();
  start_values<T>(weights, shared.stages[ring.stage], rows.sum);
  wait_for_products<0>();
  finish_block<T>(k, reader, group, rows, shared);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    attention_prefill_wgmma_kernel(const __grid_constant__ PrefillKernelParams k,
                                   const __grid_constant__ CUtensorMap map) {
  extern __shared__ __align__(kSharedAlignment) unsigned char raw[];
  Shared& shared = *reinterpret_cast<Shared*>(raw);
  constexpr int kConsumerWarps = kGroups * kGroupThreads / 32;
  if (threadIdx.x == 0) {
    if (shared_address(raw) % kSharedAlignment != 0) __trap();  // there is no room to align it
    prefetch_map(&map);
    for (int s = 0; s < kStages; ++s) {
      barrier_init(&shared.full[s], 1);
      barrier_init(&shared.empty[s], kConsumerWarps);
    }
    for (int b = 0; b < 2; ++b) {
      barrier_init(&shared.rows_full[b], kQueryWarps * 32);
      barrier_init(&shared.rows_empty[b], kConsumerWarps);
    }
    barrier_init_fence();
  }
  wait_for_earlier_kernels();
  let_next_kernel_start();
  if (threadIdx.x < 32) PrefillWork::count(k, shared.blocks_before);
  __syncthreads();
  const int group = group_index();
  if (group == kGroups) {
    give_registers<kLoaderRegisters>();
    if (threadIdx.x < kGroups * kGroupThreads + 32) {
      produce(k, &map, shared);
    } else {
      produce_queries<T>(k, shared);
    }
  } else {
    take_registers<kConsumerRegisters>();
    consume<T>(k, group, shared);
  }
}

template <class T>
void launch(const PrefillKernelParams& k, const CUtensorMap& map, int num_sms,
            cudaStream_t stream) {
  const auto kernel = attention_prefill_wgmma_kernel<T>;
  GLMOE_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(sizeof(Shared))));
  launch_kernel(kernel, static_cast<unsigned>(num_sms), kThreads, sizeof(Shared), stream, k, map);
}

}  // namespace

void launch_prefill_wgmma(const PrefillKernelParams& k, const CUtensorMap& map, ElementType type,
                          int num_sms, cudaStream_t stream) {
  if (type == ElementType::kBf16) {
    launch<__nv_bfloat16>(k, map, num_sms, stream);
  } else {
    launch<__half>(k, map, num_sms, stream);
  }
}

}  // namespace glmoe::cuda
