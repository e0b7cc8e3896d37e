// Tiles with AVX-512's bfloat16 dot product.
#include "kernels/cpu/avx512bf16.h"
#include "kernels/cpu/matmul/tile.h"

#if defined(__x86_64__)

#include <bit>
#include <cstring>
#include <utility>

namespace glmoe::matmul {
namespace {

constexpr int kTileTokens = 6;
constexpr int64_t kStep = 32;  // bfloat16 values of a vector
constexpr size_t kStepBytes = 64;
// Tokens whose whole rows stay in the second-level cache beside the weights: of each four rows of
// weights little is wanted from memory in the time that 48 tokens take.
constexpr int64_t kTokenBlock = 48;
constexpr int64_t kTokenBlockBytes = 432 << 10;

GLMOE_BF16_INLINE __m512bh load_bf16(const std::byte* p) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p));
}

// One step of each row and token, `offset` bytes from their beginnings.
template <int kTokens>
GLMOE_BF16_INLINE void whole_step(__m512 (&acc)[kTokens][kTileRows], const std::byte* const* x,
                                  const std::byte* const* weight, size_t x_offset,
                                  size_t w_offset) {
  const __m512bh w[kTileRows] = {load_bf16(weight[0] + w_offset), load_bf16(weight[1] + w_offset),
                                 load_bf16(weight[2] + w_offset), load_bf16(weight[3] + w_offset)};
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    const __m512bh token = load_bf16(x[t] + x_offset);
#pragma GCC unroll 4
    for (int r = 0; r < kTileRows; ++r) acc[t][r] = _mm512_dpbf16_ps(acc[t][r], token, w[r]);
  }
}

// The tree of fold_rows in tiles.cc.
GLMOE_BF16_INLINE void fold_rows(const __m512 (&v)[kTileRows], float* sums) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
  const __m512d ab64 = _mm512_castps_pd(ab), cd64 = _mm512_castps_pd(cd);
  const __m512 low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab64, cd64));
  const __m512 high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab64, cd64));
  const __m512 all = _mm512_add_ps(low, high);
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

template <int kTokens, int kFetch>
GLMOE_BF16_TARGET __attribute__((noinline)) void tile(const TileArgs& args) {
  __m512 acc[kTokens][kTileRows];
  const std::byte* x[kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    x[t] = args.x[t];
#pragma GCC unroll 4
    for (int r = 0; r < kTileRows; ++r) acc[t][r] = _mm512_setzero_ps();
  }
  const std::byte *weight[kTileRows], *fetch[kTileRows];
#pragma GCC unroll 4
  for (int r = 0; r < kTileRows; ++r) weight[r] = args.weight[r];
#pragma GCC unroll 4
  for (int r = 0; r < kFetch; ++r) {
    fetch[r] = args.fetch + static_cast<size_t>(r) * args.fetch_row_bytes;
  }
  // One offset for all: with a second one registers for addresses run out.
  const size_t end = static_cast<size_t>(args.num_steps) * kStepBytes;
  for (size_t offset = 0; offset != end; offset += kStepBytes) {
#pragma GCC unroll 4
    for (int r = 0; r < kFetch; ++r) __builtin_prefetch(fetch[r] + offset, 0, 2);
    whole_step<kTokens>(acc, x, weight, offset, offset);
  }
  if (args.tail > 0) {
    // A row may end at the last mapped page, so its tail is copied out; zeros fill the step.
    alignas(64) std::byte tail[kTileRows][kStepBytes] = {};
    for (int r = 0; r < kTileRows; ++r) {
      std::memcpy(tail[r], args.weight[r] + end, static_cast<size_t>(args.tail) * 2);
    }
    const std::byte* const copies[kTileRows] = {tail[0], tail[1], tail[2], tail[3]};
    whole_step<kTokens>(acc, x, copies, end, 0);
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) fold_rows(acc[t], args.sums + t * args.sums_stride);
}

// Bytes that a stream is fetched ahead, into the second-level cache: half a page to a page is best,
// more loses a quarter (docs/kernels/cpu-matmul.md).
constexpr size_t kStreamAhead = 4096;

GLMOE_BF16_INLINE __m512 stream_row(const StreamArgs& args, const std::byte* row) {
  __m512 acc = _mm512_setzero_ps();
  size_t offset = 0;
  for (int64_t step = 0; step < args.k / kStep; ++step, offset += kStepBytes) {
    __builtin_prefetch(row + offset + kStreamAhead, 0, 2);
    acc = _mm512_dpbf16_ps(acc, load_bf16(args.x + offset), load_bf16(row + offset));
  }
  if (const int64_t tail = args.k % kStep; tail > 0) {  // as in tile()
    alignas(64) std::byte last[kStepBytes] = {};
    std::memcpy(last, row + offset, static_cast<size_t>(tail) * 2);
    acc = _mm512_dpbf16_ps(acc, load_bf16(args.x + offset), load_bf16(last));
  }
  return acc;
}

GLMOE_BF16_TARGET void stream(const StreamArgs& args) {
  for (int64_t n = 0; n < args.num_rows; n += kTileRows) {
    __m512 sums[kTileRows];
    for (int r = 0; r < kTileRows; ++r) {
      const int64_t row = n + r < args.num_rows ? n + r : args.num_rows - 1;
      sums[r] = stream_row(args, args.weight + static_cast<size_t>(row) * args.row_bytes);
    }
    fold_rows(sums, args.sums + n);
  }
}

// Nearest even, as tiles.cc rounds.
uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Set when the table is made: what packs the layouts that are not ours.
decltype(MatmulKernels::pack) base_pack = nullptr;

GLMOE_BF16_TARGET void pack(PackedLayout layout, bool round, const float* x, int64_t count,
                            std::byte* out) {
  if (layout != PackedLayout::kBf16) return base_pack(layout, round, x, count, out);
  auto* values = reinterpret_cast<uint16_t*>(out);
  int64_t i = 0;
  for (; i < count; ++i) values[i] = to_bf16(x[i]);
  for (; i % kStep != 0; ++i) values[i] = 0;
}

template <int... kIndex>
void set_tiles(TypeKernels& kernels, std::integer_sequence<int, kIndex...>) {
  ((kernels.fetching[kIndex] = nullptr), ...);
  ((kernels.panel[kIndex] = nullptr), ...);
  ((kernels.direct[kIndex] = &tile<kIndex + 1, 0>), ...);
  ((kernels.whole[0][kIndex] = &tile<kIndex + 1, 1>), ...);
  ((kernels.whole[1][kIndex] = &tile<kIndex + 1, 2>), ...);
  ((kernels.whole[2][kIndex] = &tile<kIndex + 1, 4>), ...);
}

}  // namespace

const MatmulKernels* avx512_bf16_kernels(const MatmulKernels& base) {
  static const MatmulKernels table = [&base] {
    base_pack = base.pack;
    MatmulKernels kernels = base;
    TypeKernels& type = kernels.types[static_cast<int>(WeightType::kBF16)];
    type.layout = PackedLayout::kBf16;
    type.step = kStep;
    set_tiles(type, std::make_integer_sequence<int, kTileTokens>());
    type.stream = &stream;
    type.fill_panel = nullptr;
    type.block_k = kWholeK;
    type.token_block = kTokenBlock;
    type.token_block_bytes = kTokenBlockBytes;
    kernels.pack = &pack;
    return kernels;
  }();
  return &table;
}

}  // namespace glmoe::matmul

#else

namespace glmoe::matmul {
const MatmulKernels* avx512_bf16_kernels(const MatmulKernels&) { return nullptr; }
}  // namespace glmoe::matmul

#endif
