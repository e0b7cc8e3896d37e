// Tiles of positions of K and V in shared memory, brought from the paged cache by a warp. The cache
// is to the copy engine a matrix whose rows are (block, K or V, head, position in the block), in
// two halves of 64 columns; a box is half a head by the positions that a tile and a block have in
// common.
//
// A plane (K or V of a tile) is two halves of the head, each a row of 128 bytes for each position;
// the 16-byte chunk c of row r lies at chunk c ^ (r % 8).
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/attention/attention_params.h"
#include "kernels/cuda/common/bulk_copy.cuh"
#include "kernels/cuda/common/tensor_map.h"

namespace glmoe::cuda {

inline constexpr int kBoxTokens = 64;  // at most, of a box

template <int kTile>
constexpr int kHalfBytes = kTile * 128;
template <int kTile>
constexpr int kPlaneBytes = 2 * kHalfBytes<kTile>;

inline CUtensorMap make_kv_map(const AttentionHeads& heads, const PagedKv& kv, ElementType type) {
  constexpr int kHalf = 64;
  const int64_t rows = kv.num_blocks * 2 * heads.num_kv_heads * kv.tokens_per_block;
  return make_tensor_map(kv.blocks, type, {kHalf, rows, 2}, {heads.head_dim, kHalf},
                         {kHalf, std::min(kv.tokens_per_block, kBoxTokens), 1});
}

// Byte offset of 16-byte chunk `chunk` (0 to 15) of row `row` in a plane.
template <int kTile>
__device__ inline uint32_t plane_offset(int row, int chunk) {
  return static_cast<uint32_t>((chunk >> 3) * kHalfBytes<kTile> + row * 128 +
                               (((chunk & 7) ^ (row & 7)) << 4));
}

__device__ inline void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// Walks the block table of one sequence for the warp that loads. The lanes hold 32 entries.
struct BlockTableWindow {
  const int32_t* table = nullptr;
  int num_entries = 0;  // that may be read
  int first = -1;       // entry that lane 0 holds; -1: none yet
  int32_t held = 0;

  __device__ void reset(const int32_t* new_table, int new_num_entries) {
    table = new_table;
    num_entries = new_num_entries;
    first = -1;
  }
  // The whole warp calls it with the same `lowest`; entries lowest .. lowest + 7 can be had then.
  __device__ void cover(int lowest) {
    constexpr int kHeld = 32, kNeeded = 8;
    if (first >= 0 && lowest >= first && lowest + kNeeded <= first + kHeld) return;
    first = lowest;
    const int entry = lowest + static_cast<int>(threadIdx.x % 32);
    held = entry < num_entries ? table[entry] : 0;
  }
  __device__ int32_t entry(int index) const {
    return __shfl_sync(0xffffffffu, held, index - first);
  }
};

// What a tile's copies need to know of the cache.
struct KvCacheShape {
  int num_kv_heads;
  int page_log2;  // P = 1 << page_log2
};

// Starts the copies of planes of the tile that begins at `position`, as far as the sequence's
// `kv_len` reaches (whole boxes): lanes share the boxes. The whole warp calls it. kPlanes = 2: K to
// `to` and V behind it, on one barrier; kPlanes = 1: the plane `plane` (0 K, 1 V) to `to`. kOnce:
// it is read once, and leaves the L2 first.
template <int kTile, int kPlanes, bool kOnce>
__device__ inline void load_kv_tile(const CUtensorMap* map, const KvCacheShape& shape,
                                    BlockTableWindow& window, int head, int position, int kv_len,
                                    int plane, unsigned char* to, uint64_t* full) {
  constexpr int kMaxBoxes = kTile / 16;  // along the positions
  constexpr int kLanes = kPlanes * 2 * kMaxBoxes;
  static_assert(kLanes <= 32 && kTile % kBoxTokens == 0);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int page = 1 << shape.page_log2;
  const int box_log2 = page < kBoxTokens ? shape.page_log2 : 6;
  const int box = 1 << box_log2;
  const int boxes = (min(kTile, kv_len - position) + box - 1) >> box_log2;
  const int lowest = position >> shape.page_log2;
  window.cover(lowest);
  const int my_box = lane % kMaxBoxes;
  const int my_half = lane / kMaxBoxes % 2;
  const int my_plane = kPlanes == 2 ? lane / kMaxBoxes / 2 % 2 : plane;
  const int start = position + (my_box << box_log2);
  const int32_t block = window.entry(min(start >> shape.page_log2, lowest + kMaxBoxes - 1));
  if (lane == 0) {
    barrier_arrive_expecting(full, static_cast<uint32_t>(kPlanes * 2 * boxes * box * 128));
  }
  __syncwarp();
  if (lane < kLanes && my_box < boxes) {
    const int row = (((block * 2 + my_plane) * shape.num_kv_heads + head) << shape.page_log2) +
                    (start & (page - 1));
    unsigned char* at = to + (kPlanes == 2 ? my_plane * kPlaneBytes<kTile> : 0) +
                        my_half * kHalfBytes<kTile> + (my_box << box_log2) * 128;
    if constexpr (kOnce) {
      box_copy(at, map, 0, row, my_half, full, evict_first_policy());
    } else {
      box_copy(at, map, 0, row, my_half, full);
    }
  }
}

}  // namespace glmoe::cuda
