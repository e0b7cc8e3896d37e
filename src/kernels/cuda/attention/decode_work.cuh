// How attention_decode divides its work. The context of a row is cut into splits by its length
// alone. The splits of all (sequence, head tile) pairs, laid one after the other, are dealt out to
// the blocks in contiguous runs of about as many tiles each, whatever the lengths in the batch.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/kv_tiles.cuh"

namespace glmoe::cuda {

inline constexpr int kMmaRows = 16;

// Constants of a launch.
struct DecodeLayout {
  int num_sequences;
  int num_kv_heads;
  int group;
  int head_tiles;     // tiles of query heads in a group, each of its own pair of the work
  int rows_per_tile;  // query heads in one, at most kMmaRows
  int max_splits_log2;
  float share_factor;  // 16 / blocks of the grid
  int slot_floats;     // of one stored split: [rows, D] sums, [rows] maxima, [rows] totals

  __host__ __device__ int pairs_per_sequence() const { return num_kv_heads * head_tiles; }
  // A block stores splits of the pair that began before it (all but that pair's first) and of the
  // pair that ends after it (all but its last).
  __host__ __device__ int slots_per_block() const { return 2 * (max_splits() - 1); }
  __host__ __device__ int max_splits() const { return 1 << max_splits_log2; }
};

// How one pair's context is cut.
struct DecodeSplits {
  int num_tiles;
  int tiles_per_split;
  int num_splits;

  __device__ static DecodeSplits of(int num_tiles, int max_splits_log2) {
    constexpr int kLeastTiles = 2;  // a shorter split costs more in merging than it saves
    const int tiles = max(kLeastTiles, ((num_tiles - 1) >> max_splits_log2) + 1);
    return {num_tiles, tiles, (num_tiles + tiles - 1) / tiles};
  }
};

// The run of splits of one block. Tile numbers count through all pairs; a split belongs to the
// block in whose share its first tile lies. Shares are equal, in sixteenths of a tile.
struct DecodeWork {
  const int* tiles_before;  // [S + 1]: tiles of the sequences before, one pair of each
  int begin, end;           // share of this block
  unsigned share;           // of every block, in sixteenths: far below 2^32 for any cache there is
  // Where the walk stands.
  int sequence, pair, split;
  DecodeSplits splits;
  int pair_begin;  // tile number of the pair's first tile

  __device__ void start(const DecodeLayout& layout, const int* before) {
    tiles_before = before;
    const int pairs = layout.pairs_per_sequence();
    const unsigned total = static_cast<unsigned>(before[layout.num_sequences]) * pairs;
    // Any number will do that all blocks agree on.
    share = static_cast<unsigned>(static_cast<float>(total) * layout.share_factor) + 1;
    begin = share_begin(blockIdx.x);
    end = blockIdx.x + 1 == gridDim.x ? static_cast<int>(total) : share_begin(blockIdx.x + 1);
    if (begin >= static_cast<int>(total)) {
      sequence = layout.num_sequences;
      return;
    }
    int low = 0,
        high = layout.num_sequences;  // before[low] * pairs <= begin < before[high] * pairs
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (before[middle] * pairs <= begin ? low : high) = middle;
    }
    enter_sequence(layout, low);
    const int within = begin - pair_begin;
    pair = within / splits.num_tiles;
    pair_begin += pair * splits.num_tiles;
    const int tile = within - pair * splits.num_tiles;
    split = (tile + splits.tiles_per_split - 1) / splits.tiles_per_split;
    if (split == splits.num_splits) next_pair(layout);
  }

  __device__ int share_begin(unsigned block) const {
    return static_cast<int>((block * share + 15) / 16);
  }
  __device__ int owner_of(int tile) const {
    return static_cast<int>(min(static_cast<unsigned>(tile) * 16 / share, gridDim.x - 1));
  }
  __device__ int first_tile_of(int any_split) const {
    return pair_begin + any_split * splits.tiles_per_split;
  }

  __device__ bool done(const DecodeLayout& layout) const {
    return sequence >= layout.num_sequences || first_tile_of(split) >= end;
  }
  // Whether this block has every split of the pair.
  __device__ bool whole_pair() const {
    return pair_begin >= begin && first_tile_of(splits.num_splits - 1) < end;
  }
  // Whether the next split, if any is left, is of another pair.
  __device__ bool last_of_pair() const {
    return split + 1 == splits.num_splits || first_tile_of(split + 1) >= end;
  }
  __device__ int tile_begin() const { return split * splits.tiles_per_split; }
  __device__ int tile_end() const {
    return min(tile_begin() + splits.tiles_per_split, splits.num_tiles);
  }

  __device__ void next(const DecodeLayout& layout) {
    if (++split == splits.num_splits) next_pair(layout);
  }

  // Where this block stores a split of the pair we stand at.
  __device__ int own_slot(const DecodeLayout& layout, int any_split) const {
    return slot_of(layout, any_split, blockIdx.x, pair_begin < begin);
  }
  // Where its block has stored it.
  __device__ int slot(const DecodeLayout& layout, int any_split) const {
    const int owner = owner_of(first_tile_of(any_split));
    return slot_of(layout, any_split, owner, pair_begin < share_begin(owner));
  }

 private:
  __device__ static int slot_of(const DecodeLayout& layout, int any_split, int owner,
                                bool began_before) {
    return owner * layout.slots_per_block() +
           (began_before ? any_split - 1 : layout.max_splits() - 1 + any_split);
  }
  __device__ void next_pair(const DecodeLayout& layout) {
    split = 0;
    pair_begin += splits.num_tiles;
    if (++pair == layout.pairs_per_sequence()) enter_sequence(layout, sequence + 1);
  }
  // The first sequence from `index` on that has tiles.
  __device__ void enter_sequence(const DecodeLayout& layout, int index) {
    while (index < layout.num_sequences && tiles_before[index + 1] == tiles_before[index]) ++index;
    sequence = index;
    pair = 0;
    split = 0;
    if (index == layout.num_sequences) return;
    pair_begin = tiles_before[index] * layout.pairs_per_sequence();
    splits =
        DecodeSplits::of(tiles_before[index + 1] - tiles_before[index], layout.max_splits_log2);
  }
};

}  // namespace glmoe::cuda
