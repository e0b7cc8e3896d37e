// Tiles with AVX-512's bfloat16 dot product, which Highway does not reach yet: intrinsics, each
// function compiled for its instructions. Used only where inputs are rounded to bfloat16 anyway.
#include "kernels/cpu/matmul/tile.h"

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own headers' "undefined" vectors for a mistake of ours.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <bit>
#include <cstring>
#include <utility>

#define GLMOE_BF16_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512bf16,avx2,fma,bmi2")))
#define GLMOE_BF16_INLINE GLMOE_BF16_TARGET inline __attribute__((always_inline))

namespace glmoe::matmul {
namespace {

constexpr int kTileTokens = 6;
constexpr int64_t kStep = 32;  // bfloat16 values of a vector
constexpr size_t kStepBytes = 64;
// Tokens whose whole rows stay in the second-level cache beside the weights (K 4096: 200 KiB).
constexpr int64_t kTokenBlock = 24;

GLMOE_BF16_INLINE __m512bh load_bf16(const std::byte* p) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p));
}

template <int kTokens>
GLMOE_BF16_INLINE void whole_step(__m512 (&acc)[kTokens][kTileRows], const std::byte* const* x,
                                  size_t x_offset, const std::byte* w0, const std::byte* w1,
                                  const std::byte* w2, const std::byte* w3) {
  const __m512bh w[kTileRows] = {load_bf16(w0), load_bf16(w1), load_bf16(w2), load_bf16(w3)};
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

template <int kTokens, bool kPrefetch>
GLMOE_BF16_TARGET __attribute__((noinline)) void tile(const TileArgs& args) {
  __m512 acc[kTokens][kTileRows];
  const std::byte* x[kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    x[t] = args.x[t];
#pragma GCC unroll 4
    for (int r = 0; r < kTileRows; ++r) acc[t][r] = _mm512_setzero_ps();
  }
  const std::byte* w0 = args.weight[0];
  const std::byte* w1 = args.weight[1];
  const std::byte* w2 = args.weight[2];
  const std::byte* w3 = args.weight[3];
  size_t w_offset = 0, x_offset = 0;
  for (int64_t step = 0; step < args.num_steps; ++step) {
    if constexpr (kPrefetch) {
      __builtin_prefetch(w0 + w_offset + args.prefetch, 0, 2);
      __builtin_prefetch(w1 + w_offset + args.prefetch, 0, 2);
      __builtin_prefetch(w2 + w_offset + args.prefetch, 0, 2);
      __builtin_prefetch(w3 + w_offset + args.prefetch, 0, 2);
    }
    whole_step<kTokens>(acc, x, x_offset, w0 + w_offset, w1 + w_offset, w2 + w_offset,
                        w3 + w_offset);
    w_offset += args.step_bytes;
    x_offset += kStepBytes;
  }
  if (args.tail > 0) {
    // A row may end at the last mapped page, so its tail is copied out; zeros fill the step.
    alignas(64) std::byte tail[kTileRows][kStepBytes] = {};
    for (int r = 0; r < kTileRows; ++r) {
      std::memcpy(tail[r], args.weight[r] + w_offset, static_cast<size_t>(args.tail) * 2);
    }
    whole_step<kTokens>(acc, x, x_offset, tail[0], tail[1], tail[2], tail[3]);
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
  ((kernels.fetching[kIndex] = &tile<kIndex + 1, true>), ...);
  ((kernels.direct[kIndex] = &tile<kIndex + 1, false>), ...);
  ((kernels.panel[kIndex] = nullptr), ...);
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
