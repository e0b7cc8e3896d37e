// How attention_decode divides its work. The context of a row is cut into splits by its length
// alone. The splits of all (sequence, head tile) pairs, laid one after the other, are dealt out to
// the blocks in contiguous runs of about as many tiles each, the shares, whatever the lengths in
// the batch.
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
  int slot_floats;     // of one stored node; of all less than 2^31

  __host__ __device__ int pairs_per_sequence() const { return num_kv_heads * head_tiles; }
  __host__ __device__ int max_splits() const { return 1 << max_splits_log2; }
  // A block stores of the pair that began before its share splits other than the first, and of the
  // one that ends after it the first splits as one.
  __host__ __device__ int num_slots(int num_blocks) const { return num_blocks * max_splits(); }
};

// How one pair's context is cut.
struct DecodeSplits {
  int num_tiles;
  int tiles_per_split;
  int num_splits;

  __device__ static DecodeSplits of(int num_tiles, int max_splits_log2) {
    constexpr int kLeastTiles = 8;  // a shorter split costs more in merging than it saves
    const int tiles = max(kLeastTiles, ((num_tiles - 1) >> max_splits_log2) + 1);
    return {num_tiles, tiles, (num_tiles + tiles - 1) / tiles};
  }
};

// The shares of a launch. Tile numbers count through all pairs; a split belongs to the block in
// whose share its first tile lies.
struct DecodeShares {
  int total;      // tiles
  unsigned each;  // tiles of a share, in sixteenths: far below 2^32 for any cache there is

  // `last_split`: tiles of a split of the last sequence.
  __device__ static DecodeShares of(const DecodeLayout& layout, int total, int last_split) {
    // Any number will do that all blocks agree on.
    DecodeShares shares{total,
                        static_cast<unsigned>(static_cast<float>(total) * layout.share_factor) + 1};
    // Of whole splits, where that has all but some blocks with as many: the last are idle, which
    // are those that start last where the kernel before this one is still running.
    const unsigned split = static_cast<unsigned>(last_split) * 16;
    if (4 * shares.each >= 3 * split) shares.each = (shares.each + split - 1) / split * split;
    return shares;
  }
  __device__ int begin_of(unsigned block) const {
    return min(static_cast<int>((block * each + 15) / 16), total);
  }
  __device__ int end_of(unsigned block) const {
    return block + 1 == gridDim.x ? total : begin_of(block + 1);
  }
  __device__ int owner_of(int tile) const {
    return static_cast<int>(min(static_cast<unsigned>(tile) * 16 / each, gridDim.x - 1));
  }
};

// A walk over the splits of this block's share.
struct DecodeWork {
  const int* tiles_before;  // [S + 1]: tiles of the sequences before, one pair of each
  DecodeShares shares;
  int begin, end;  // of the share
  // Where the walk stands.
  int sequence, pair, split;
  DecodeSplits splits;
  int pair_begin;  // tile number of the pair's first tile

  __device__ void start(const DecodeLayout& layout) {
    begin = shares.begin_of(blockIdx.x);
    end = shares.end_of(blockIdx.x);
    if (begin >= shares.total) {
      sequence = layout.num_sequences;
      return;
    }
    const int pairs = layout.pairs_per_sequence();
    int low = 0,
        high = layout.num_sequences;  // before[low] * pairs <= begin < before[high] * pairs
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (tiles_before[middle] * pairs <= begin ? low : high) = middle;
    }
    enter_sequence(layout, low);
    const int within = begin - pair_begin;
    pair = within / splits.num_tiles;
    pair_begin += pair * splits.num_tiles;
    const int tile = within - pair * splits.num_tiles;
    split = (tile + splits.tiles_per_split - 1) / splits.tiles_per_split;
    if (split == splits.num_splits) next_pair(layout);
  }

  __device__ int first_tile_of(int any_split) const {
    return pair_begin + any_split * splits.tiles_per_split;
  }
  __device__ bool done(const DecodeLayout& layout) const {
    return sequence >= layout.num_sequences || first_tile_of(split) >= end;
  }
  // After the last split of the pair that is in this share.
  __device__ int end_of_pair() const {
    const int until_end = end - pair_begin + splits.tiles_per_split - 1;
    return min(splits.num_splits, until_end / splits.tiles_per_split);
  }
  __device__ int tile_begin() const { return split * splits.tiles_per_split; }
  __device__ int tile_end() const {
    return min(tile_begin() + splits.tiles_per_split, splits.num_tiles);
  }

  __device__ void next(const DecodeLayout& layout) {
    if (++split == splits.num_splits) next_pair(layout);
  }

  // Where the block that has the split stores it, or its first splits of the pair if it is the
  // first.
  __device__ int slot(const DecodeLayout& layout, int any_split) const {
    return owner_of(any_split) * layout.max_splits() + any_split;
  }
  __device__ int owner_of(int any_split) const { return shares.owner_of(first_tile_of(any_split)); }

 private:
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
