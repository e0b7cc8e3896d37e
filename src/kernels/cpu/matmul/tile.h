// What an instruction set gives to the matrix products: the dot products of a few tokens with four
// rows of a weight, and the packing around them. Internal to kernels/cpu/matmul.
//
// The rule that makes results independent of batch and blocking: the value of (token, row) is, for
// each block of inputs (`block_k` of the type), one vector of running sums over the block's steps
// in order, folded in a fixed tree; the blocks' values are added in order. How many tokens or rows
// a call holds never enters into it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul/matmul.h"

namespace glmoe::matmul {

inline constexpr int64_t kBlockK = 1024;              // of types that use panels
inline constexpr int64_t kWholeK = int64_t{1} << 62;  // block_k: a row is one block
inline constexpr int64_t kMaxTokenBlock = 96;
inline constexpr int kTileRows = 4;
inline constexpr int kMaxTileTokens = 6;
inline constexpr int kNumFetches = 3;  // 1, 2 and 4 rows
inline constexpr int kNumTypes = 3;

struct TileArgs {
  const std::byte* x[kMaxTileTokens];  // packed tokens, at the first input of the block
  const std::byte* weight[kTileRows];  // likewise; rows that are not wanted repeat another
  size_t step_bytes;                   // from one step of a row to its next
  int64_t num_steps;                   // whole steps
  int64_t tail;                        // inputs after them, fewer than a step
  ptrdiff_t prefetch;                  // `fetching`: bytes from a weight to the one to fetch
  const std::byte* fetch;              // `whole`: the first row to fetch
  size_t fetch_row_bytes;              // from it to the next
  float* sums;                         // [tokens][kTileRows], rows sums_stride apart
  int64_t sums_stride;
  bool add;  // to what sums holds (every block but the first)
};

using TileFn = void (*)(const TileArgs&);

// One token times rows one after the other, each from end to end: memory is read as one ascending
// stream, which is what gives a core its whole bandwidth. Only where the token stays in the
// first-level cache beside the stream.
inline constexpr int64_t kMaxStreamK = 8192;

struct StreamArgs {
  const std::byte* x;       // the packed token
  const std::byte* weight;  // the first row
  size_t row_bytes;         // from one row to the next
  int64_t num_rows;
  int64_t k;    // at most kMaxStreamK
  float* sums;  // [num_rows rounded up to kTileRows]
};

using StreamFn = void (*)(const StreamArgs&);

// How a packed token lies in memory. A step is as many inputs as one pass of a tile takes.
enum class PackedLayout : uint8_t {
  kPlain,    // F32 in order
  kEvenOdd,  // F32, a step's even inputs before its odd ones, as bfloat16 pairs are widened
  kBf16,     // bfloat16 in order
};

// Tables are indexed by WeightType.
struct TypeKernels {
  PackedLayout layout;
  int64_t step;
  int64_t block_k;
  // Tokens of one pass over a chunk's weights: so many, at most kMaxTokenBlock, and bytes.
  int64_t token_block, token_block_bytes;
  // [tokens - 1]: weights where they lie, with and without fetching ahead; and out of a panel.
  TileFn fetching[kMaxTileTokens];
  TileFn direct[kMaxTileTokens];
  TileFn panel[kMaxTileTokens];  // null where panels don't pay
  StreamFn stream;               // null where a target has none
  // [log2 of f][tokens - 1], where a row is one block: tiles of weights where they lie that fetch f
  // other rows meanwhile. Null elsewhere.
  TileFn whole[kNumFetches][kMaxTileTokens];
  // Copies `count` inputs of four rows into a panel [step][row][step inputs], zeros after the end.
  void (*fill_panel)(const std::byte* const* rows, int64_t count, std::byte* panel);
  size_t panel_step_bytes;  // of the four rows together
};

}  // namespace glmoe::matmul

namespace glmoe {

struct MatmulKernels {
  int tile_tokens;  // tokens a full tile holds
  matmul::TypeKernels types[matmul::kNumTypes];
  // `count` inputs from x into the packed form at `out`, zeros up to a whole step.
  void (*pack)(matmul::PackedLayout layout, bool round_to_bf16, const float* x, int64_t count,
               std::byte* out);
  // out[i] = silu(gate[i]) * up[i]; all three may be touched up to the next multiple of 16.
  void (*swiglu)(const float* gate, const float* up, int64_t count, float* out);
};

namespace matmul {

// Tables of the targets; the first takes kBaseline to kAvx512.
const MatmulKernels* highway_kernels(CpuTarget target);
// `base`, with bfloat16 weights multiplied by AVX-512's bfloat16 dot product. Null where the
// compiler's target is no x86-64.
const MatmulKernels* avx512_bf16_kernels(const MatmulKernels& base);

}  // namespace matmul
}  // namespace glmoe
