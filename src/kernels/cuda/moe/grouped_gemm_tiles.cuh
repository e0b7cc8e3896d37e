// Which tiles a grouped product has, and in which order blocks take them: every block works it out
// for itself from the experts' offsets.
#pragma once

#include <cstdint>

namespace glmoe::cuda {

inline constexpr int kGroupRows = 64;   // of x: what a warpgroup multiplies
inline constexpr int kBlockRows = 128;  // a block's two warpgroups
inline constexpr int kCluster = 2;      // blocks of a cluster
inline constexpr int kTileRows = kCluster * kBlockRows;
inline constexpr int kTileColumns = 256;  // of y: rows of an expert's weight
// An expert's tiles go through all its columns for this many rows, and so on: what the GPU's blocks
// read at a time then stays in the L2, however many rows the expert has.
inline constexpr int kRasterRows = 1024;

// How an expert's rows are cut. A rest of 129 to 192 rows as one tile would give every warpgroup 64
// rows to multiply, four where three are enough: it is cut once more, and its last rows are a
// narrow tile.
struct RowTiles {
  int num_rows;

  __device__ int whole() const { return num_rows / kTileRows; }
  __device__ int rest() const { return num_rows % kTileRows; }
  __device__ bool cuts_rest() const {
    return rest() > kBlockRows && rest() <= kBlockRows + kGroupRows;
  }
  __device__ int count() const { return whole() + (rest() > 0 ? 1 : 0) + (cuts_rest() ? 1 : 0); }
  __device__ int first_row(int tile) const {
    return tile <= whole() ? tile * kTileRows : whole() * kTileRows + kBlockRows;
  }
  __device__ int rows_of(int tile) const {
    if (tile == whole() && cuts_rest()) return kBlockRows;
    return min(kTileRows, num_rows - first_row(tile));
  }
};

// A block's share of a tile, which is a cluster's of two blocks. They share the columns' weights
// and divide the rows; but where one warpgroup can do all the rows, they divide the columns
// (`narrow`: kTileColumns / 2 of them), so that both have work.
struct GroupedTile {
  int expert;
  int first_row;     // in x and y
  int num_rows;      // 0 to kBlockRows
  int first_column;  // of the product
  bool narrow;
};

// Turns numbers of tiles into tiles.
class TileWalk {
 public:
  // offsets, tile_begin: [E' + 1] in shared memory; tile_begin[e] is the number of the expert's
  // first tile.
  __device__ TileWalk(const int* offsets, const int* tile_begin, int num_experts, int column_tiles)
      : offsets_(offsets),
        tile_begin_(tile_begin),
        num_experts_(num_experts),
        column_tiles_(column_tiles) {}

  // False behind the last. Numbers may only grow from one call to the next.
  __device__ bool find(int number, GroupedTile& tile) {
    if (number >= tile_begin_[num_experts_]) return false;
    while (tile_begin_[expert_ + 1] <= number) ++expert_;
    const int first = offsets_[expert_];
    const int num_rows = offsets_[expert_ + 1] - first;
    const RowTiles rows{num_rows};
    const int row_tiles = rows.count();
    const int index = number - tile_begin_[expert_];
    constexpr int kBandTiles = kRasterRows / kTileRows;
    const int band = index / (kBandTiles * column_tiles_);
    const int in_band = index - band * kBandTiles * column_tiles_;
    const int band_tiles = min(kBandTiles, row_tiles - band * kBandTiles);
    const int column_tile = in_band / band_tiles;
    const int row_tile = band * kBandTiles + in_band - column_tile * band_tiles;
    tile.expert = expert_;
    tile.first_row = first + rows.first_row(row_tile);
    tile.num_rows = rows.rows_of(row_tile);
    tile.first_column = column_tile * kTileColumns;
    take_share(tile);
    return true;
  }

 private:
  __device__ static void take_share(GroupedTile& tile) {
    const int rank = blockIdx.x % kCluster;
    tile.narrow = tile.num_rows <= kGroupRows;
    if (tile.narrow) {
      tile.first_column += rank * (kTileColumns / 2);
      return;
    }
    // Even halves: neither block waits for the other.
    const int first_half = (tile.num_rows + 1) / 2;
    tile.first_row += rank * first_half;
    tile.num_rows = rank == 0 ? first_half : tile.num_rows - first_half;
  }

  const int* offsets_;
  const int* tile_begin_;
  int num_experts_;
  int column_tiles_;
  int expert_ = 0;
};

// Fills offsets and tile_begin in shared memory from the offsets in device memory; the whole block
// calls it.
__device__ inline void prepare_tiles(const int32_t* expert_offsets, int num_experts,
                                     int column_tiles, int* offsets, int* tile_begin) {
  for (int e = threadIdx.x; e <= num_experts; e += blockDim.x) offsets[e] = expert_offsets[e];
  __syncthreads();
  if (threadIdx.x < 32) {
    int carry = 0;
    for (int at = 0; at < num_experts; at += 32) {
      const int e = at + static_cast<int>(threadIdx.x);
      const int rows = e < num_experts ? offsets[e + 1] - offsets[e] : 0;
      const int own = RowTiles{rows}.count() * column_tiles;
      int sum = own;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, sum, distance);
        if (static_cast<int>(threadIdx.x) >= distance) sum += other;
      }
      if (e < num_experts) tile_begin[e] = carry + sum - own;
      carry += __shfl_sync(0xffffffffu, sum, 31);
    }
    if (threadIdx.x == 0) tile_begin[num_experts] = carry;
  }
  __syncthreads();
}

}  // namespace glmoe::cuda
